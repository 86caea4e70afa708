"""The sentence encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kb import encoder as module
from kb.encoder import Encoder, EncoderMissing, installed_encoder


@pytest.mark.models
def test_vectors_have_unit_length_and_keep_the_order(default_encoder: Path) -> None:
    encoder = Encoder(default_encoder)
    texts = ["The pump leaks. " * 12, "Oil", "The pump loses oil."]
    done: list[int] = []
    vectors = encoder.encode(texts, done.append)
    assert vectors.shape == (3, encoder.dimension) and vectors.dtype == np.float32 and done == [3]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[1], encoder.encode(["Oil"])[0], atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dimension)


@pytest.mark.models
def test_the_name_follows_the_files_not_the_folder(default_encoder: Path, tmp_path: Path) -> None:
    for file in default_encoder.rglob("*"):
        if file.is_file() and file.suffix != ".md":
            place = tmp_path / "moved" / file.relative_to(default_encoder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    assert Encoder(tmp_path / "moved").name == Encoder(default_encoder).name
    (tmp_path / "moved" / "config.json").write_text("{}", encoding="utf-8")
    assert Encoder(tmp_path / "moved").name != Encoder(default_encoder).name


def test_a_missing_encoder_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(EncoderMissing, match=r"python launch\.py setup"):
        installed_encoder()
