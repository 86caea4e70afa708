"""The FAISS index and the file it is kept in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kb.dense import INDEX_NAME, DenseIndex, read_index
from kb.encoder import Encoder
from kb.indexfile import DamagedIndex
from kb.library import Library

Write = Callable[[str, str], Path]


@pytest.fixture
def filled(library: Library, write: Write) -> Library:
    """Forty passages in two collections."""
    for number in range(40):
        library.add(write(f"{number}.md", f"# Unit {number}\n\nThe pump number {number} runs at {number * 3} bar."), f"Line {number % 2}")
    return library


def test_faiss_order_equals_brute_force(filled: Library, encoder: Encoder) -> None:
    index = DenseIndex(filled.home / "other", encoder.name, encoder.dimension)
    index.refresh(filled.connection)
    ids = [passage.id for passage in filled.passages()]
    query = encoder.encode(["pump number 7"])[0]
    cosines = filled.vectors(ids) @ query
    expected = [ids[place] for place in np.argsort(-cosines, kind="stable")[:15]]
    assert [passage for passage, _ in index.search(query, 15)] == expected


def test_a_scope_is_exact_however_small(filled: Library, encoder: Encoder) -> None:
    index = DenseIndex(filled.home / "other", encoder.name, encoder.dimension)
    index.refresh(filled.connection)
    wanted = [passage.id for passage in filled.passages("Line 1")][-3:]
    found = index.search(encoder.encode(["pump number 0"])[0], 10, wanted)
    assert {passage for passage, _ in found} == set(wanted)
    assert index.search(encoder.encode(["pump"])[0], 10, []) == []


def test_a_reloaded_index_equals_the_saved_one(filled: Library, encoder: Encoder) -> None:
    index = DenseIndex(filled.home / "other", encoder.name, encoder.dimension)
    index.refresh(filled.connection)
    index.save()
    again = DenseIndex(filled.home / "other", encoder.name, encoder.dimension)
    query = encoder.encode(["pump number 7"])[0]
    assert again.seq == index.seq and again.refresh(filled.connection) == 0
    assert again.search(query, 40) == index.search(query, 40)


def test_changes_are_replayed(filled: Library, encoder: Encoder, write: Write) -> None:
    index = DenseIndex(filled.home / "other", encoder.name, encoder.dimension)
    index.refresh(filled.connection)
    gone = filled.documents()[0]
    filled.remove(gone.id)
    filled.add(write("new.md", "# New\n\nA valve."))
    assert index.refresh(filled.connection) == 2
    assert set(index.ids().tolist()) == {passage.id for passage in filled.passages()}


@pytest.mark.parametrize("damage", ["cut", "flipped", "nonsense", "empty"])
def test_a_damaged_file_is_built_again(filled: Library, encoder: Encoder, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = filled.home / "other"
    index = DenseIndex(folder, encoder.name, encoder.dimension)
    index.refresh(filled.connection)
    index.save()
    file = folder / INDEX_NAME
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes({"cut": bytes(data[:-50]), "flipped": bytes(data), "nonsense": b"hello\n", "empty": b""}[damage])
    with pytest.raises(DamagedIndex):
        read_index(file)
    with caplog.at_level(logging.WARNING):
        again = DenseIndex(folder, encoder.name, encoder.dimension)
    assert "built again" in caplog.text and len(again) == 0
    again.refresh(filled.connection)
    assert len(again) == 40


def test_an_index_of_another_encoder_is_not_used(filled: Library, encoder: Encoder) -> None:
    index = DenseIndex(filled.home / "other", encoder.name, encoder.dimension)
    index.refresh(filled.connection)
    index.save()
    assert len(DenseIndex(filled.home / "other", "another", encoder.dimension)) == 0
