from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine import kernels as kernel_library
from engine.native.library import Native
from engine.pace import STEP_TOKENS, Manner, Pace
from tests.engine.test_stream import decoder_of, hidden_states

USUAL = Manner(readers=4, piece_bytes=1 << 20, threads=2)


class Machine:
    """Stands for a machine whose seconds a token depend on the manner: how long a read and a computation take is set by the test."""

    def __init__(self) -> None:
        self.manner = USUAL
        self.reading_s = self.computing_s = 0.0
        self.good_reading: Manner | None = None
        self.pace = Pace(USUAL, self.apply)

    def apply(self, manner: Manner) -> None:
        self.manner = manner

    def decode(self, tokens: int) -> None:
        for _ in range(tokens):
            quick = self.good_reading is not None and self.manner.readers == self.good_reading.readers
            reading = self.reading_s / (4 if quick else 1)
            seconds = max(reading, self.computing_s)
            self.pace.note(seconds, 400_000_000, max(reading - self.computing_s, 0.0))


def test_nothing_is_planned_again_while_the_rate_stays() -> None:
    machine = Machine()
    machine.reading_s, machine.computing_s = 0.3, 0.1
    machine.decode(10 * STEP_TOKENS)
    assert machine.manner == USUAL and machine.pace.reason is None


def test_a_disk_that_slows_to_a_tenth_is_read_in_the_way_that_suits_it() -> None:
    machine = Machine()
    machine.reading_s, machine.computing_s = 0.3, 0.1
    machine.decode(2 * STEP_TOKENS)
    machine.reading_s, machine.good_reading = 3.0, Manner(1, 0, 2)
    machine.decode(5 * STEP_TOKENS)
    assert machine.manner.readers == 1 and machine.manner.threads == 2
    assert machine.pace.reason is not None and "bound by reads at 133 MB/s" in machine.pace.reason
    settled = machine.manner
    machine.decode(5 * STEP_TOKENS)
    assert machine.manner == settled


def test_where_no_other_way_is_better_the_usual_one_stays() -> None:
    machine = Machine()
    machine.reading_s, machine.computing_s = 0.3, 0.1
    machine.decode(2 * STEP_TOKENS)
    machine.reading_s = 3.0
    machine.decode(5 * STEP_TOKENS)
    assert machine.manner == USUAL


def test_a_core_that_is_taken_has_computing_planned_again() -> None:
    machine = Machine()
    machine.computing_s = 0.01
    machine.decode(2 * STEP_TOKENS)
    machine.computing_s = 0.05
    tried = []
    for _ in range(4):
        machine.decode(STEP_TOKENS)
        tried.append(machine.manner.threads)
    assert 1 in tried
    assert machine.pace.reason is not None and "bound by computing" in machine.pace.reason


def test_other_ways_of_reading_and_computing_give_the_same_bits(packed: Callable[..., Path]) -> None:
    kernels = kernel_library.load()
    pieces = [[1, 2, 3], [4], [5]]
    with decoder_of(packed("llama"), 0) as decoder:
        expected = hidden_states(decoder, pieces)
    for readers, piece_bytes, threads in ((1, 1 << 22, 1), (16, 512, 3)):
        with decoder_of(packed("llama"), 0) as decoder:
            if isinstance(kernels, Native):
                kernels.set_threads(threads)
            decoder.feed_forward.set_reading(readers, piece_bytes)  # type: ignore[attr-defined]
            assert np.array_equal(hidden_states(decoder, pieces), expected)
