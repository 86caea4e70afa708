from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine import manifest
from engine.errors import EngineError
from engine.ladder import PREDICTED, STREAMED, StepRow, run_step, steps_of
from engine.manifest import Manifest
from engine.plan import Plan, model_of, plan_model

PROMPT = [5, 80, 7, 200]
TOKENS = 6


def planned(pack: Path, **values: object) -> Plan:
    found = plan_model(model_of(manifest.load(pack)), 300_000_000, "exact")
    return replace(found, **values)  # type: ignore[arg-type]


def rows_of(pack: Path, names: tuple[str, ...], plan: Plan) -> dict[str, StepRow]:
    return {name: run_step(pack, 300_000_000, name, TOKENS, PROMPT, plan) for name in names}


def slack(found: Manifest) -> float:
    """Bytes a token that a stream may have read more or less: a layer is read before the first token counted, or after the last."""
    return found.ffn_bytes / found.config.layers / TOKENS


def test_every_step_of_the_papers_ladder_reads_no_more_than_the_one_before(calibrated: Path) -> None:
    plan = planned(calibrated, strategy="predicted", window_neurons=170, pinned_neurons=20)
    found = manifest.load(calibrated)
    rows = rows_of(calibrated, (*STREAMED[:2], *PREDICTED), plan)
    read = [row.bytes_per_token for row in rows.values()]
    assert read[0] == pytest.approx(found.ffn_bytes + found.resident_bytes, abs=slack(found))
    assert read[1] == pytest.approx(found.ffn_bytes, abs=slack(found))
    assert read[1] > read[2] > read[3] == read[4] > 0
    assert rows["+ window"].reads_per_token == 2 * rows["+ bundling"].reads_per_token
    layout, overlap = rows["+ hot set and layout"], rows["+ overlap"]
    assert layout.reads_per_token <= rows["+ bundling"].reads_per_token
    assert (layout.bytes_per_token, layout.reads_per_token) == (overlap.bytes_per_token, overlap.reads_per_token)
    for row in rows.values():
        parts = row.waiting_s + row.predicting_s + row.keeping_s + row.computing_s
        assert parts == pytest.approx(row.token_s) and 0 < row.p50_s <= row.p99_s and row.peak_bytes > 0


def test_a_gated_models_ladder_pins_and_reads_ahead(packed: Callable[..., Path]) -> None:
    pack = packed("llama")
    rows = rows_of(pack, STREAMED, planned(pack, strategy="streaming", pinned_tiles=(1, 1, 1)))
    found = manifest.load(pack)
    assert rows["attention resident"].bytes_per_token == pytest.approx(found.ffn_bytes, abs=slack(found))
    # the stream reads ahead of the token that is counted, by a run or two
    rest = found.ffn_bytes - sum(layer.stride for layer in found.layers)
    assert rows["+ read ahead"].bytes_per_token == pytest.approx(rest, rel=0.5)


def test_a_plan_without_a_predictor_climbs_the_other_ladder() -> None:
    assert steps_of(predicts=False) == list(STREAMED)
    assert steps_of(predicts=True) == [*STREAMED[:2], *PREDICTED]


def test_a_step_that_needs_a_window_says_so(calibrated: Path) -> None:
    with pytest.raises(EngineError, match="needs a predictor"):
        run_step(calibrated, 300_000_000, "+ window", 2, PROMPT, planned(calibrated))
