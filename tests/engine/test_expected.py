from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine import manifest
from engine.curves import Curves
from engine.expected import expect
from engine.plan import model_of, plan, plan_model


def curves(disk_mb_per_s: float, memory_gb_per_s: float) -> Curves:
    return Curves(((4096, disk_mb_per_s / 20), (1048576, disk_mb_per_s)), memory_gb_per_s, memory_gb_per_s)


def test_a_model_in_memory_is_bound_by_memory(packed: Callable[..., Path]) -> None:
    pack = packed("llama")
    facts, found = manifest.load(pack), plan(pack, 1 << 33)
    expected = expect(found, facts, curves(100, 10))
    weights = found.resident_bytes + facts.ffn_bytes
    assert expected.bound_by == "memory and arithmetic" and expected.tokens_per_second == pytest.approx(10e9 / weights)
    assert {layer.way for layer in expected.layers} == {"nothing"}


def test_a_streamed_model_follows_the_disk_until_memory_is_slower(packed: Callable[..., Path]) -> None:
    pack = packed("llama")
    facts = manifest.load(pack)
    found = plan_model(model_of(facts), 1 << 33, "exact", pin=False)
    slow, quick = expect(found, facts, curves(100, 10)), expect(found, facts, curves(200, 10))
    assert slow.bound_by == "disk" and slow.tokens_per_second is not None and quick.tokens_per_second is not None
    assert quick.tokens_per_second == pytest.approx(2 * slow.tokens_per_second)
    assert expect(found, facts, curves(1e6, 0.001)).bound_by == "memory and arithmetic"
    assert all(layer.neurons_s is not None and layer.neurons_s > layer.tiles_s for layer in slow.layers)
    assert "every token wants every neuron" in slow.why


def test_a_relu_model_that_was_not_calibrated_promises_no_rate(packed: Callable[..., Path]) -> None:
    pack = packed("opt")
    found = replace(plan(pack, 1 << 33), strategy="window")
    expected = expect(found, manifest.load(pack), curves(100, 10))
    assert expected.tokens_per_second is None and "calibrate" in expected.why
