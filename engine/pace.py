"""Plans again while an answer is written: when the disk slows down or a core is taken, other ways of reading and computing are tried.

What may change costs no memory and changes no result: how many threads read and in which pieces, and how many compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

STEP_TOKENS = 6
"""Tokens over which a rate is taken."""
_CHANGED = 2.0
"""A rate that differs by this factor from the one it was planned with is another machine's."""
_BOUND_BY_READING = 0.5
"""Share of a token's time spent waiting for reads from which on it is the disk that sets the rate."""


@dataclass(frozen=True)
class Manner:
    """How to read and compute: threads that read, in pieces of so many bytes, and threads that compute."""

    readers: int
    piece_bytes: int
    threads: int


@dataclass
class Step:
    """What some tokens took."""

    tokens: int = 0
    seconds: float = 0.0
    read_bytes: int = 0
    waited_s: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        """0 before anything was noted."""
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def bound_by_reading(self) -> bool:
        """Whether more time went to waiting for the disk than to computing."""
        return self.waited_s > _BOUND_BY_READING * self.seconds


class Pace:
    """Watches the rate of decoding and chooses a manner again when it changed; `apply` puts a manner into force."""

    def __init__(self, manner: Manner, apply: Callable[[Manner], None]) -> None:
        self.manner = manner
        self.reason: str | None = None
        """Why it was last planned again, for the report; None while all is as planned."""
        self._apply = apply
        self._usual = manner
        self._step = Step()
        self._rate = 0.0  # tokens per second with `manner`, 0: not known yet
        self._tried: dict[Manner, float] = {}
        self._to_try: list[Manner] = []

    def note(self, seconds: float, read_bytes: int, waited_s: float) -> None:
        """One more token was decoded in so many seconds."""
        step = self._step
        step.tokens, step.seconds = step.tokens + 1, step.seconds + seconds
        step.read_bytes, step.waited_s = step.read_bytes + read_bytes, step.waited_s + waited_s
        if step.tokens == STEP_TOKENS:
            self._step = Step()
            self._judge(step)

    def _judge(self, step: Step) -> None:
        rate = step.tokens_per_s
        if self._to_try or self._tried:
            self._tried[self.manner] = rate
            self._go_on()
        elif self._rate and not 1 / _CHANGED < rate / self._rate < _CHANGED:
            self._plan_again(step)
        else:
            self._rate = max(rate, self._rate)

    def _plan_again(self, step: Step) -> None:
        what = f"reads at {step.read_bytes / step.seconds / 1e6:.0f} MB/s" if step.bound_by_reading else "computing"
        self.reason = f"{step.tokens_per_s:.2f} tokens/s instead of {self._rate:.2f}, bound by {what}"
        others = self._ways_to_read() if step.bound_by_reading else self._ways_to_compute()
        self._tried = {self.manner: step.tokens_per_s}
        self._to_try = [manner for manner in others if manner != self.manner]
        self._go_on()

    def _go_on(self) -> None:
        """Try the next manner, or settle on the best."""
        if self._to_try:
            self._take(self._to_try.pop(0))
            return
        best = max(self._tried, key=lambda manner: self._tried[manner])
        self._rate, self._tried = self._tried[best], {}
        self._take(best)

    def _take(self, manner: Manner) -> None:
        if manner != self.manner:
            self.manner = manner
            self._apply(manner)

    def _ways_to_read(self) -> list[Manner]:
        """One reader and large pieces for a disk that must seek, many and small ones for a disk that is far away, and the usual."""
        usual = self._usual
        alone = replace(self.manner, readers=1, piece_bytes=4 * usual.piece_bytes)
        many = replace(self.manner, readers=4 * usual.readers, piece_bytes=usual.piece_bytes // 4)
        return [alone, many, replace(self.manner, readers=usual.readers, piece_bytes=usual.piece_bytes)]

    def _ways_to_compute(self) -> list[Manner]:
        """A thread less for the core that another program took, or the usual number again."""
        fewer = max(self._usual.threads - 1, 1)
        return [replace(self.manner, threads=count) for count in (fewer, self._usual.threads)]
