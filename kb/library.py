"""The library of one home: the door through which documents come in, are found and go."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kb import database, ingest, originals, schema
from kb.blocks import UnreadableDocument
from kb.dense import DenseIndex, stored_vectors
from kb.encoder import Encoder, shared_encoder
from kb.names import display_name
from kb.passages import cut
from kb.readers.limits import ReaderLimits
from kb.readers.process import ReaderProcess
from kb.readers.sniff import kind_of
from kb.records import PASSAGE_COLUMNS, PASSAGE_SOURCE, Added, Document, Hit, Passage, Removed
from kb.search import Fusion, search
from kb.words import WordIndex

if TYPE_CHECKING:
    from kb.check import Report

Progress = Callable[[str, float], None]
"""Gets (what is being done, in the user's words; share done 0..1)."""
QUESTION_CHARACTERS = 2_000
"""What of a question is looked at; the encoder reads fewer."""
KEPT_PASSAGES = 1_000
log = logging.getLogger(__name__)


class Library:
    """One home, opened. A context manager; use it in the thread that made it.

    >>> with Library(home) as library:                          # doctest: +SKIP
    ...     library.add(Path("pump.pdf"))
    ...     library.search("what does alarm E-17 mean?")[0].passage.page_first
    """

    def __init__(self, home: Path, encoder: Encoder | None = None, limits: ReaderLimits = ReaderLimits()) -> None:  # noqa: B008 - frozen
        self.home = Path(home)
        self.encoder = encoder or shared_encoder()
        self.limits = limits
        self.connection: sqlite3.Connection = database.connect(self.home)
        database.migrate(self.connection, "kb", schema.MIGRATIONS)
        self.files = self.home / "files"
        self._index: DenseIndex | None = None
        self._words: WordIndex | None = None
        self._kept: dict[int, Passage] = {}
        self._kept_at = (0, 0)
        self._reader: ReaderProcess | None = None
        originals.sweep(self.connection, self.files)

    def __enter__(self) -> Library:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Save the search indexes, end the reader, close the database."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._index is not None and self._index.unsaved:
            self._index.save()
        self._index = None
        if self._words is not None:
            if self._words.unsaved:
                self._words.save()
            self._words.close()
            self._words = None
        self.connection.close()

    # documents in and out

    def add(self, path: Path, collection: str = "General", name: str | None = None, on_progress: Progress | None = None) -> Added:
        """Add a file to a collection; `name` is what the user calls it (None: the file's own name).

        Content that the collection already has is a duplicate; other content under a name that it has is a new revision.
        Never raises for a bad file: it is refused with a reason, and nothing of it stays.
        """
        started = time.monotonic()
        shown = display_name(name if name is not None else Path(path).name)
        try:
            added = self._add(Path(path), shown, collection.strip() or "General", on_progress or _ignore)
        except UnreadableDocument as error:
            added = Added(shown, "refused", str(error), None, error.pages, error.pages_without_text)
        except FileNotFoundError:
            added = Added(shown, "refused", "there is no such file")
        except PermissionError as error:
            added = Added(shown, "refused", f"the file cannot be opened ({error.strerror}); close it in other programs or check its rights")
        except OSError as error:
            added = Added(shown, "refused", f"it could not be stored: {error.strerror or error}; nothing was changed")
        except sqlite3.OperationalError as error:
            added = Added(shown, "refused", f"it could not be stored: {error}; free some disk space and add it again, nothing was changed")
        return _with(added, path=str(path), seconds=round(time.monotonic() - started, 3))

    def add_tree(self, paths: Sequence[Path], collection: str = "General", on_file: Callable[[Added], None] | None = None) -> list[Added]:
        """Add files and folders, which are walked; every file found is reported, hidden and unreadable ones as refused.

        A file of a folder is named with the folder, "manuals/pump.pdf", so that two files of one name do not replace each other.
        """
        results = []
        for path, name in walk(paths):
            if name is None:
                added = Added(str(path), "refused", "hidden files are not added; give its path to add it all the same")
            else:
                added = self.add(path, collection, name)
            results.append(added)
            if on_file:
                on_file(added)
        return results

    def remove(self, document_id: int) -> Removed:
        """Take a document out: passages, vectors and full text at once, then its originals if nothing else needs them.

        Raises:
            KeyError: there is no such document.
        """
        with database.transaction(self.connection):
            name, passages, hashes = ingest.remove(self.connection, document_id)
        files = originals.discard(self.connection, self.files, hashes)
        return Removed(document_id, name, passages, files)

    def documents(self, collection: str | None = None) -> list[Document]:
        """The documents of a collection (None: all), by name."""
        scope = "" if collection is None else " AND collections.name = ?"
        rows = self.connection.execute(
            "SELECT documents.id, documents.name, collections.name AS collection, revisions.kind, revisions.pages,"
            " revisions.pages_without_text, (SELECT count(*) FROM passages WHERE passages.document_id = documents.id) AS passages,"
            " revisions.number AS revision, revisions.id AS revision_id, revisions.added_at, revisions.size_bytes FROM documents"
            " JOIN collections ON collections.id = documents.collection_id"
            f" JOIN revisions ON revisions.document_id = documents.id AND revisions.is_current WHERE documents.removed_at IS NULL{scope}"
            " ORDER BY collections.name, documents.name, documents.id",
            () if collection is None else (collection,),
        )
        return [Document(**{**dict(row), "pages_without_text": tuple(json.loads(row["pages_without_text"]))}) for row in rows]

    def collections(self) -> list[str]:
        """Names of the collections that hold documents."""
        rows = self.connection.execute(
            "SELECT DISTINCT collections.name FROM collections JOIN documents ON documents.collection_id = collections.id"
            " WHERE documents.removed_at IS NULL ORDER BY collections.name"
        )
        return [str(row[0]) for row in rows]

    def original(self, revision_id: int) -> Path:
        """The file that a revision was read from, under its hash.

        Raises:
            KeyError: there is no such revision, or its document was removed.
        """
        row = self.connection.execute("SELECT content_sha256 FROM revisions WHERE id = ?", (revision_id,)).fetchone()
        if row is None or not (self.files / row[0]).is_file():
            raise KeyError(f"the original of revision {revision_id} is not in the library")
        return self.files / str(row[0])

    # passages and search

    def search(self, text: str, collection: str | None = None, limit: int = 10, fusion: Fusion | None = None) -> list[Hit]:
        """The passages that answer a question best, best first; an empty question finds nothing."""
        question = " ".join(text[:QUESTION_CHARACTERS].split())
        scope = None if collection is None else ingest.collection_id(self.connection, collection)
        if not question or limit < 1 or (collection is not None and scope is None):
            return []
        if self.connection.execute("SELECT 1 FROM passages LIMIT 1").fetchone() is None:
            return []
        index = self._fresh_index()
        vector = self.encoder.encode([question])[0]
        found = search(self.connection, index, self._fresh_words(), question, vector, scope, limit, fusion or Fusion())
        passages = self._passages_by_id([entry.passage_id for entry in found])
        present = [entry for entry in found if entry.passage_id in passages]
        return [Hit(passages[entry.passage_id], entry.score, entry.dense, entry.bm25, rank) for rank, entry in enumerate(present, start=1)]

    def passage(self, passage_id: int) -> Passage:
        """One passage.

        Raises:
            KeyError: there is none, or its document was replaced or removed.
        """
        found = self._passages_by_id([passage_id])
        if passage_id not in found:
            raise KeyError(f"passage {passage_id} is not in the library any more")
        return found[passage_id]

    def passages(self, collection: str | None = None) -> Iterator[Passage]:
        """All passages of a collection (None: all), in the order in which they came in; safe while documents come and go."""
        scope = "" if collection is None else " AND collections.name = ?"
        last = 0
        while True:
            rows = self.connection.execute(
                f"SELECT {PASSAGE_COLUMNS} FROM {PASSAGE_SOURCE} WHERE passages.id > ?{scope} ORDER BY passages.id LIMIT 500",
                (last,) if collection is None else (last, collection),
            ).fetchall()
            if not rows:
                return
            yield from (Passage.from_row(row) for row in rows)
            last = rows[-1]["id"]

    def context(self, passage_id: int, around: int = 2) -> list[Passage]:
        """The passage with up to `around` neighbours before and after it, in reading order: for kinds that have no pages to show.

        Raises:
            KeyError: the passage is gone.
        """
        row = self.connection.execute("SELECT revision_id, ordinal FROM passages WHERE id = ?", (passage_id,)).fetchone()
        if row is None:
            raise KeyError(f"passage {passage_id} is not in the library any more")
        rows = self.connection.execute(
            f"SELECT {PASSAGE_COLUMNS} FROM {PASSAGE_SOURCE} WHERE passages.revision_id = ? AND passages.ordinal BETWEEN ? AND ?"
            " ORDER BY passages.ordinal",
            (row["revision_id"], row["ordinal"] - around, row["ordinal"] + around),
        )
        return [Passage.from_row(entry) for entry in rows]

    def newest_seq(self, collection: str | None = None) -> int:
        """Number of the newest change that added passages to a collection (None: anywhere); 0 before the first."""
        scope = "" if collection is None else " AND collection_id = (SELECT id FROM collections WHERE name = ?)"
        row = self.connection.execute(
            f"SELECT coalesce(max(seq), 0) FROM changes WHERE kind IN ('added', 'replaced'){scope}",
            () if collection is None else (collection,),
        ).fetchone()
        return int(row[0])

    def vectors(self, passage_ids: Sequence[int]) -> NDArray[np.float32]:
        """Vectors of passages, [len(passage_ids), dimension].

        Raises:
            KeyError: one of the passages is gone.
        """
        found = stored_vectors(self.connection, passage_ids)
        gone = [passage for passage in passage_ids if passage not in found]
        if gone:
            raise KeyError(f"passage {gone[0]} is not in the library any more")
        if not passage_ids:
            return np.zeros((0, self.encoder.dimension), dtype=np.float32)
        return np.stack([found[passage] for passage in passage_ids])

    # upkeep

    def check(self, repair: bool = False) -> Report:
        """Compare tables, full text, vectors, search index and files with one another; `repair` mends what can be derived again."""
        from kb.check import check

        return check(self, repair)

    def backup(self, file: Path) -> Path:
        """Write everything into one file while the program runs; `kb.backup.restore` is the way back."""
        from kb.backup import backup

        return backup(self, file)

    def without_vectors(self) -> list[int]:
        """Ids of passages that have no vector of the encoder in use."""
        rows = self.connection.execute(
            "SELECT id FROM passages WHERE id NOT IN (SELECT passage_id FROM passage_vectors WHERE encoder = ?) ORDER BY id",
            (self.encoder.name,),
        )
        return [int(row[0]) for row in rows]

    def encode_missing(self) -> int:
        """Encode what `without_vectors` lists, as after a change of the encoder; returns how many."""
        missing = self.without_vectors()
        for first in range(0, len(missing), 256):
            found = self._passages_by_id(missing[first : first + 256])
            vectors = self.encoder.encode([passage_input(entry.heading, entry.text) for entry in found.values()])
            with database.transaction(self.connection):
                self.connection.executemany(
                    "INSERT OR REPLACE INTO passage_vectors(passage_id, encoder, vector) SELECT ?, ?, ? WHERE EXISTS"
                    " (SELECT 1 FROM passages WHERE id = ?)",
                    [(key, self.encoder.name, vector.astype("<f4").tobytes(), key) for key, vector in zip(found, vectors, strict=True)],
                )
        return len(missing)

    def rebuild_index(self) -> None:
        """Make the search indexes anew from the stored vectors and passages."""
        self._index = DenseIndex(self.home / "index", self.encoder.name, self.encoder.dimension, fresh=True)
        self._index.refresh(self.connection)
        self._index.save()
        self._words = WordIndex(self.home / "index", fresh=True)
        self._words.refresh(self.connection)
        self._words.save()

    def _add(self, path: Path, name: str, collection: str, on_progress: Progress) -> Added:
        if path.is_dir():
            raise UnreadableDocument("this is a folder; add the files in it, or use `python -m kb add`")
        kind = kind_of(path, name, self.limits)
        with originals.staged(path, self.files) as copy:
            known = ingest.same_content(self.connection, copy.sha256, collection)
            if known:
                return self._duplicate(known, name)
            on_progress("reading", 0.0)
            reading = self._running_reader().read(copy.path, kind, lambda done, total: on_progress("reading", 0.4 * done / max(total, 1)))
            drafts = cut(reading.blocks)
            inputs = [passage_input(draft.heading, draft.text) for draft in drafts]
            vectors = self.encoder.encode(inputs, lambda done: on_progress("indexing", 0.4 + 0.6 * done / len(inputs)))
            incoming = ingest.Incoming(name, copy.sha256, copy.size_bytes, reading, drafts, vectors, self.encoder.name)
            with database.transaction(self.connection):
                known = ingest.same_content(self.connection, copy.sha256, collection)
                if known:
                    return self._duplicate(known, name)
                document, replaced = ingest.store(self.connection, incoming, collection)
                originals.keep(copy, self.files)
        status, reason = ("replaced", "a new revision of a document with this name") if replaced else ("indexed", "")
        return Added(name, status, reason, document, reading.pages, reading.pages_without_text, len(drafts))  # type: ignore[arg-type]

    def _duplicate(self, known: tuple[int, str], name: str) -> Added:
        document, other = known
        reason = "the collection already has this file" + ("" if other == name else f" under the name {other}")
        entry = next(entry for entry in self.documents() if entry.id == document)
        return Added(name, "duplicate", reason, document, entry.pages, entry.pages_without_text, entry.passages)

    def _running_reader(self) -> ReaderProcess:
        if self._reader is None:
            logs = self.home / "logs"
            logs.mkdir(exist_ok=True)
            self._reader = ReaderProcess(self.limits, logs / "readers.log")
        return self._reader

    def _fresh_index(self) -> DenseIndex:
        if self._index is None:
            self.encode_missing()
            self._index = DenseIndex(self.home / "index", self.encoder.name, self.encoder.dimension)
        self._index.refresh(self.connection)
        return self._index

    def _fresh_words(self) -> WordIndex:
        if self._words is None:
            self._words = WordIndex(self.home / "index")
        self._words.refresh(self.connection)
        return self._words

    def _passages_by_id(self, passage_ids: Sequence[int]) -> dict[int, Passage]:
        """Those of the passages that are there, kept until anything in the database changes: one question asks for the same often."""
        version = (int(self.connection.execute("PRAGMA data_version").fetchone()[0]), self.connection.total_changes)
        if version != self._kept_at or len(self._kept) > KEPT_PASSAGES:
            self._kept, self._kept_at = {}, version
        missing = [passage for passage in passage_ids if passage not in self._kept]
        if missing:
            marks = ",".join("?" * len(missing))
            rows = self.connection.execute(f"SELECT {PASSAGE_COLUMNS} FROM {PASSAGE_SOURCE} WHERE passages.id IN ({marks})", missing)
            self._kept.update((int(row["id"]), Passage.from_row(row)) for row in rows)
        return {passage: self._kept[passage] for passage in passage_ids if passage in self._kept}


def passage_input(heading: Sequence[str], text: str) -> str:
    """What the encoder reads of a passage: its place in the document, then its text."""
    return f"{' > '.join(heading)}\n{text}" if heading else text


def walk(paths: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """(file, display name) of every file below the paths, sorted; the name is None for hidden files."""
    for given in paths:
        if not given.is_dir():
            yield given, given.name
            continue
        root = given.resolve()
        for folder, folders, files in os.walk(given):
            folders.sort()
            for file in sorted(files):
                path = Path(folder) / file
                inside = path.relative_to(given)
                hidden = any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in inside.parts)
                yield path, None if hidden else f"{root.name}/{inside.as_posix()}"


def _with(added: Added, **changes: object) -> Added:
    from dataclasses import replace

    return replace(added, **changes)  # type: ignore[arg-type]


def _ignore(stage: str, share: float) -> None:
    """Progress that nobody watches."""
