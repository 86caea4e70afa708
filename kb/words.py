"""Full text in memory: which passage has which word how often, so that common words cost a question no walk through FTS5's postings.

Tokens are those that FTS5 itself makes of the stored text, scores are its `bm25` to the last bit. Phrases need the places of words
in a text, which are not here: `kb.lexical.rank` asks FTS5 for them.
"""

from __future__ import annotations

import io
import logging
import math
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kb import indexfile
from kb.dense import newest_change
from kb.indexfile import DamagedIndex
from kb.postings import COLUMNS, TOKENIZER, Cutter, Postings

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_NAME = "passages.words"
K1, B = 1.2, 0.75
LEAST_IDF = 1e-6
BATCH = 5_000  # passages that are cut into words at a time
ARRAYS = ("starts", "places", "counts", "ids", "collections", "lengths")
log = logging.getLogger(__name__)


class WordIndex:
    """Full text of one home, keyed by passage id; `seq` is the newest change that it has seen. `fresh` leaves the saved file aside."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.seq = 0
        self.unsaved = False
        self._file = folder / FILE_NAME
        self._last = 0  # the greatest id seen: ids are never used again
        self._cutter = Cutter()
        self._take(Postings.empty() if fresh else self._load())

    def __len__(self) -> int:
        return len(self._postings.ids)

    def close(self) -> None:
        """Give the tokenizer's memory back."""
        self._cutter.close()

    def ids(self) -> NDArray[np.int64]:
        """Passage ids in the index, rising, [n]."""
        return self._postings.ids

    def refresh(self, connection: sqlite3.Connection) -> int:
        """Take in the changes that were not seen yet; returns how many passages came or went."""
        newest = newest_change(connection)
        if newest == self.seq:
            return 0
        held = self._postings
        current = np.fromiter((row[0] for row in connection.execute("SELECT id FROM passages ORDER BY id")), np.int64)
        gone = ~np.isin(held.ids, current)
        if gone.any():
            held = held.without(gone)
        came = 0
        for rows in _batches(connection, self._last):
            held = held.followed_by(self._cutter.postings(rows))
            self._last, came = rows[-1][0], came + len(rows)
        self._take(held)
        self.seq, self.unsaved = newest, True
        return int(gone.sum()) + came

    def covers(self, words: Sequence[str]) -> bool:
        """Whether the words can be ranked here: none of them is several tokens, which FTS5 looks for as a phrase."""
        return all(len(self._cutter.tokens(word)) <= 1 for word in words)

    def rank(self, words: Sequence[str], collection_id: int | None, limit: int) -> list[tuple[int, float]]:
        """[(passage id, BM25 score)] of passages with at least one of the words, best first, as `lexical.rank` gives them.

        `collection_id` None: of the whole library. How rare a word is counts over the whole library in either case.
        """
        held = self._postings
        scores = np.zeros(len(held.ids))  # [n]
        for word in words:
            term = next((self._numbers.get(token) for token in self._cutter.tokens(word)), None)
            if term is not None:
                self._add(scores, term)
        if collection_id is not None:
            scores[held.collections != collection_id] = 0.0
        return [(int(held.ids[place]), float(scores[place])) for place in _best(scores, limit)]

    def in_collection(self, collection_id: int) -> NDArray[np.int64]:
        """Ids of the passages of a collection, rising."""
        ids: NDArray[np.int64] = self._postings.ids[self._postings.collections == collection_id]
        return ids

    def save(self) -> None:
        """Write the index beside its place and put it there at once."""
        held = self._postings
        arrays = {name: getattr(held, name) for name in ARRAYS}
        buffer = io.BytesIO()
        np.savez(buffer, terms=np.frombuffer("\n".join(held.terms).encode("utf-8"), np.uint8), **arrays)
        facts = {"seq": self.seq, "last": self._last, **_made_by()}
        self.unsaved = not indexfile.write(self._file, facts, buffer.getvalue())

    def _add(self, scores: NDArray[np.float64], term: int) -> None:
        """Add what one term is worth to each passage that has it."""
        held = self._postings
        part = slice(held.starts[term], held.starts[term + 1])
        places, counts = held.places[part], held.counts[part].astype(np.float64)
        idf = math.log((len(held.ids) - len(places) + 0.5) / (len(places) + 0.5)) if len(places) else 0.0
        scores[places] += max(idf, LEAST_IDF) * ((counts * (K1 + 1.0)) / (counts + self._norms[places]))

    def _take(self, postings: Postings) -> None:
        self._postings = postings
        self._numbers = {term: number for number, term in enumerate(postings.terms)}
        average = float(postings.lengths.sum()) / max(len(postings.ids), 1)
        self._norms = K1 * (1 - B + B * postings.lengths / max(average, LEAST_IDF))  # [n]

    def _load(self) -> Postings:
        try:
            payload, facts = indexfile.read(self._file)
            if {name: facts[name] for name in _made_by()} != _made_by():
                raise DamagedIndex("its words were cut by another version of SQLite")
            with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
                terms = tuple(arrays["terms"].tobytes().decode("utf-8").split("\n")) if len(arrays["terms"]) else ()
                postings = Postings(terms, **{name: arrays[name] for name in ARRAYS})
        except FileNotFoundError:
            return Postings.empty()
        except (DamagedIndex, OSError, ValueError, KeyError) as error:
            log.warning("the full-text index is built again: %s", error)
            return Postings.empty()
        self.seq, self._last = int(facts["seq"]), int(facts["last"])
        return postings


def _made_by() -> dict[str, object]:
    """What must be the same for saved postings to be used, in JSON's types."""
    return {"tokenizer": TOKENIZER, "sqlite": sqlite3.sqlite_version, "columns": [list(column) for column in COLUMNS]}


def _batches(connection: sqlite3.Connection, last: int) -> Iterator[list[tuple[int, int, str, str]]]:
    """Passages with ids beyond `last`, as the full-text table has them."""
    while True:
        rows = connection.execute(
            "SELECT id, collection_id, heading, text FROM passages WHERE id > ? ORDER BY id LIMIT ?", (last, BATCH)
        ).fetchall()
        if not rows:
            return
        yield [(int(row[0]), int(row[1]), str(row[2]), str(row[3])) for row in rows]
        last = int(rows[-1][0])


def _best(scores: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """Places of the `limit` greatest scores above 0, the greatest first, earlier ones first among equals."""
    found = np.flatnonzero(scores)
    if len(found) > limit:
        least = np.partition(scores[found], len(found) - limit)[len(found) - limit]
        found = found[scores[found] >= least]
    return found[np.argsort(-scores[found], kind="stable")][:limit]
