"""Which neurons of a ReLU layer will fire, before their weights are in memory: low-rank products (section 3.1 of LLM in a flash)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import tensors
from engine.errors import CorruptPack, UnusableSource
from engine.formats import Bytes, Floats, find, quantize
from engine.kernels import Kernels, aligned_buffer
from engine.manifest import PREDICTOR, Manifest, Stored
from engine.sparse import Mask
from engine.tensors import Layout, Writer
from engine.weights import read_span


@dataclass(frozen=True)
class LowRank:
    """A neuron is wanted where `out` (`inner` x) + `bias` >= 0. Rows in `format`: inner [rank, hidden], out [neurons, rank]."""

    format: str
    inner: Bytes
    out: Bytes
    bias: Floats

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return len(self.inner)

    @classmethod
    def of(cls, inner: Floats, out: Floats, bias: Floats) -> LowRank:
        """In eight bits where the widths fill whole blocks, in 16-bit floats elsewhere."""
        block = find("q8_0").block_columns
        kind = "q8_0" if inner.shape[1] % block == 0 and out.shape[1] % block == 0 else "f16"
        return cls(kind, quantize(kind, inner), quantize(kind, out), np.ascontiguousarray(bias, np.float32))

    def scores(self, kernels: Kernels, x: Floats) -> Floats:
        """x [n, hidden] -> [n, neurons]; 0 and more: wanted."""
        return kernels.matmul(self.format, self.out, kernels.matmul(self.format, self.inner, x)) + self.bias


class Predictor:
    """A `Foresight` from trained products. `ahead`: each layer from what the feed-forward before it sees."""

    def __init__(self, layers: list[LowRank], ahead: bool, kernels: Kernels) -> None:
        self.ahead = ahead
        self.layers = layers
        self._kernels = kernels

    def __call__(self, layer: int, x: Floats) -> Mask:
        """See `Foresight`."""
        return np.asarray(self.layers[layer].scores(self._kernels, x) >= 0)


def save(folder: Path, layers: list[LowRank]) -> dict[str, Stored]:
    """Write the predictors of all layers; returns what the manifest says of the tensors."""
    arrays = {f"layer.{number}.{name}": values for number, layer in enumerate(layers) for name, values in _arrays(layer).items()}
    announced: Layout = {name: ("F32" if values.dtype == np.float32 else "U8", values.shape) for name, values in arrays.items()}
    with Writer(folder / PREDICTOR, announced) as writer:
        for name, values in arrays.items():
            writer.write(name, values)
    return {
        name: Stored(
            layers[int(name.split(".")[1])].format if values.dtype == np.uint8 else "f32",
            len(values) if values.ndim == 2 else 1,
            values.shape[-1] if values.dtype == np.float32 else find(layers[int(name.split(".")[1])].format).columns(values.shape[1]),
            zlib.crc32(values.data),
        )
        for name, values in arrays.items()
    }


def _arrays(layer: LowRank) -> dict[str, Bytes | Floats]:
    return {"inner": layer.inner, "out": layer.out, "bias": layer.bias}


def load(pack: Path, manifest: Manifest, kernels: Kernels) -> Predictor:
    """The predictor of a calibrated pack. Raises CorruptPack when it is missing or altered."""
    calibration = manifest.calibration
    if calibration is None:
        raise CorruptPack(f"the pack {pack.name} has no predictor; make one with `python -m engine calibrate {pack.name} --text FILE`")
    path = pack / PREDICTOR
    try:
        entries = tensors.read_header(path)
        buffer = aligned_buffer(path.stat().st_size)
        read_span(kernels, path, 0, buffer)
        held = {name: buffer[entry.offset : entry.offset + entry.size] for name, entry in entries.items()}
    except (OSError, EOFError, UnusableSource) as error:
        raise CorruptPack(f"{PREDICTOR} of the pack {pack.name} cannot be read ({error}); calibrate the pack again") from error
    for name, stored in calibration.tensors.items():
        if name not in held or zlib.crc32(held[name].data) != stored.crc32:
            raise CorruptPack(f"the tensor {name} in {PREDICTOR} of the pack {pack.name} was altered; calibrate the pack again")
    layers = [_layer(calibration.tensors, held, number) for number in range(manifest.config.layers)]
    return Predictor(layers, calibration.ahead, kernels)


def _layer(stored: dict[str, Stored], held: dict[str, Bytes], number: int) -> LowRank:
    inner, out = f"layer.{number}.inner", f"layer.{number}.out"
    rows = {name: held[name].reshape(stored[name].rows, -1) for name in (inner, out)}
    return LowRank(stored[inner].format, rows[inner], rows[out], held[f"layer.{number}.bias"].view("<f4").astype(np.float32))
