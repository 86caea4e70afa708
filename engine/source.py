"""A checkpoint as the packer sees it, whichever way it is stored: its configuration, tokenizer, and tensors by canonical name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.architecture import Config
from engine.errors import UnusableSource
from engine.formats import Bytes


@dataclass(frozen=True)
class TokenizerFacts:
    """What tokenizer.json does not say. `eos_ids` end an answer; `chat_template` is Jinja, None for a model that has no chat form."""

    eos_ids: tuple[int, ...]
    bos_token: str | None
    eos_token: str | None
    chat_template: str | None


@dataclass(frozen=True)
class Matrix:
    """Rows in a block format: `data` uint8 [rows, row_bytes]; a vector is one row."""

    format: str
    data: Bytes
    columns: int


class Described(Protocol):
    """A checkpoint of which the tensors are known by name, shape and format: opened, or announced by a hub."""

    @property
    def config(self) -> Config: ...

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical tensor name -> (rows, columns), or (length,)."""
        ...

    def format(self, tensor: str) -> str:
        """The block format in which the tensor is stored."""
        ...


class Source(Described, Protocol):
    """A checkpoint that is opened but not loaded."""

    path: Path
    name: str
    config: Config
    licence: str | None
    rope_frequencies: NDArray[np.float32] | None
    shapes: dict[str, tuple[int, ...]]

    def read(self, tensor: str, first: int = 0, count: int | None = None) -> Matrix:
        """Rows of one tensor from `first` on, in the stored format: `count` of them, or all. A vector is one row."""
        ...

    def tokenizer_json(self) -> str:
        """What `tokenizers` loads."""
        ...

    def tokenizer_facts(self) -> TokenizerFacts: ...

    def files(self) -> list[Path]:
        """The files that hold the weights, in a fixed order."""
        ...


@dataclass(frozen=True)
class SourceSummary:
    """What a user wants to know before a checkpoint is taken in. `licence` is None when the checkpoint does not state one.

    `least_bytes` is the least memory budget with which the pack will run.
    """

    name: str
    architecture: str
    parameters: int
    size_bytes: int
    licence: str | None
    least_bytes: int
    context: int


def open_source(path: Path) -> Source:
    """Open a GGUF file or a Hugging Face checkpoint folder.

    Raises:
        UnusableSource: there is nothing usable at `path`, or it is damaged.
        UnknownArchitecture: the engine cannot run it.
    """
    from engine.checkpoint import Checkpoint, GgufCheckpoint

    if path.is_dir():
        return Checkpoint(path)
    if not path.exists():
        raise UnusableSource(f"there is no checkpoint at {path}")
    if path.suffix.lower() != ".gguf":
        raise UnusableSource(f"{path} is neither a .gguf file nor a checkpoint folder with config.json")
    return GgufCheckpoint(path)


def describe(source: Path) -> SourceSummary:
    """Architecture, size and least memory of a checkpoint, from its headers alone."""
    from engine.plan import least_bytes_of_source

    opened = open_source(source)
    return SourceSummary(
        name=opened.name,
        architecture=opened.config.architecture,
        parameters=sum(int(np.prod(shape)) for shape in opened.shapes.values()),
        size_bytes=sum(file.stat().st_size for file in opened.files()),
        licence=opened.licence,
        least_bytes=least_bytes_of_source(opened),
        context=opened.config.context,
    )


def check_tensors(config: Config, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise UnusableSource unless every tensor that the decoder needs is there in its shape."""
    for name, shape in expected_shapes(config).items():
        if name not in shapes:
            raise UnusableSource(f"the checkpoint has no tensor {name!r}; it is incomplete")
        if shapes[name] != shape and not (name in ("embedding.weight", "head.weight") and shapes[name][1:] == shape[1:]):
            raise UnusableSource(
                f"the tensor {name!r} has shape {shapes[name]}, expected {shape}; checkpoint and configuration do not match"
            )


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The tensors without which the decoder cannot run. Biases of a projection are optional everywhere."""
    hidden, keys = config.hidden, config.kv_heads * config.head_dim
    queries = config.heads * config.head_dim
    layer = {"query": (queries, hidden), "key": (keys, hidden), "value": (keys, hidden), "output": (hidden, queries)}
    layer |= {"up": (config.ffn, hidden), "down": (hidden, config.ffn)} | ({"gate": (config.ffn, hidden)} if config.gated else {})
    expected: dict[str, tuple[int, ...]] = {"embedding.weight": (config.vocabulary, hidden)}
    if not config.tied:
        expected["head.weight"] = (config.vocabulary, hidden)
    if config.rope_theta is None:
        expected["positions.weight"] = (config.context + config.position_offset, hidden)
    parts = ("weight", "bias") if config.norm == "layer" else ("weight",)
    for part in parts:
        expected[f"final_norm.{part}"] = (hidden,)
    for number in range(config.layers):
        for matrix, shape in layer.items():
            expected[f"layer.{number}.{matrix}.weight"] = shape
        for norm in ("attention_norm", "ffn_norm"):
            for part in parts:
                expected[f"layer.{number}.{norm}.{part}"] = (hidden,)
        for norm in ("query_norm", "key_norm") if config.head_norm else ():
            for part in parts:
                expected[f"layer.{number}.{norm}.{part}"] = (config.head_dim,)
    return expected
