"""manifest.json of a pack: what the files hold, how bundles are laid out, and the checksums."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from engine.architecture import Config
from engine.errors import CorruptPack
from engine.files import MANIFEST as MANIFEST
from engine.formats import find
from engine.kernels import Activation
from engine.source import TokenizerFacts

LAYOUT_VERSION = 2
RESIDENT, FFN, TOKENIZER = "resident.safetensors", "ffn.safetensors", "tokenizer.json"
PREDICTOR = "predictor.safetensors"
VOCABULARY = "vocabulary.safetensors"
"""tokenizer.json compiled; packs of vocabularies that only the `tokenizers` library runs have none."""


@dataclass(frozen=True)
class Part:
    """A piece of every tile of a layer: `rows` of `columns` weights in `format`, `offset` bytes into the tile."""

    name: str
    format: str
    offset: int
    rows: int
    columns: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return find(self.format).row_bytes(self.columns)

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.rows * self.row_bytes


@dataclass(frozen=True)
class LayerLayout:
    """How a layer's FFN lies in ffn.safetensors: tiles, `stride` bytes apart, that are the least that is read and checksummed.

    A tile bundles the rows of up (and gate) of `tile_neurons` neurons with their columns of down. With `axis` "neuron" (neurons of ReLU
    kind, one a tile) a column of down stands as a row of its own, quantised along it; with "output" (the others) the tile holds its
    columns output by output, on the grid of the source, so that the down projection is a dot product. The last tile is filled up with
    neurons of zeros. `group` columns of down share a scale; `permutation` names a tensor with the order of the neurons (None: as in the
    checkpoint); `activation` stands between up (and gate) and down.
    """

    neurons: int
    tile_neurons: int
    stride: int
    parts: tuple[Part, ...]
    axis: Literal["neuron", "output"]
    group: int
    permutation: str | None = None
    activation: Activation = "silu"

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return -(-self.neurons // self.tile_neurons)

    @property
    def size(self) -> int:
        """Bytes of all tiles."""
        return self.tiles * self.stride

    @property
    def gated(self) -> bool:
        """Whether there is a gate."""
        return any(part.name == "gate" for part in self.parts)

    def part(self, name: str) -> Part:
        """KeyError for a part that the layer does not have."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)


@dataclass(frozen=True)
class Stored:
    """A resident tensor: block format, weights in a row, and the CRC-32 of its bytes."""

    format: str
    rows: int
    columns: int
    crc32: int


@dataclass(frozen=True)
class Foreseen:
    """How well a layer's firing neurons are foreseen, as shares measured on text that was not learned from.

    `active` and `wanted` are of all neurons, `false_negatives` of the firing and `false_positives` of the silent ones.
    """

    rank: int
    active: float
    wanted: float
    false_negatives: float
    false_positives: float


@dataclass(frozen=True)
class Calibration:
    """What a ReLU model's pack learned from a text: its predictor and the order of its neurons.

    `tensors` are those of predictor.safetensors; with `ahead` a layer is foreseen from what the feed-forward before it sees.
    `loads` says for windows of some sizes, as shares of the neurons: slots, of which pinned, and what a token loads. Perplexities are of
    the held-out text.
    """

    text_sha256: str
    tokens: int
    ahead: bool
    tensors: dict[str, Stored]
    layers: tuple[Foreseen, ...]
    loads: tuple[tuple[float, float, float], ...]
    run_length: float
    run_length_before: float
    perplexity_exact: float
    perplexity_balanced: float


@dataclass(frozen=True)
class Balanced:
    """The smaller second form of the feed-forward: as many tiles, in fewer bits, in a file of their own, each with its CRC-32.

    Perplexities are of a part of the text that the rounding did not see; `tokens` are those it saw and those it was measured on.
    """

    file: str
    layers: tuple[LayerLayout, ...]
    tile_crc32: tuple[tuple[int, ...], ...]
    text_sha256: str
    tokens: tuple[int, int]
    perplexity_exact: float
    perplexity_balanced: float

    @property
    def loss(self) -> float:
        """By what share the perplexity is higher."""
        return self.perplexity_balanced / self.perplexity_exact - 1


@dataclass(frozen=True)
class Manifest:
    """`format` is what the packer was asked for ("source": the source's own grid); `source_sha256` is over the weight files in order."""

    name: str
    config: Config
    format: str
    licence: str | None
    source_name: str
    source_sha256: str
    source_bytes: int
    tokenizer: TokenizerFacts
    tensors: dict[str, Stored]
    layers: tuple[LayerLayout, ...]
    file_bytes: dict[str, int]
    tokenizer_crc32: int
    parameters: int
    vocabulary_crc32: int = 0
    calibration: Calibration | None = None
    balanced: Balanced | None = None
    layout: int = LAYOUT_VERSION

    @property
    def resident_bytes(self) -> int:
        """Bytes of the tensors that are always in memory."""
        return self.file_bytes[RESIDENT]

    @property
    def ffn_bytes(self) -> int:
        """Bytes of all tiles."""
        return sum(layer.size for layer in self.layers)

    @property
    def pack_bytes(self) -> int:
        """Bytes of the pack's files on disk."""
        return sum(self.file_bytes.values())


def save(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json with a checksum over itself."""
    value = json.loads(json.dumps(asdict(manifest)))
    value["crc32"] = _checksum(value)
    (folder / MANIFEST).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load(folder: Path) -> Manifest:
    """Read a pack's manifest and compare the files' lengths with it.

    Raises CorruptPack when anything is missing, altered, cut short or of a newer layout.
    """
    if not folder.is_dir():
        raise CorruptPack(f"there is no pack at {folder}; make one with `python -m engine pack SOURCE {folder.name}`")
    try:
        value = json.loads((folder / MANIFEST).read_text("utf-8"))
        layout = value["layout"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptPack(f"the manifest of the pack {folder.name} is missing or damaged ({error}); pack the model again") from error
    if layout > LAYOUT_VERSION:
        raise CorruptPack(f"the pack {folder.name} has layout {layout}, this program knows {LAYOUT_VERSION}; install the newer version")
    if value.pop("crc32", None) != _checksum(value):
        raise CorruptPack(f"the manifest of the pack {folder.name} was altered; pack the model again")
    try:
        manifest = _manifest(value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CorruptPack(
            f"the manifest of the pack {folder.name} is not one of layout {layout} ({error}); pack the model again"
        ) from error
    for name, size in manifest.file_bytes.items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else 0
        if found != size:
            raise CorruptPack(f"{name} of the pack {folder.name} has {found} bytes, expected {size}; pack the model again")
    return manifest


def _checksum(value: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def _add_what_layout_1_took_for_granted(value: dict[str, Any]) -> None:
    config = value["config"]
    config["activation"] = "silu" if config["gated"] else "relu"
    config["rotary_dim"] = 0 if config["rope_theta"] is None else config["head_dim"]
    for layer in value["layers"]:
        layer["activation"] = config["activation"]


def _manifest(value: dict[str, Any]) -> Manifest:
    if value["layout"] < 2:
        _add_what_layout_1_took_for_granted(value)
    facts = value["tokenizer"]
    return Manifest(
        **{
            **value,
            "config": Config(**value["config"]),
            "tokenizer": TokenizerFacts(**{**facts, "eos_ids": tuple(facts["eos_ids"])}),
            "tensors": {name: Stored(**stored) for name, stored in value["tensors"].items()},
            "calibration": _calibration(value.get("calibration")),
            "balanced": _balanced(value.get("balanced")),
            "layers": _layers(value["layers"]),
        }
    )


def _layers(value: list[dict[str, Any]]) -> tuple[LayerLayout, ...]:
    return tuple(LayerLayout(**{**layer, "parts": tuple(Part(**part) for part in layer["parts"])}) for layer in value)


def _balanced(value: dict[str, Any] | None) -> Balanced | None:
    if value is None:
        return None
    checksums = tuple(tuple(layer) for layer in value["tile_crc32"])
    return Balanced(**{**value, "layers": _layers(value["layers"]), "tile_crc32": checksums, "tokens": tuple(value["tokens"])})


def _calibration(value: dict[str, Any] | None) -> Calibration | None:
    if value is None:
        return None
    lists = {"layers": tuple(Foreseen(**layer) for layer in value["layers"]), "loads": tuple(tuple(entry) for entry in value["loads"])}
    return Calibration(**{**value, **lists, "tensors": {name: Stored(**stored) for name, stored in value["tensors"].items()}})
