"""Postings of passages: which one has which token how often, cut into tokens by FTS5 itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKENIZER = "porter unicode61 remove_diacritics 2"
"""As `passages_fts` has it."""
COLUMNS = (("heading", 2.0), ("text", 1.0))
"""What of a passage is searched, and how much a word weighs there."""
REMEMBERED = 10_000  # words of questions


@dataclass(frozen=True)
class Postings:
    """Passages in the order of their ids, and for each term those that have it.

    Term `t` stands in the passages `places[starts[t]:starts[t + 1]]`, which rise, as often as `counts` says there, columns weighed.
    """

    terms: tuple[str, ...]
    starts: NDArray[np.int64]  # [t + 1]
    places: NDArray[np.int32]  # [p], into `ids`
    counts: NDArray[np.float32]  # [p]
    ids: NDArray[np.int64]  # [n]
    collections: NDArray[np.int64]  # [n]
    lengths: NDArray[np.int32]  # [n], tokens

    @classmethod
    def empty(cls) -> Postings:
        """Of no passages."""
        none = np.zeros(0, np.int64)
        return cls((), np.zeros(1, np.int64), none.astype(np.int32), none.astype(np.float32), none, none, none.astype(np.int32))

    def without(self, gone: NDArray[np.bool_]) -> Postings:
        """The same without the passages that `gone` [n] marks."""
        kept = ~gone
        renumbered = np.cumsum(kept, dtype=np.int32) - 1
        held = kept[self.places]
        starts = np.concatenate([[0], np.cumsum(held)])[self.starts]
        return replace(
            self,
            starts=starts.astype(np.int64),
            places=renumbered[self.places[held]],
            counts=self.counts[held],
            ids=self.ids[kept],
            collections=self.collections[kept],
            lengths=self.lengths[kept],
        )

    def followed_by(self, later: Postings) -> Postings:
        """These and the passages of `later`, whose ids are all greater."""
        known = {term: number for number, term in enumerate(self.terms)}
        terms = [*self.terms, *(term for term in later.terms if term not in known)]
        known = {term: number for number, term in enumerate(terms)}
        renamed = np.asarray([known[term] for term in later.terms], np.int64)
        term_of = np.concatenate([_spread(self.starts), renamed[_spread(later.starts)]])  # [p]
        order = np.argsort(term_of, kind="stable")
        return Postings(
            tuple(terms),
            np.concatenate([[0], np.cumsum(np.bincount(term_of, minlength=len(terms)))]).astype(np.int64),
            np.concatenate([self.places, later.places + np.int32(len(self.ids))])[order],
            np.concatenate([self.counts, later.counts])[order],
            np.concatenate([self.ids, later.ids]),
            np.concatenate([self.collections, later.collections]),
            np.concatenate([self.lengths, later.lengths]),
        )


class Cutter:
    """FTS5's tokenizer, through a database in memory that holds one batch at a time."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute(f"CREATE VIRTUAL TABLE texts USING fts5(heading, text, content='', tokenize='{TOKENIZER}')")
        self._connection.execute("CREATE VIRTUAL TABLE tokens USING fts5vocab(texts, 'instance')")
        self._known: dict[str, tuple[str, ...]] = {}

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def tokens(self, word: str) -> tuple[str, ...]:
        """What FTS5 makes of a word of a question: as a rule one token."""
        if word not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._hold([(1, "", word)])
            rows = self._connection.execute("SELECT term FROM tokens ORDER BY offset")
            self._known[word] = tuple(str(row[0]) for row in rows)
        return self._known[word]

    def postings(self, rows: Sequence[tuple[int, int, str, str]]) -> Postings:
        """Of passages (id, collection id, heading, text) in the order of their ids."""
        self._hold([(place, heading, text) for place, (_, _, heading, text) in enumerate(rows)])
        only = [f"FILTER (WHERE col = '{name}')" for name, _ in COLUMNS]
        columns = ", ".join(f"count(*) {each}, group_concat(doc, ' ') {each}" for each in only)
        found = self._connection.execute(f"SELECT term, {columns} FROM tokens GROUP BY term ORDER BY term").fetchall()
        term_of, place_of, weight_of = [], [], []
        for column, (_, weight) in enumerate(COLUMNS):
            term_of.append(np.repeat(np.arange(len(found)), [row[1 + 2 * column] for row in found]))
            listed = " ".join(row[2 + 2 * column] for row in found if row[2 + 2 * column])
            place_of.append(np.fromstring(listed, np.int64, sep=" "))
            weight_of.append(np.full(len(place_of[-1]), weight))
        places = np.concatenate(place_of)
        return _counted(tuple(row[0] for row in found), np.concatenate(term_of), places, np.concatenate(weight_of), rows)

    def _hold(self, rows: Sequence[tuple[int, str, str]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute("INSERT INTO texts(texts) VALUES ('delete-all')")
        self._connection.executemany("INSERT INTO texts(rowid, heading, text) VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")


def _counted(
    terms: tuple[str, ...],
    term_of: NDArray[np.int64],  # [k], one entry for each token
    place_of: NDArray[np.int64],  # [k]
    weight_of: NDArray[np.float64],  # [k]
    rows: Sequence[tuple[int, int, str, str]],
) -> Postings:
    """Tokens -> postings: each term and passage once, with the sum of its weights."""
    keys = term_of * len(rows) + place_of
    order = np.argsort(keys, kind="stable")
    firsts = np.flatnonzero(np.diff(keys[order], prepend=-1))  # where a new pair of term and passage begins
    counts = np.add.reduceat(weight_of[order], firsts) if len(firsts) else np.zeros(0)
    pairs = keys[order][firsts]
    return Postings(
        terms,
        np.concatenate([[0], np.cumsum(np.bincount(pairs // max(len(rows), 1), minlength=len(terms)))]).astype(np.int64),
        (pairs % max(len(rows), 1)).astype(np.int32),
        counts.astype(np.float32),
        np.asarray([row[0] for row in rows], np.int64),
        np.asarray([row[1] for row in rows], np.int64),
        np.bincount(place_of, minlength=len(rows)).astype(np.int32),
    )


def _spread(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The term of each posting, [p]."""
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))
