"""The two kinds of source: a Hugging Face folder with safetensors files, and a GGUF file."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine import architecture, names, tensors
from engine.errors import UnknownArchitecture, UnusableSource
from engine.formats import Floats
from engine.gguf import GgufFile
from engine.huggingface import config_from_hugging_face
from engine.metadata import config_from_gguf
from engine.source import Matrix, TokenizerFacts, check_tensors
from engine.vocabulary import tokenizer_from_gguf, tokenizer_from_merges

_FORMAT_OF_DTYPE = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
_END_OF_ANSWER = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "</s>", "<|end|>", "<end_of_turn>")
"""Control tokens that end an answer in chat models even where the file names another end token."""


class Checkpoint:
    """A folder with config.json, tokenizer files and one or more safetensors files."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableSource or UnknownArchitecture, see `engine.source.open_source`."""
        self.path = path
        self.name = path.resolve().name
        self._values = _json(path / "config.json")
        self.config = config_from_hugging_face(self._values)
        self._places = self._find_tensors()
        self._pieces = names.pieces(self._places, names.HUGGING_FACE_NAMES[self.config.architecture], self.config)
        if self.config.tied:
            self._pieces.pop("head.weight", None)
        self.shapes = {name: piece.shape(self._places[piece.stored][1].shape) for name, piece in self._pieces.items()}
        check_tensors(self.config, self.shapes)
        self.licence = _licence(path / "README.md")
        rotary = self.config.rope_theta is not None
        self.rope_frequencies: Floats | None = architecture.rope_frequencies(self.config, self._values) if rotary else None

    def _find_tensors(self) -> dict[str, tuple[Path, tensors.Entry]]:
        files = self.files()
        return {name: (file, entry) for file in files for name, entry in tensors.read_header(file).items()}

    def files(self) -> list[Path]:
        """The safetensors files that the index names, or all there are."""
        index = self.path / "model.safetensors.index.json"
        if index.is_file():
            files = [self.path / name for name in sorted(set(_json(index)["weight_map"].values()))]
        else:
            files = sorted(self.path.glob("*.safetensors"))
        missing = [file.name for file in files if not file.is_file()]
        if missing or not files:
            raise UnusableSource(f"the folder {self.path} lacks {', '.join(missing) or 'safetensors files'}; fetch the checkpoint again")
        return files

    def format(self, tensor: str) -> str:
        """f32, f16 or bf16."""
        stored = self._pieces[tensor].stored
        dtype = self._places[stored][1].dtype
        if dtype not in _FORMAT_OF_DTYPE:
            raise UnknownArchitecture(f"the tensor {stored!r} is stored as {dtype}; the engine reads F32, F16 and BF16")
        return _FORMAT_OF_DTYPE[dtype]

    def read(self, tensor: str, first: int = 0, count: int | None = None) -> Matrix:
        """Rows of one tensor as floats."""
        piece, shape = self._pieces[tensor], self.shapes[tensor]
        file, entry = self._places[piece.stored]
        rows = piece.read(shape, entry.size // entry.shape[0], first, count, partial(tensors.read_bytes, file, entry))
        return Matrix(self.format(tensor), rows, shape[-1])

    def tokenizer_json(self) -> str:
        """tokenizer.json as it is, or built from vocab.json and merges.txt."""
        if (self.path / "tokenizer.json").is_file():
            return (self.path / "tokenizer.json").read_text("utf-8")
        if not (self.path / "vocab.json").is_file() or not (self.path / "merges.txt").is_file():
            raise UnusableSource(f"the folder {self.path} has no tokenizer.json; fetch the checkpoint with its tokenizer")
        settings = _json_if_there(self.path / "tokenizer_config.json")
        bos = _token_text(settings.get("bos_token")) if settings.get("add_bos_token", self.config.architecture == "opt") else None
        return json.dumps(tokenizer_from_merges(self.path, bos), ensure_ascii=False)

    def tokenizer_facts(self) -> TokenizerFacts:
        """From generation_config.json, config.json, tokenizer_config.json and chat_template.jinja."""
        settings = _json_if_there(self.path / "tokenizer_config.json")
        generation = _json_if_there(self.path / "generation_config.json")
        eos_token = _token_text(settings.get("eos_token"))
        numbers = {*_numbers(generation.get("eos_token_id")), *_numbers(self._values.get("eos_token_id"))}
        numbers |= {number for text, number in self._special_tokens().items() if text == eos_token or text in _END_OF_ANSWER}
        template_file = self.path / "chat_template.jinja"
        template = template_file.read_text("utf-8") if template_file.is_file() else _default_template(settings.get("chat_template"))
        return TokenizerFacts(tuple(sorted(numbers)), _token_text(settings.get("bos_token")), eos_token, template)

    def _special_tokens(self) -> dict[str, int]:
        return {token["content"]: token["id"] for token in json.loads(self.tokenizer_json()).get("added_tokens", [])}


class GgufCheckpoint:
    """A GGUF file; quantised rows are taken over as they are."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableSource or UnknownArchitecture, see `engine.source.open_source`."""
        self.path = path
        self.name = path.stem
        self._file = GgufFile(path)
        metadata = self._file.metadata
        self.config = config_from_gguf(metadata, tied="output.weight" not in self._file.tensors)
        self._pieces = names.pieces(self._file.tensors, names.GGUF_NAMES[self.config.architecture], self.config)
        if self.config.architecture == "llama":
            turned = {name: piece for name, piece in self._pieces.items() if _TURNED.fullmatch(name)}
            self._pieces |= {name: _halves_from_pairs(piece, self.config, name) for name, piece in turned.items()}
        self.shapes = {name: piece.shape(self._file.tensors[piece.stored].shape) for name, piece in self._pieces.items()}
        check_tensors(self.config, self.shapes)
        self.licence = str(metadata["general.license"]) if "general.license" in metadata else None
        frequencies = architecture.rope_frequencies(self.config, {})
        if "rope_freqs.weight" in self._file.tensors:
            frequencies = frequencies / self._file.read("rope_freqs.weight").view("<f4")[0]
        self.rope_frequencies: Floats | None = frequencies

    def files(self) -> list[Path]:
        """The one file."""
        return [self.path]

    def format(self, tensor: str) -> str:
        """As GGML names it."""
        return self._file.tensors[self._pieces[tensor].stored].format.name

    def read(self, tensor: str, first: int = 0, count: int | None = None) -> Matrix:
        """Rows of one tensor; those of Llama's query and key are put back into the order of the original checkpoint."""
        piece, shape = self._pieces[tensor], self.shapes[tensor]
        place = self._file.tensors[piece.stored]
        rows = piece.read(shape, place.size // place.shape[0], first, count, partial(self._file.read_bytes, piece.stored))
        return Matrix(self.format(tensor), rows, shape[-1])

    def tokenizer_json(self) -> str:
        """Built from the file's vocabulary."""
        return json.dumps(tokenizer_from_gguf(self._file.metadata), ensure_ascii=False)

    def tokenizer_facts(self) -> TokenizerFacts:
        """From the file's metadata."""
        metadata = self._file.metadata
        tokens: list[str] = metadata["tokenizer.ggml.tokens"]
        types: list[int] = metadata.get("tokenizer.ggml.token_type") or [1] * len(tokens)
        numbers = {int(metadata[key]) for key in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id") if key in metadata}
        numbers |= {number for number, text in enumerate(tokens) if types[number] == 3 and text in _END_OF_ANSWER}
        bos, eos = metadata.get("tokenizer.ggml.bos_token_id"), metadata.get("tokenizer.ggml.eos_token_id")
        return TokenizerFacts(
            eos_ids=tuple(sorted(numbers)),
            bos_token=None if bos is None else tokens[bos],
            eos_token=None if eos is None else tokens[eos],
            chat_template=metadata.get("tokenizer.chat_template"),
        )


_TURNED = re.compile(r"layer\.\d+\.(query|key)\.(weight|bias)")


def _halves_from_pairs(piece: names.Piece, config: architecture.Config, tensor: str) -> names.Piece:
    """GGUF stores Llama's rotated columns as neighbouring pairs; the decoder pairs column i with i + head_dim / 2."""
    count = (config.heads if ".query." in tensor else config.kv_heads) * config.head_dim
    rows, total = (np.arange(count), count) if piece.rows is None else (piece.rows, piece.total)
    return names.Piece(piece.stored, rows.reshape(-1, config.head_dim // 2, 2).swapaxes(1, 2).reshape(-1), total)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UnusableSource(f"there is no {path.name} in {path.parent}; expected config.json, tokenizer and safetensors files")
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UnusableSource(f"{path} is not valid JSON ({error}); fetch the checkpoint again") from error
    if not isinstance(value, dict):
        raise UnusableSource(f"{path} holds {type(value).__name__}, expected an object; fetch the checkpoint again")
    return value


def _json_if_there(path: Path) -> dict[str, Any]:
    return _json(path) if path.is_file() else {}


def _numbers(value: Any) -> list[int]:
    if value is None:
        return []
    return [int(item) for item in value] if isinstance(value, list) else [int(value)]


def _token_text(value: Any) -> str | None:
    """Tokenizer configurations name a token by its text or by an object that holds it."""
    if isinstance(value, dict):
        value = value.get("content")
    return None if value is None else str(value)


def _default_template(value: Any) -> str | None:
    """Some configurations list several named templates."""
    if isinstance(value, list):
        named = {entry["name"]: entry["template"] for entry in value}
        value = named.get("default")
    return None if value is None else str(value)


def _licence(readme: Path) -> str | None:
    """The `license:` line of a model card's front matter."""
    if not readme.is_file():
        return None
    front = re.match(r"---\r?\n(.*?)\r?\n---", readme.read_text("utf-8", errors="replace"), re.DOTALL)
    line = re.search(r"^license:\s*(\S+)", front[1], re.MULTILINE) if front else None
    return line[1].strip("'\"") if line else None
