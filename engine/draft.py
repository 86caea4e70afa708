"""Drafts of the coming tokens, looked up in what was read and written so far: several are then verified in one pass over the weights.

An answer over a passage repeats much of it. Where reading bounds a pass, verifying a few tokens more costs little, and the result is the
same as without drafts, to the bit. Where a wider pass costs more than it brings, `DraftLength` finds that out and stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LONGEST = 7
"""Drafted tokens of a pass: with the one that is certain they fill the eight that the kernels work on at once."""
_KEYS = (3, 2)
"""Tokens that must agree before a continuation is taken, the surer first."""


class Lookup:
    """Continuations by the tokens before them; the latest place where they stood wins."""

    def __init__(self, texts: Iterable[Sequence[int]]) -> None:
        """`texts` are token sequences in rising order of preference: drafts that the caller knows, then the prompt."""
        self._tokens: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}
        for text in texts:
            self._tokens.append(-1)  # nothing goes on across the border of two texts
            self.extend(text)

    def extend(self, tokens: Sequence[int]) -> None:
        """What was written since."""
        for token in tokens:
            # a place is entered when a token follows it, so that the end of the text never finds itself
            for length in _KEYS:
                key = tuple(self._tokens[-length:])
                if len(key) == length and -1 not in key:
                    self._places[key] = len(self._tokens)
            self._tokens.append(token)

    def propose(self, most: int) -> list[int]:
        """At most `most` tokens that may come next; none where the last ones were never seen before."""
        for length in _KEYS:
            place = self._places.get(tuple(self._tokens[-length:]))
            if place is not None:
                found = self._tokens[place : place + max(most, 0)]
                return found[: found.index(-1)] if -1 in found else found
        return []


class DraftLength:
    """Whether drafts pay: tokens that a pass brings against the time that it takes, drafted and plain passes apart."""

    _LEARNING = 4
    """Drafted passes before drafts are judged."""
    _RETRY = 64
    """Plain passes after which drafts that did not pay are tried again."""

    def __init__(self, worth_trying: bool) -> None:
        self._worth_trying = worth_trying
        self._drafted = _Rate()
        self._plain = _Rate()

    @property
    def tokens(self) -> int:
        """How many to draft for the next pass; 0: none."""
        if not self._worth_trying:
            return 0
        if self._drafted.passes < self._LEARNING or not self._plain.passes:
            return LONGEST
        return LONGEST if self._drafted.tokens_per_s > self._plain.tokens_per_s else 0

    def note(self, drafted: int, accepted: int, seconds: float) -> None:
        """A pass with so many drafted tokens, of which so many were right."""
        if drafted:
            self._drafted.note(1 + accepted, seconds)
        else:
            self._plain.note(1, seconds)
            if self._plain.passes % self._RETRY == 0:
                self._drafted = _Rate()


class _Rate:
    """Tokens per second over passes, the later ones weighing more."""

    def __init__(self) -> None:
        self.passes = 0
        self._tokens = self._seconds = 0.0

    def note(self, tokens: int, seconds: float) -> None:
        self.passes += 1
        self._tokens = 0.9 * self._tokens + tokens
        self._seconds = 0.9 * self._seconds + seconds

    @property
    def tokens_per_s(self) -> float:
        return self._tokens / self._seconds if self._seconds else 0.0
