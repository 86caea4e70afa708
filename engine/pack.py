"""Packing: a checkpoint becomes a pack folder, whose FFN neurons lie as row-column bundles (section 3.2 of LLM in a flash)."""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine import layout, manifest
from engine.bundles import bundle_layer, converted, pieces
from engine.codec import compact_arrays
from engine.errors import DiskFull, EngineError, Stopped, UnusableSource
from engine.formats import Bytes, find
from engine.manifest import FFN, RESIDENT, TOKENIZER, VOCABULARY, Manifest, Stored
from engine.source import Described, Source, open_source
from engine.tensors import DATA_ALIGNMENT, Layout, Writer
from engine.vocabulary_file import DTYPES

PackFormat = Literal["q4", "q8", "f16"]
OnProgress = Callable[[float, str], None]
ShouldStop = Callable[[], bool]
_FFN_TENSOR = re.compile(r"layer\.\d+\.(up|gate|down)\.weight")
_SMALL_FILES_BYTES = 1_000_000
_HASHED_BYTES = 1 << 22
_LEAST_PROGRESS = 0.005
"""Progress is told in steps of this share at least."""


def pack(
    source: Path, out: Path, format: PackFormat | None = None, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None
) -> Manifest:
    """Write the checkpoint at `source` as a pack folder `out`, replacing a pack that is there.

    `format` is for checkpoints of floats: None keeps a GGUF file's floats and makes q8 of a safetensors folder. `on_progress` gets the
    share done (0..1) and a word on the stage. The folder appears whole or not at all; two layers are in memory at most.

    Raises:
        UnknownArchitecture, UnusableSource: the checkpoint cannot be packed.
        DiskFull: there is no room; nothing is left behind.
        Stopped: `should_stop` said so.
    """
    opened = open_source(source)
    packing = _Packing(opened, _wanted(opened, format), on_progress or (lambda share, stage: None), should_stop or (lambda: False))
    if out.exists() and not (out / manifest.MANIFEST).is_file():
        raise EngineError(f"{out} exists and is not a pack; choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _check_room(out.parent, packing.expected_bytes())
        aside.mkdir()
        packed = packing.run(aside)
        replace_pack(aside, out)
    except OSError as error:
        if error.errno in _NO_ROOM:
            shutil.rmtree(aside, ignore_errors=True)
            raise DiskFull(out.parent, packing.expected_bytes(), shutil.disk_usage(out.parent).free) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return packed


_NO_ROOM = (28, 27, 122, 112)
"""errno of a full disk, a file size limit, a quota (POSIX), and Windows' ERROR_DISK_FULL."""


def _wanted(source: Source, format: PackFormat | None) -> str:
    stored = {source.format(name) for name in source.shapes if _FFN_TENSOR.fullmatch(name)}
    floats = stored <= set(layout.FLOATS)
    if format is None:
        return "q8" if floats and source.path.is_dir() else "source"
    if not floats:
        raise UnusableSource(f"{source.name} is already quantised ({', '.join(sorted(stored))}) and taken over as it is; give no format")
    return format


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(folder, needed, free)


def replace_pack(aside: Path, out: Path) -> None:
    """Put the finished folder in place; an old pack is moved away first, since folders cannot be exchanged at once everywhere."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(aside, out)
    _sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle of a folder to synchronise; its journal keeps the rename
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Packing:
    """One run: knows the layouts, and writes file after file."""

    def __init__(self, source: Source, wanted: str, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        self._source = source
        self._wanted = wanted
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._layers = tuple(layout.layer_layout(source, number, wanted) for number in range(source.config.layers))
        self._resident = resident_formats(source, wanted)
        self._tile_crcs: dict[str, NDArray[np.uint32]] = {}
        self._stored: dict[str, Stored] = {}
        self._total_bytes = self.expected_bytes() + sum(file.stat().st_size for file in source.files())
        self._done_bytes, self._told = 0, 0.0

    def expected_bytes(self) -> int:
        """Bytes that the pack will take."""
        return sum(padded(layer.size) for layer in self._layers) + resident_bytes(self._source, self._resident) + _SMALL_FILES_BYTES

    def run(self, folder: Path) -> Manifest:
        """Write every file of the pack into `folder`."""
        tokenizer = self._source.tokenizer_json()
        facts = self._source.tokenizer_facts()
        sha256 = self._hash_source()
        self._write_ffn(folder / FFN)
        self._write_resident(folder / RESIDENT)
        files = [RESIDENT, FFN, TOKENIZER, *self._write_tokenizer(folder, tokenizer)]
        packed = Manifest(
            name=self._source.name,
            config=self._source.config,
            format=self._wanted,
            licence=self._source.licence,
            source_name=self._source.path.name,
            source_sha256=sha256,
            source_bytes=sum(file.stat().st_size for file in self._source.files()),
            tokenizer=facts,
            tensors=self._stored,
            layers=self._layers,
            file_bytes={name: (folder / name).stat().st_size for name in files},
            tokenizer_crc32=zlib.crc32(tokenizer.encode("utf-8")),
            vocabulary_crc32=zlib.crc32((folder / VOCABULARY).read_bytes()) if VOCABULARY in files else 0,
            parameters=sum(int(np.prod(shape)) for shape in self._source.shapes.values()),
        )
        manifest.save(folder, packed)
        with (folder / manifest.MANIFEST).open("rb+") as file:
            os.fsync(file.fileno())
        self._on_progress(1.0, "packed")
        return packed

    def _advance(self, size: int, stage: str) -> None:
        """`size` more bytes were read for the hash, or written."""
        if self._should_stop():
            raise Stopped("packing was stopped; nothing was left behind")
        self._done_bytes += size
        share = min(self._done_bytes / self._total_bytes, 1.0)
        if share >= self._told + _LEAST_PROGRESS:
            self._told = share
            self._on_progress(share, stage)

    def _hash_source(self) -> str:
        import hashlib  # brings OpenSSL, which the engine's process does without

        digest = hashlib.sha256()
        for path in self._source.files():
            with path.open("rb") as file:
                while piece := file.read(_HASHED_BYTES):
                    digest.update(piece)
                    self._advance(len(piece), "reading the checkpoint")
        return digest.hexdigest()

    def _write_tokenizer(self, folder: Path, tokenizer_json: str) -> list[str]:
        """tokenizer.json, and compiled where the engine can run it without the library; the names of further files."""
        _write_synced(folder / TOKENIZER, tokenizer_json.encode("utf-8"))
        arrays = compact_arrays(tokenizer_json)
        if arrays is None:
            return []
        with Writer(folder / VOCABULARY, {name: (DTYPES[values.dtype], values.shape) for name, values in arrays.items()}) as writer:
            for name, values in arrays.items():
                writer.write(name, values)
        return [VOCABULARY]

    def _write_ffn(self, path: Path) -> None:
        announced: Layout = {f"layer.{number}.ffn": ("U8", (padded(layer.size),)) for number, layer in enumerate(self._layers)}
        with Writer(path, announced) as writer:
            for number, layer in enumerate(self._layers):
                tiles = bundle_layer(self._source, number, layer)
                self._tile_crcs[f"layer.{number}.tile_crc"] = tile_checksums(tiles)
                writer.write(f"layer.{number}.ffn", tiles, np.zeros(padded(layer.size) - layer.size, np.uint8))
                self._advance(padded(layer.size), f"packing layer {number + 1} of {len(self._layers)}")

    def _write_resident(self, path: Path) -> None:
        rope = self._source.rope_frequencies
        plain: dict[str, NDArray[Any]] = {**self._tile_crcs, **({} if rope is None else {"rope.frequencies": rope})}
        announced: Layout = {}
        for name, kind in self._resident.items():
            rows, columns = _rows_and_columns(self._source.shapes[name])
            announced[name] = ("U8", (rows, find(kind).row_bytes(columns)))
        for name, values in plain.items():
            announced[name] = ("U32" if values.dtype == np.uint32 else "F32", values.shape)
        with Writer(path, announced) as writer:
            for name, kind in self._resident.items():
                self._write_matrix(writer, name, kind)
            for name, values in plain.items():
                kind = "u32" if values.dtype == np.uint32 else "f32"
                self._stored[name] = Stored(kind, 1, values.size, zlib.crc32(np.ascontiguousarray(values).data))
                writer.write(name, values)

    def _write_matrix(self, writer: Writer, name: str, kind: str) -> None:
        """Piece by piece: an embedding may be larger than many layers."""
        crc = 0
        with writer.tensor(name) as append:
            for piece in pieces(self._source, name):
                data = converted(piece, kind)
                crc = zlib.crc32(data.data, crc)
                append(data)
                self._advance(data.nbytes, "packing attention and embeddings")
        rows, columns = _rows_and_columns(self._source.shapes[name])
        self._stored[name] = Stored(kind, rows, columns, crc)


def resident_formats(source: Described, wanted: str) -> dict[str, str]:
    """The tensors that are always in memory, with the block format that each takes."""
    return {name: layout.resident_format(source, name, wanted) for name in sorted(source.shapes) if not _FFN_TENSOR.fullmatch(name)}


def resident_bytes(source: Described, formats: dict[str, str]) -> int:
    """Bytes of the tensors that are always in memory."""
    shapes = ((_rows_and_columns(source.shapes[name]), kind) for name, kind in formats.items())
    return sum(rows * find(kind).row_bytes(columns) for (rows, columns), kind in shapes)


def tile_checksums(tiles: Bytes) -> NDArray[np.uint32]:
    """CRC-32 of each tile, [tiles]."""
    return np.array([zlib.crc32(tile.data) for tile in tiles], np.uint32)


def _rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])


def padded(size: int) -> int:
    """Bytes up to the next place where a tensor of tiles begins."""
    return -(-size // DATA_ALIGNMENT) * DATA_ALIGNMENT


def with_padding(tiles: Bytes) -> Bytes:
    """The tiles one behind the other, filled up with zeros to `padded` bytes."""
    flat = tiles.reshape(-1)
    return np.concatenate([flat, np.zeros(padded(flat.size) - flat.size, np.uint8)])


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
