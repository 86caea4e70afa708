from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import kernels as kernel_library
from engine import manifest, predictor
from engine.__main__ import main
from engine.calibrate import CalibrationSettings, calibrate
from engine.decoder import Decoder
from engine.errors import BudgetTooSmall, CorruptPack, Stopped, UnusableSource
from engine.fit import FitSettings
from engine.manifest import PREDICTOR, Manifest
from engine.plan import Model, model_of, plan_model
from engine.sparse import PredictedFeedForward
from engine.weights import ResidentWeights
from engine.window import WindowShape
from tests.engine.test_decoder import TOKENS, logits_of, make_decoder
from tests.engine.test_window import opened

TEXT = "".join(f"Pump {number} draws oil from tank {number * 7 % 90} and presses it through the filter. " for number in range(40))
QUICK = CalibrationSettings(tokens=1024, length=64, fit=FitSettings(steps=20))
PIECES = [TOKENS, *([token] for token in TOKENS[:4])]


@pytest.fixture
def copy(calibrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(calibrated, tmp_path / "copy.pack"))


def test_exact_results_do_not_change_with_the_order_of_the_neurons(calibrated: Path, packed: Callable[..., Path]) -> None:
    before, after = (logits_of(make_decoder(pack), PIECES) for pack in (packed("opt", False, "q4"), calibrated))
    # sums of float32 in another order, and here and there an activation that rounds to the neighbour in eight bits
    assert np.abs(before - after).mean() < 2e-3 * np.abs(before).mean() + 1e-3
    orders = [np.sort(weights_of(calibrated).raw(f"layer.{number}.order").view("<u4").reshape(-1)) for number in range(3)]
    assert all(np.array_equal(order, np.arange(192)) for order in orders)


def weights_of(pack: Path) -> ResidentWeights:
    return ResidentWeights(pack, manifest.load(pack), kernel_library.load())


def test_a_bundle_lies_where_the_order_says(calibrated: Path, packed: Callable[..., Path]) -> None:
    from tests.engine.test_window import bundles_of

    order = weights_of(calibrated).raw("layer.1.order").view("<u4").reshape(-1)
    assert np.array_equal(bundles_of(calibrated), bundles_of(packed("opt", False, "q4"))[order])


def test_the_manifest_says_what_was_learned(calibrated: Path) -> None:
    facts = manifest.load(calibrated).calibration
    assert facts is not None and facts.ahead and facts.tokens == 1024
    for layer in facts.layers:
        assert layer.rank % 32 == 0 and layer.false_negatives <= 0.04 and 0 < layer.active <= layer.wanted <= 1
    assert facts.perplexity_exact > 1 and facts.perplexity_balanced > 1
    loaded = [share for _, _, share in facts.loads]
    assert loaded == sorted(loaded, reverse=True)


def predicted(pack: Path, found: Manifest, bias: float = 0.0) -> Decoder:
    file, weights, kernels = opened(pack)
    foresight = predictor.load(pack, found, kernels)
    layers = [predictor.LowRank(layer.format, layer.inner, layer.out, layer.bias + np.float32(bias)) for layer in foresight.layers]
    foresight = predictor.Predictor(layers, foresight.ahead, kernels)
    return Decoder(found.config, weights, PredictedFeedForward(file, weights, kernels, foresight, [WindowShape(192)] * 3, 1 << 14), kernels)


def test_a_predictor_whose_threshold_lets_every_neuron_pass_is_exact(calibrated: Path) -> None:
    found = manifest.load(calibrated)
    exact = logits_of(make_decoder(calibrated), PIECES)
    assert np.array_equal(logits_of(predicted(calibrated, found, np.inf), PIECES), exact)
    near = logits_of(predicted(calibrated, found), PIECES)
    assert 0 < np.abs(near - exact).mean() < 0.2 * np.abs(exact).mean()


def test_calibrating_again_keeps_the_way_back_to_the_checkpoints_order(copy: Path, packed: Callable[..., Path]) -> None:
    from tests.engine.test_window import bundles_of

    calibrate(copy, TEXT[::-1], QUICK)
    order = weights_of(copy).raw("layer.1.order").view("<u4").reshape(-1)
    assert np.array_equal(bundles_of(copy), bundles_of(packed("opt", False, "q4"))[order])


def test_stopping_leaves_the_pack_as_it_was(copy: Path) -> None:
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    asked: list[float] = []
    with pytest.raises(Stopped):
        calibrate(copy, TEXT, QUICK, lambda share, stage: asked.append(share), lambda: len(asked) > 20)
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before
    assert [entry.name for entry in copy.parent.iterdir()] == [copy.name]
    assert asked == sorted(asked) and asked[-1] <= 1


def test_a_text_too_short_and_a_model_without_relu_are_refused(copy: Path, packed: Callable[..., Path]) -> None:
    with pytest.raises(UnusableSource, match="at least 256"):
        calibrate(copy, "Too short.", QUICK)
    with pytest.raises(UnusableSource, match="no ReLU layers"):
        calibrate(packed("llama"), TEXT, QUICK)


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_predictor_is_refused(damage: str, copy: Path) -> None:
    found, path = manifest.load(copy), copy / PREDICTOR
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-40])
    else:
        data[-40] ^= 1
        path.write_bytes(data)
    with pytest.raises(CorruptPack, match="predictor"):
        predictor.load(copy, found, kernel_library.load())


def test_a_pack_without_calibration_says_how_to_get_one(packed: Callable[..., Path]) -> None:
    with pytest.raises(CorruptPack, match="engine calibrate"):
        predictor.load(packed("opt"), manifest.load(packed("opt")), kernel_library.load())


def test_the_command_calibrates_and_reports(packed: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(packed("opt", False, "q8"), tmp_path / "a.pack")
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    arguments = ["calibrate", tmp_path / "a.pack", "--text", tmp_path / "text.txt", "--tokens", 1024, "--json"]
    assert main([str(argument) for argument in arguments]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(value["layers"]) == 3 and value["perplexity_exact"] > 1


def large(pack: Path) -> Model:
    """The small model as if it had 1000 times the neurons, of which a token wants a tenth."""
    from dataclasses import replace

    model = model_of(manifest.load(pack))
    assert model.calibration is not None
    calibration = replace(model.calibration, layers=tuple(replace(layer, wanted=0.1) for layer in model.calibration.layers))
    layers = tuple(replace(layer, neurons=layer.neurons * 1000) for layer in model.layers)
    return replace(model, layers=layers, config=replace(model.config, ffn=model.config.ffn * 1000), calibration=calibration)


def test_a_balanced_plan_keeps_a_window_of_bundles_where_not_all_fits(calibrated: Path) -> None:
    model = large(calibrated)
    with pytest.raises(BudgetTooSmall) as caught:
        plan_model(model, 1_000_000, "balanced")
    whole = sum(layer.size for layer in model.layers)
    assert whole > 200_000_000
    found = plan_model(model, caught.value.needed_bytes + whole * 2 // 3, "balanced")
    assert found.strategy == "predicted" and 0 <= found.pinned_neurons <= found.window_neurons < model.config.ffn
    assert plan_model(model, caught.value.needed_bytes + whole * 2 // 3, "exact").strategy != "predicted"
    steps = [plan_model(model, caught.value.needed_bytes + whole * share // 20, "balanced") for share in range(6, 20)]
    predicted = [plan.expected_bytes_read_per_token for plan in steps if plan.strategy == "predicted"]
    assert len(predicted) > 5 and predicted == sorted(predicted, reverse=True)


@pytest.mark.parametrize("values", [{"tokens": 100}, {"length": 8}, {"held_out": 0.0}, {"hot": 1.0}])
def test_settings_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        CalibrationSettings(**values)


def test_a_session_whose_plan_predicts_answers_in_balanced_mode(calibrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from engine import session as sessions
    from engine.request import Request, Segment

    def planned(*given: Any, **named: Any) -> Any:
        # so small a model would always fit
        return replace(plan_model(*given, **named), strategy="predicted", window_neurons=120, pinned_neurons=30)

    monkeypatch.setattr(sessions, "plan_model", planned)
    session = sessions.Session(calibrated, 20_000_000_000, "balanced")
    request = Request((Segment("The pump draws oil from the tank. " * 3),), max_tokens=12)
    found = session.generate(request, lambda text: None, lambda: False)
    again = session.generate(request, lambda text: None, lambda: False)
    session.close()
    assert found.mode == "balanced" and found.tokens == 12 and found.reads_per_token > 0
    assert again.text == found.text
