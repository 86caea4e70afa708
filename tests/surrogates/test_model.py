import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogates import model
from surrogates.adapter import Adapter
from surrogates.confidence import BUILT_IN, Head
from surrogates.threshold import FLOORS

TRAINED = model.Model(
    "words-1", Adapter(np.eye(4, dtype=np.float32) / 8), Head(tuple(weight + 1 for weight in BUILT_IN.weights), -3.0), facts={"seed": 0}
)


def saved(home: Path) -> Path:
    model.save(home, TRAINED)
    return home / model.FOLDER


def age(file: Path) -> None:
    """Make the file look changed, however coarse the clock of the file system."""
    stamp = file.stat()
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 5_000_000_000))


def test_a_model_reads_as_it_was_saved(home: Path) -> None:
    saved(home)
    read = model.current(home, "words-1")
    assert read.adapter is not None
    assert np.array_equal(read.adapter.weight, TRAINED.adapter.weight)  # type: ignore[union-attr]
    assert (read.head, read.certificates, read.facts, read.problem) == (TRAINED.head, TRAINED.certificates, TRAINED.facts, "")


def test_a_home_without_a_model_uses_the_built_in_one(home: Path) -> None:
    read = model.current(home, "words-1")
    assert (read.adapter, read.head, read.problem) == (None, BUILT_IN, "")
    assert [certificate.accept_at for certificate in read.certificates] == list(FLOORS)


def test_a_model_of_another_encoder_is_set_aside_with_a_message(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(home)
    read = model.current(home, "words-2")
    assert read.head == BUILT_IN
    assert "trained for words-1" in read.problem
    assert "run training again" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 9}'])
def test_a_damaged_description_is_set_aside(home: Path, content: bytes) -> None:
    file = saved(home) / model.MODEL
    file.write_bytes(content)
    age(file)
    read = model.current(home, "words-1")
    assert read.problem
    assert read.head == BUILT_IN


def test_an_adapter_that_was_altered_is_set_aside(home: Path) -> None:
    folder = saved(home)
    content = bytearray((folder / model.ADAPTER).read_bytes())
    content[-1] ^= 1
    (folder / model.ADAPTER).write_bytes(content)
    age(folder / model.MODEL)
    assert "damaged" in model.current(home, "words-1").problem


def test_a_missing_adapter_is_set_aside(home: Path) -> None:
    folder = saved(home)
    (folder / model.ADAPTER).unlink()
    age(folder / model.MODEL)
    assert model.current(home, "words-1").problem


def test_numbers_that_are_none_are_refused(home: Path) -> None:
    file = saved(home) / model.MODEL
    value = json.loads(file.read_text(encoding="utf-8"))
    value["head"]["bias"] = float("nan")
    file.write_text(json.dumps(value), encoding="utf-8")
    age(file)
    assert model.current(home, "words-1").head == BUILT_IN


def test_a_model_from_before_the_floors_rose_is_held_to_those_of_now(home: Path) -> None:
    low = tuple(replace(certificate, accept_at=0.5) for certificate in TRAINED.certificates)
    model.save(home, replace(TRAINED, certificates=low))
    assert [certificate.accept_at for certificate in model.current(home, "words-1").certificates] == list(FLOORS)
