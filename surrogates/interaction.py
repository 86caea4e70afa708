"""Passages token by token, so that each word of a question can look for its match in them (late interaction, arXiv:2004.12832).

The frozen encoder's token vectors of every passage are kept, turned onto their principal axes and as bytes: 72 bytes a token, about 12 KB
a passage. The axes are found from passages spread over the library, once it has enough of them, and belong to one encoder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kb.database import transaction
from surrogates import schema
from surrogates.units import spans

if TYPE_CHECKING:
    from kb.encoder import Encoder, Tokens
    from kb.library import Library
    from kb.records import Passage

WIDTH = 64
"""Principal axes that are kept; they hold about 70 % of the variance of a manual's tokens."""
PIECE_CHARACTERS = 900
"""A longer text goes through the encoder in pieces, each behind the heading; the encoder would cut it otherwise."""
SAMPLED = 48
"""Passages that the axes are found from; a library that had fewer then gets new axes when it has as many."""
TITLE, ABOVE = -1, -2
"""Where tokens of the passage's own heading, and of the headings above it, say that they begin."""
KEPT = 600
"""Passages whose tokens stay in memory."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class PassageTokens:
    """The tokens of a passage behind its headings: unit vectors [n, w], and the characters of its text that each stands for, [n]."""

    vectors: Vectors
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]

    def within(self, start: int, end: int) -> NDArray[np.bool_]:
        """Which tokens stand in `text[start:end]`, [n]."""
        return np.asarray((self.starts >= start) & (self.ends <= end), np.bool_)

    @property
    def title(self) -> NDArray[np.bool_]:
        """Which tokens are those of the passage's own heading, [n]."""
        return np.asarray(self.starts == TITLE, np.bool_)


@dataclass(frozen=True)
class QuestionTokens:
    """A question's tokens on the same axes as the passages [n, w], as the encoder makes them [n, d], and where each stands, [n, 2]."""

    vectors: Vectors
    full: Vectors
    places: NDArray[np.int32]


class Interaction:
    """The token vectors of one library's passages, for one thread."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._axes: Vectors | None = None
        self._sampled = 0
        self._held: dict[int, PassageTokens] = {}

    def question(self, tokens: Tokens) -> QuestionTokens | None:
        """A question on the library's axes; None while no passage was read."""
        self._follow()
        return None if self._axes is None else QuestionTokens(_turned(tokens.vectors, self._axes), tokens.vectors, tokens.places)

    def passages(self, ids: Sequence[int]) -> dict[int, PassageTokens]:
        """The tokens of those of the passages that were read."""
        self._follow()
        missing = [id_ for id_ in ids if id_ not in self._held]
        if missing:
            if len(self._held) + len(missing) > KEPT:
                self._held.clear()
                missing = list(ids)
            marks = ",".join("?" * len(missing))
            rows = self._library.connection.execute(
                f"SELECT passage_id, vectors, places FROM passage_tokens WHERE encoder = ? AND passage_id IN ({marks})",
                (self._library.encoder.name, *missing),
            )
            self._held |= {int(row["passage_id"]): _from_bytes(row["vectors"], row["places"]) for row in rows}
        return {id_: self._held[id_] for id_ in ids if id_ in self._held}

    def _follow(self) -> None:
        """Take in that axes were found, or found anew; the tokens on the old ones are gone then."""
        sampled = _sampled(self._library.connection, self._library.encoder)
        if sampled != self._sampled:
            self._axes, self._sampled = _axes(self._library.connection, self._library.encoder), sampled
            self._held.clear()


def read(
    library: Library,
    on_progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    at_most: int | None = None,
) -> int:
    """Keep the tokens of the passages that have none for the library's encoder, `at_most` so many; returns how many were read.

    Each passage is a transaction of its own; stopped, the rest is left for the next time.
    """
    return read_passages(library, unread(library, at_most), on_progress, should_stop)


def read_passages(
    library: Library,
    waiting: Sequence[int],
    on_progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> int:
    """Keep the tokens of these passages, which have none; returns how many were read before it was stopped."""
    connection, encoder = schema.of(library), library.encoder
    axes = _axes(connection, encoder) if waiting and not _outgrown(connection, encoder) else None
    if waiting and axes is None:
        axes = _find_axes(connection, encoder)
    for number, passage_id in enumerate(waiting):
        if axes is None or (should_stop is not None and should_stop()):
            return number
        if on_progress is not None:
            on_progress(number / len(waiting))
        try:
            passage = library.passage(passage_id)
        except KeyError:  # removed since the list was made
            continue
        _store(connection, encoder.name, passage, _tokens_of(passage, encoder, axes), axes)
    return len(waiting)


def unread(library: Library, at_most: int | None = None) -> list[int]:
    """The passages without tokens of the library's encoder, oldest first, `at_most` so many."""
    rows = schema.of(library).execute(
        "SELECT id FROM passages WHERE id NOT IN (SELECT passage_id FROM passage_tokens WHERE encoder = ?) ORDER BY id LIMIT ?",
        (library.encoder.name, -1 if at_most is None else at_most),
    )
    return [int(row[0]) for row in rows]


def _tokens_of(passage: Passage, encoder: Encoder, axes: Vectors) -> PassageTokens:
    """Heading and text piece by piece; the heading's tokens are taken from the first piece."""
    above, title = " > ".join(passage.heading[:-1]), " > ".join(passage.heading[-1:])
    head = f"{above} > {title}\n" if above else f"{title}\n" if title else ""
    vectors: list[Vectors] = []
    starts: list[NDArray[np.int32]] = []
    ends: list[NDArray[np.int32]] = []
    for first, last in _pieces(passage.text):
        tokens = encoder.tokens([head + passage.text[first:last]])[0]
        begins = tokens.places[:, 0] - len(head)
        in_text = begins >= 0
        keep = in_text if vectors else np.ones(len(begins), bool)
        in_title = tokens.places[:, 0] >= len(head) - len(title) - 1
        marked = np.where(in_text, begins + first, np.where(in_title, TITLE, ABOVE))
        vectors.append(_turned(tokens.vectors, axes)[keep])
        starts.append(marked[keep])
        ends.append(np.where(in_text, tokens.places[:, 1] - len(head) + first, marked)[keep])
    if not vectors:
        return PassageTokens(np.zeros((0, axes.shape[1]), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32))
    return PassageTokens(np.concatenate(vectors), np.concatenate(starts).astype(np.int32), np.concatenate(ends).astype(np.int32))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Whole units together, as many as `PIECE_CHARACTERS` hold; a longer one is cut."""
    start = end = None
    for span in spans(text):
        if start is not None and end is not None and span.end - start > PIECE_CHARACTERS:
            yield start, end
            start = None
        start = span.start if start is None else start
        while span.end - start > PIECE_CHARACTERS:
            yield start, start + PIECE_CHARACTERS
            start += PIECE_CHARACTERS
        end = span.end
    if start is not None and end is not None:
        yield start, end


def _axes(connection: sqlite3.Connection, encoder: Encoder) -> Vectors | None:
    row = connection.execute("SELECT axes FROM token_axes WHERE encoder = ?", (encoder.name,)).fetchone()
    return None if row is None else np.frombuffer(row[0], np.float32).reshape(encoder.dimension, -1)


def _sampled(connection: sqlite3.Connection, encoder: Encoder) -> int:
    """How many passages the axes were found from, 0 while there are none."""
    row = connection.execute("SELECT sampled FROM token_axes WHERE encoder = ?", (encoder.name,)).fetchone()
    return 0 if row is None else int(row[0])


def _outgrown(connection: sqlite3.Connection, encoder: Encoder) -> bool:
    """Whether the axes were found from fewer passages than the library could give now."""
    if _sampled(connection, encoder) >= SAMPLED:
        return False
    return len(connection.execute("SELECT 1 FROM passages LIMIT ?", (SAMPLED,)).fetchall()) == SAMPLED


def _find_axes(connection: sqlite3.Connection, encoder: Encoder) -> Vectors:
    """The principal axes of the tokens of passages spread over the library, [d, w]; kept for this encoder, those of others are dropped.

    Those that another thread found meanwhile from as many are taken instead.
    """
    ids = [row[0] for row in connection.execute("SELECT id FROM passages ORDER BY id")]
    chosen = ids[:: max(1, len(ids) // SAMPLED)][:SAMPLED]
    marks = ",".join("?" * len(chosen))
    texts = [row[0] for row in connection.execute(f"SELECT text FROM passages WHERE id IN ({marks}) ORDER BY id", chosen)]
    vectors = np.concatenate([encoder.tokens([text[:PIECE_CHARACTERS]])[0].vectors for text in texts])  # [n, d]
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    axes = np.ascontiguousarray(directions[:, ::-1][:, :WIDTH], np.float32)
    with transaction(connection):
        if _sampled(connection, encoder) >= len(chosen) and (found := _axes(connection, encoder)) is not None:
            return found
        connection.execute("DELETE FROM token_axes")
        connection.execute("DELETE FROM passage_tokens")
        connection.execute("INSERT INTO token_axes(encoder, axes, sampled) VALUES (?, ?, ?)", (encoder.name, axes.tobytes(), len(chosen)))
    return axes


def _store(connection: sqlite3.Connection, encoder: str, passage: Passage, tokens: PassageTokens, axes: Vectors) -> None:
    """Keep tokens while the passage is there and `axes` are the library's."""
    places = np.stack([tokens.starts, tokens.ends], axis=1)  # [n, 2]
    values = np.clip(np.round(tokens.vectors * 127), -127, 127).astype(np.int8)
    connection.execute(
        "INSERT OR REPLACE INTO passage_tokens(passage_id, encoder, vectors, places) SELECT passages.id, ?, ?, ? FROM passages"
        " JOIN token_axes ON token_axes.encoder = ? AND token_axes.axes = ? WHERE passages.id = ?",
        (encoder, values.tobytes(), places.astype(np.int32).tobytes(), encoder, axes.tobytes(), passage.id),
    )


def _from_bytes(vectors: bytes, places: bytes) -> PassageTokens:
    where = np.frombuffer(places, np.int32).reshape(-1, 2)
    values = np.frombuffer(vectors, np.int8).reshape(len(where), -1 if len(where) else WIDTH).astype(np.float32) / np.float32(127)
    return PassageTokens(np.asarray(values, np.float32), where[:, 0], where[:, 1])


def _turned(vectors: Vectors, axes: Vectors) -> Vectors:
    turned = vectors @ axes  # [n, w]
    return np.asarray(turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9), np.float32)
