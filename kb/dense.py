"""The FAISS index of one home: passage vectors by inner product, kept in step with SQLite and rebuilt from it when in doubt."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kb import indexfile
from kb.indexfile import DamagedIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

INDEX_NAME = "passages.faiss"
log = logging.getLogger(__name__)


class DenseIndex:
    """Vectors in memory, keyed by passage id.

    `seq` is the newest change that the index has seen. `refresh` brings it up to date; because ids are never used twice, the ids alone
    say what is missing and what is gone. `fresh` leaves the saved file aside.
    """

    def __init__(self, folder: Path, encoder: str, dimension: int, fresh: bool = False) -> None:
        self.encoder = encoder
        self.dimension = dimension
        self.seq = 0
        self.unsaved = False
        self._file = folder / INDEX_NAME
        self._index = self._empty() if fresh else self._load()

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def refresh(self, connection: sqlite3.Connection) -> int:
        """Take in the changes that were not seen yet; returns how many passages came or went."""
        newest = newest_change(connection)
        if newest == self.seq:
            return 0
        changed = self._drop_gone(connection) + self._add_new(connection)
        self.seq = newest
        self.unsaved = True
        return changed

    def search(
        self, vector: NDArray[np.float32], limit: int, only: Sequence[int] | NDArray[np.int64] | None = None
    ) -> list[tuple[int, float]]:
        """[(passage id, cosine)], best first, of the passages `only` (None: all)."""
        import faiss

        parameters = None
        if only is not None:
            bits = _bits(np.asarray(only, np.int64))
            if not len(bits):
                return []
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg,arg-type]
        if not len(self):
            return []
        faiss.omp_set_num_threads(1)  # one question is scanned by one thread; the others would only wait and burn their cores
        scores, ids = self._index.search(vector.reshape(1, -1).astype(np.float32), min(limit, len(self)), params=parameters)
        return [(int(passage), float(score)) for passage, score in zip(ids[0], scores[0], strict=True) if passage >= 0]

    def ids(self) -> NDArray[np.int64]:
        """Passage ids in the index, [n]."""
        import faiss

        held: NDArray[np.int64] = faiss.vector_to_array(self._index.id_map)
        return held

    def save(self) -> None:
        """Write the index beside its place and put it there at once."""
        import faiss

        payload = faiss.serialize_index(self._index).tobytes()
        self.unsaved = not indexfile.write(self._file, {"encoder": self.encoder, "seq": self.seq}, payload)

    def _empty(self) -> Any:
        import faiss

        return faiss.IndexIDMap2(faiss.IndexFlatIP(self.dimension))

    def _load(self) -> Any:
        try:
            index, facts = read_index(self._file)
            if facts["encoder"] != self.encoder or index.d != self.dimension:
                raise DamagedIndex(f"it was made with {facts['encoder']}")
        except FileNotFoundError:
            return self._empty()
        except (DamagedIndex, OSError) as error:
            log.warning("the search index is built again: %s", error)
            return self._empty()
        self.seq = int(facts["seq"])
        return index

    def _drop_gone(self, connection: sqlite3.Connection) -> int:
        held = self.ids()
        current = np.fromiter((row[0] for row in connection.execute("SELECT id FROM passages ORDER BY id")), dtype=np.int64)
        gone = held[~np.isin(held, current)]
        if len(gone):
            self._index.remove_ids(gone)
        return len(gone)

    def _add_new(self, connection: sqlite3.Connection) -> int:
        held = set(self.ids().tolist())
        rows = connection.execute("SELECT passage_id FROM passage_vectors WHERE encoder = ? ORDER BY passage_id", (self.encoder,))
        missing = [int(row[0]) for row in rows if row[0] not in held]
        for first in range(0, len(missing), 500):
            batch = missing[first : first + 500]
            found = stored_vectors(connection, batch)
            kept = [passage for passage in batch if passage in found]
            if kept:
                self._index.add_with_ids(np.stack([found[passage] for passage in kept]), np.array(kept, dtype=np.int64))
        return len(missing)


def _bits(ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    """One bit for each id from 0 on, set where it is wanted: a look into it costs a third of a look into a set."""
    wanted = np.zeros(int(ids.max(initial=-1)) + 1, np.bool_)
    wanted[ids] = True
    return np.packbits(wanted, bitorder="little")


def read_index(file: Path) -> tuple[Any, dict[str, Any]]:
    """The FAISS index of a file and the facts saved with it.

    Raises:
        DamagedIndex: the file is cut short or altered.
    """
    import faiss

    payload, facts = indexfile.read(file)
    return faiss.deserialize_index(np.frombuffer(payload, dtype=np.uint8)), facts


def newest_change(connection: sqlite3.Connection) -> int:
    """Number of the library's newest change, 0 before the first."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM changes").fetchone()[0])


def stored_vectors(connection: sqlite3.Connection, passage_ids: Iterable[int]) -> dict[int, NDArray[np.float32]]:
    """Vectors by passage id, as SQLite keeps them; ids without one are left out."""
    found: dict[int, NDArray[np.float32]] = {}
    wanted = list(passage_ids)
    for first in range(0, len(wanted), 500):
        batch = wanted[first : first + 500]
        marks = ",".join("?" * len(batch))
        for row in connection.execute(f"SELECT passage_id, vector FROM passage_vectors WHERE passage_id IN ({marks})", batch):
            found[int(row[0])] = np.frombuffer(row[1], dtype="<f4").astype(np.float32)
    return found
