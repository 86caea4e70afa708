from __future__ import annotations

import mmap

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.architecture import Config
from engine.errors import BudgetTooSmall
from engine.manifest import LayerLayout, Part
from engine.memory import parse_size, peak_resident_bytes, resident_bytes
from engine.plan import STRATEGIES, Model, Plan, _spent, plan_model

GATED = Config("llama", 2048, 16, 16, 4, 128, 8192, 32000, 4096, "rms", 1e-5, True, 1e4, False, rotary_dim=128)
RELU = Config("opt", 2048, 16, 16, 16, 128, 8192, 50272, 2048, "layer", 1e-5, False, None, True, 2, "relu")


def model(config: Config) -> Model:
    if config.gated:
        parts = (Part("up", "q4_0", 0, 256, 2048), Part("gate", "q4_0", 294912, 256, 2048), Part("down", "q4_0", 589824, 2048, 256))
        layer = LayerLayout(config.ffn, 256, 884736, parts, "output", 32)
    else:
        layer = LayerLayout(config.ffn, 1, 3072, (Part("up", "q4_1", 0, 1, 2048), Part("down", "q4_1", 1536, 1, 2048)), "neuron", 32)
    return Model("a model", config, (layer,) * config.layers, 250_000_000)


def least(config: Config) -> int:
    with pytest.raises(BudgetTooSmall) as caught:
        plan_model(model(config), 1_000_000, "exact")
    return caught.value.needed_bytes


@given(st.integers(0, 4_000_000_000), st.sampled_from([GATED, RELU]))
def test_no_plan_spends_more_than_its_budget(extra: int, config: Config) -> None:
    memory = least(config) + extra
    found = plan_model(model(config), memory, "exact")
    assert _spent(found) <= memory
    assert found.context_tokens >= min(512, config.context)


@given(st.integers(0, 2_000_000_000), st.integers(0, 1_000_000_000), st.sampled_from([GATED, RELU]))
@example(323_489_792, 270_659_584, RELU)  # a longer context left no room for the window
def test_more_memory_never_means_more_reading(extra: int, more: int, config: Config) -> None:
    def at(memory: int) -> Plan:
        return plan_model(model(config), memory, "exact")

    small, large = at(least(config) + extra), at(least(config) + extra + more)
    assert STRATEGIES.index(large.strategy) >= STRATEGIES.index(small.strategy)
    if small.strategy == large.strategy and small.context_tokens == large.context_tokens:
        assert large.expected_bytes_read_per_token <= small.expected_bytes_read_per_token


def test_the_least_budget_is_enough_and_a_byte_less_is_not() -> None:
    assert plan_model(model(GATED), least(GATED), "exact").strategy == "streaming"
    with pytest.raises(BudgetTooSmall):
        plan_model(model(GATED), least(GATED) - 1, "exact")


def test_every_layer_pins_the_same_share() -> None:
    found = plan_model(model(GATED), least(GATED) + 250_000_000, "exact")
    assert found.strategy == "streaming"
    assert min(found.pinned_tiles) > 0 and max(found.pinned_tiles) - min(found.pinned_tiles) <= 1
    assert found.expected_bytes_read_per_token == sum((32 - tiles) * 884736 for tiles in found.pinned_tiles)


def test_a_relu_model_gets_a_window_when_its_up_rows_fit() -> None:
    found = plan_model(model(RELU), least(RELU) + 320_000_000, "exact")
    assert found.strategy == "window"
    assert 0 < found.window_neurons < RELU.ffn


def test_memory_that_is_left_over_lengthens_the_context() -> None:
    found = plan_model(model(GATED), 4_000_000_000, "exact")
    assert found.strategy == "resident" and found.context_tokens == GATED.context and found.saved_tokens > 512


@pytest.mark.parametrize(("text", "size"), [("700MB", 700_000_000), ("1.5 GB", 1_500_000_000), ("512MiB", 2**29), ("1000", 1000)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1,5GB", "700 monkeys"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="700MB"):
        parse_size(text)


def test_memory_held_grows_with_what_is_written() -> None:
    before = resident_bytes()
    with mmap.mmap(-1, 30_000_000) as block:  # of the system itself: an allocator may hand out memory that the process held already
        block.write(b"x" * len(block))
        assert resident_bytes() - before > 20_000_000
        assert peak_resident_bytes() >= resident_bytes() - 5_000_000
