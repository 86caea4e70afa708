"""The encoder for a few texts: the same vectors as torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kb import bert
from kb.encoder import Encoder

WORDS = ["the", "pump", "valve", "oil", "leaks", "turn", "off", "on", "42", "bar", "what", "is", "pressure"]
TEXTS = ["What is the pressure?", "the pump leaks oil", "turn off the valve " * 30, "unknown words only", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder of two layers with random weights, in the layout of the real one."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(place)
    shape = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=48,
    )
    BertModel(shape).save_pretrained(place)
    write_modules(place, "mean")
    return place


def write_modules(place: Path, pooling: str) -> None:
    """The files of sentence-transformers around a model."""
    names = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    (place / "1_Pooling").mkdir(exist_ok=True)
    (place / "2_Normalize").mkdir(exist_ok=True)
    modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 40, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 32, **modes},
    }
    for name, value in files.items():
        (place / name).write_text(json.dumps(value), encoding="utf-8")


def by_torch(folder: Path, texts: list[str], **options: Any) -> Any:
    """What sentence-transformers makes of the texts."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(texts, show_progress_bar=False, **{"normalize_embeddings": True, **options})


def test_many_texts_get_the_vectors_that_torch_gives_them(folder: Path) -> None:
    texts = [" ".join(WORDS[: number % 13]) for number in range(70)]
    done: list[int] = []
    assert np.allclose(Encoder(folder).encode(texts, done.append), by_torch(folder, texts), atol=1e-5)
    assert done == [32, 64, 70]


def test_one_text_gets_the_vector_that_torch_gives_it(folder: Path) -> None:
    encoder = Encoder(folder)
    for text, expected in zip(TEXTS, by_torch(folder, TEXTS), strict=True):
        vector = encoder.encode([text])
        assert vector.shape == (1, 32) and vector.dtype == np.float32
        assert np.allclose(vector[0], expected, atol=1e-5), text


def test_texts_that_go_through_together_do_not_see_each_other(folder: Path) -> None:
    single = bert.load(folder)
    assert single is not None
    texts = [*TEXTS, "off on", *TEXTS]
    alone = np.concatenate([single.encode([text]) for text in texts])
    assert np.allclose(single.encode(texts), alone, atol=1e-5)
    assert single.encode([]).shape == (0, 32)


def test_tokens_are_those_of_torch_with_their_places(folder: Path) -> None:
    encoder = Encoder(folder)
    hidden = by_torch(folder, TEXTS[:3], output_value="token_embeddings", normalize_embeddings=False)
    for text, one, other in zip(TEXTS, encoder.tokens(TEXTS[:3]), hidden, strict=False):
        expected = other.numpy()[1 : len(one.vectors) + 1]  # without the marks of beginning and end
        assert np.allclose(one.vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
        assert np.allclose(one.vector, encoder.encode([text])[0], atol=1e-6) and one.places[0].tolist() == [0, len(text.split()[0])]
    assert encoder.tokens([]) == []


def test_without_onnxruntime_torch_encodes_everything(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = Encoder(folder).encode(["the pump"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert np.allclose(Encoder(folder).encode(["the pump"]), expected, atol=1e-5)
    assert "onnxruntime cannot be loaded" in caplog.text


def test_a_long_text_is_cut_where_torch_cuts_it(folder: Path) -> None:
    single = bert.load(folder)
    assert single is not None
    assert len(single.tokenizer.encode("the pump " * 100).ids) == 40


def test_an_encoder_of_another_kind_is_left_to_torch(folder: Path, tmp_path: Path) -> None:
    for file in (file for file in folder.rglob("*") if file.is_file()):
        place = tmp_path / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    write_modules(tmp_path, "cls")
    assert bert.load(tmp_path) is None
    vectors = Encoder(tmp_path).encode(["the pump"])
    assert vectors.shape == (1, 32) and not np.allclose(vectors, Encoder(folder).encode(["the pump"]), atol=1e-3)


def test_products_run_on_one_thread_once_the_encoder_is_loaded(folder: Path) -> None:
    from threadpoolctl import threadpool_info

    bert.load(folder)
    libraries = [entry for entry in threadpool_info() if entry["internal_api"] == "openblas"]
    assert all(entry["num_threads"] == 1 for entry in libraries)


def test_progress_of_one_text_is_told(folder: Path) -> None:
    done: list[int] = []
    Encoder(folder).encode(["oil"], done.append)
    assert done == [1]


@pytest.mark.models
def test_the_default_encoder_is_computed_without_torch(default_encoder: Path) -> None:
    encoder = Encoder(default_encoder)
    assert bert.load(default_encoder) is not None
    texts = ["what does alarm E-17 mean?", "Schmiermittel für die Pumpe", "42 bar " * 200]
    assert np.allclose(np.concatenate([encoder.encode([text]) for text in texts]), by_torch(default_encoder, texts), atol=1e-5)
