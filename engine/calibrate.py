"""Calibration of a ReLU model's pack on a text: predictors, a hot set, and an order of the neurons in which one read brings several."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine import coactivation, manifest, predictor
from engine import kernels as kernel_library
from engine import pack as packing
from engine.decoder import Decoder
from engine.errors import DiskFull, Stopped, UnusableSource
from engine.ffn import FeedForward, StreamedFeedForward, load_neurons
from engine.fit import FitSettings, Fitted, Sample, fit
from engine.flash import BundleFile, Run
from engine.formats import Floats
from engine.kernels import aligned_buffer
from engine.kv import KVCache
from engine.manifest import FFN, PREDICTOR, RESIDENT, Calibration, Foreseen, Manifest, Stored
from engine.predictor import LowRank, Predictor
from engine.reads import ReadCounts
from engine.reuse import expected_loads, loads, run_length
from engine.sparse import Mask, PredictedFeedForward
from engine.tensors import Layout, Writer
from engine.weights import ResidentWeights
from engine.window import WindowShape

OnProgress = Callable[[float, str], None]
ShouldStop = Callable[[], bool]
_RUN_BYTES = 4 << 20


@dataclass(frozen=True)
class CalibrationSettings:
    """The text is cut into passes of `length` tokens, of which the last `held_out` share is not learned from.

    With `ahead` each layer is foreseen from what the feed-forward before it sees, so that reads run while attention is computed;
    `window` is the number of tokens whose neurons are taken to be in memory when the order is chosen, `hot` the share that leads it.
    """

    tokens: int = 8192
    length: int = 256
    held_out: float = 0.2
    ahead: bool = True
    window: int = 5
    hot: float = 0.1
    fit: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        if self.length < 16 or self.tokens < 4 * self.length:
            raise ValueError(f"{self.tokens} tokens make fewer than four passes of {self.length}; take at least four passes of 16")
        if not 0 < self.held_out < 0.9 or not 0 <= self.hot < 1:
            raise ValueError(f"shares lie between 0 and 1, got {self.held_out} held out and {self.hot} hot")


def calibrate(
    pack: Path,
    text: str,
    settings: CalibrationSettings | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Manifest:
    """Learn from `text` and write the pack anew in its place, its neurons in the new order; exact results do not change.

    `on_progress` gets the share done (0..1) and a word on the stage. The old pack stays until the new one is whole; at most two layers are
    in memory.

    Raises:
        UnusableSource: the model has no ReLU layers, or the text is too short.
        CorruptPack: the pack is damaged.
        DiskFull: there is no room for a second copy.
        Stopped: `should_stop` said so.
    """
    found = manifest.load(pack)
    if not found.config.neuron_wise:
        raise UnusableSource(f"{found.name} has no ReLU layers: its neurons do not fall silent, so there is nothing to predict")
    aside = pack.with_name(f".{pack.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    needed = found.pack_bytes + 2 * found.config.layers * found.config.hidden * (settings or CalibrationSettings()).tokens
    if shutil.disk_usage(pack.parent).free < needed:
        raise DiskFull(pack.parent, needed, shutil.disk_usage(pack.parent).free)
    try:
        aside.mkdir()
        steps = on_progress or (lambda share, stage: None)
        made = _Calibrating(pack, found, text, settings or CalibrationSettings(), steps, should_stop or (lambda: False)).run(aside)
        packing.replace_pack(aside, pack)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return made


class Recorder:
    """A feed-forward that writes what it is given, layer by layer, to files of float16."""

    def __init__(self, inner: FeedForward, files: Sequence[BinaryIO]) -> None:
        self._inner = inner
        self._files = files

    def __call__(self, layer: int, x: Floats) -> Floats:
        """See `FeedForward`."""
        self._files[layer].write(x.astype(np.float16).data)
        return self._inner(layer, x)

    def take_counts(self) -> ReadCounts:
        """See `FeedForward`."""
        return self._inner.take_counts()

    def close(self) -> None:
        """See `FeedForward`."""
        self._inner.close()


@dataclass(frozen=True)
class _Learned:
    """What came out for a layer; `order`: place -> neuron."""

    fitted: Fitted
    order: NDArray[np.int64]
    foreseen: Foreseen
    run_lengths: tuple[float, float]
    wanted: Mask


class _Calibrating:
    """One run over a pack."""

    def __init__(
        self, pack: Path, found: Manifest, text: str, settings: CalibrationSettings, on_progress: OnProgress, should_stop: ShouldStop
    ) -> None:
        self._pack = pack
        self._found = found
        self._settings = settings
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._text_sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()
        self._kernels = kernel_library.load()
        self._passes = self._tokens_of(text)  # [passes, length]
        self._trained = max(int(len(self._passes) * (1 - settings.held_out)), 1)
        self._steps = len(self._passes) + 3 * found.config.layers
        self._done = 0

    def run(self, folder: Path) -> Manifest:
        """Write the calibrated pack into `folder`."""
        with tempfile.TemporaryDirectory(dir=folder, prefix="inputs-") as inputs:
            exact = self._record(Path(inputs))
            learned = self._write_ffn(folder, Path(inputs))
        low_rank = [LowRank.of(layer.fitted.inner, layer.fitted.out, layer.fitted.bias) for layer in learned]
        stored = self._write_resident(folder, [layer.order for layer in learned])
        calibration = Calibration(
            text_sha256=self._text_sha256,
            tokens=self._passes.size,
            ahead=self._settings.ahead,
            tensors=predictor.save(folder, low_rank),
            layers=tuple(layer.foreseen for layer in learned),
            loads=expected_loads([layer.wanted for layer in learned]),
            run_length=float(np.mean([layer.run_lengths[1] for layer in learned])),
            run_length_before=float(np.mean([layer.run_lengths[0] for layer in learned])),
            perplexity_exact=exact,
            perplexity_balanced=0.0,
        )
        for name in set(self._found.file_bytes) - {FFN, RESIDENT, PREDICTOR}:
            shutil.copy2(self._pack / name, folder / name)
        made = replace(
            self._found,
            tensors=stored,
            layers=tuple(replace(layer, permutation=f"layer.{number}.order") for number, layer in enumerate(self._found.layers)),
            calibration=calibration,
            file_bytes={name: (folder / name).stat().st_size for name in {*self._found.file_bytes, PREDICTOR}},
        )
        manifest.save(folder, made)
        measured = replace(made, calibration=replace(calibration, perplexity_balanced=self._balanced_perplexity(folder, made)))
        manifest.save(folder, measured)
        with (folder / manifest.MANIFEST).open("rb+") as file:
            os.fsync(file.fileno())
        return measured

    def _step(self, stage: str) -> None:
        if self._should_stop():
            raise Stopped("calibration was stopped; the pack is as it was")
        self._done += 1
        self._on_progress(min(self._done / self._steps, 1.0), stage)

    def _tokens_of(self, text: str) -> NDArray[np.int64]:
        from engine.codec import open_codec
        from engine.tokenizer import Tokenizer

        tokens = Tokenizer(open_codec(self._pack, self._found), self._found.tokenizer).encode(text)
        length = min(self._settings.length, self._found.config.context)
        passes = min(len(tokens), self._settings.tokens) // length
        if passes < 4:
            raise UnusableSource(f"the text has {len(tokens)} tokens; calibration needs at least {4 * length}, and does well with 8,000")
        spread = np.linspace(0, len(tokens) - length, passes).astype(np.int64)  # from all over the text
        return np.stack([np.array(tokens[at : at + length], np.int64) for at in spread])

    def _open(self, pack: Path, found: Manifest) -> tuple[BundleFile, ResidentWeights]:
        weights = ResidentWeights(pack, found, self._kernels)
        return BundleFile(pack, found, [weights.checksums(number) for number in range(found.config.layers)], self._kernels), weights

    def _record(self, folder: Path) -> float:
        """Run the text exactly, writing down what each feed-forward sees; returns the perplexity of the held-out passes."""
        file, weights = self._open(self._pack, self._found)
        none = (0,) * len(self._found.layers)
        files = [(folder / str(number)).open("wb") for number in range(len(self._found.layers))]
        inner = StreamedFeedForward(file, weights, self._kernels, none, _RUN_BYTES, 3)
        try:
            decoder = Decoder(self._found.config, weights, Recorder(inner, files), self._kernels)
            return self._perplexity(decoder, range(len(self._passes)), "reading the text")
        finally:
            inner.close()  # its thread reads ahead until then
            for opened in files:
                opened.close()
            weights.close()

    def _perplexity(self, decoder: Decoder, passes: range, stage: str) -> float:
        """Of the held-out ones among these passes, each from an empty cache."""
        losses: list[Floats] = []
        for number in passes:
            tokens, cache = self._passes[number], KVCache(self._found.config, self._passes.shape[1])
            hidden = decoder.forward([int(token) for token in tokens], cache)
            if number >= self._trained:
                losses.append(_losses(decoder.logits(hidden[:-1]), tokens[1:]))
            self._step(stage)
        return float(np.exp(np.mean(np.concatenate(losses))))

    def _balanced_perplexity(self, folder: Path, made: Manifest) -> float:
        foresight: Predictor = predictor.load(folder, made, self._kernels)
        file, weights = self._open(folder, made)
        shapes = [WindowShape(1)] * len(made.layers)  # passes are long, so that whole layers are streamed
        feed_forward = PredictedFeedForward(file, weights, self._kernels, foresight, shapes, _RUN_BYTES)
        try:
            decoder = Decoder(made.config, weights, feed_forward, self._kernels)
            return self._perplexity(decoder, range(self._trained, len(self._passes)), "measuring what was lost")
        finally:
            feed_forward.close()
            weights.close()

    def _write_ffn(self, folder: Path, inputs: Path) -> list[_Learned]:
        """Layer after layer: learn, and write its bundles in the new order."""
        file, weights = self._open(self._pack, self._found)
        learned: list[_Learned] = []
        announced: Layout = {f"layer.{n}.ffn": ("U8", (packing.padded(layer.size),)) for n, layer in enumerate(self._found.layers)}
        try:
            with Writer(folder / FFN, announced) as writer:
                for number, layer in enumerate(self._found.layers):
                    found = self._learn(number, file, weights, inputs)
                    tiles = aligned_buffer(layer.size)
                    file.read_run(Run(number, 0, layer.tiles), tiles)
                    ordered = tiles.reshape(layer.tiles, -1)[found.order]
                    writer.write(f"layer.{number}.ffn", packing.with_padding(ordered))
                    learned.append(found)
                    self._step(f"layer {number + 1} of {len(self._found.layers)}: rank {len(found.fitted.inner)}")
        finally:
            file.close()
            weights.close()
        return learned

    def _learn(self, number: int, file: BundleFile, weights: ResidentWeights, inputs: Path) -> _Learned:
        own, seen = self._input(inputs, number), self._input(inputs, number - 1 if self._settings.ahead and number else number)
        up = self._up_product(number, file, weights, own)  # [tokens, neurons]
        cut = self._trained * self._passes.shape[1]
        fitted = fit(Sample(seen[:cut], up[:cut]), Sample(seen[cut:], up[cut:]), self._settings.fit)
        wanted = np.asarray((seen @ fitted.inner.T) @ fitted.out.T + fitted.bias >= 0)
        order, lengths = self._order(wanted, cut)
        rank, shares = len(fitted.inner), (fitted.active_share, float(wanted[cut:].mean()))
        foreseen = Foreseen(rank, *shares, fitted.false_negatives, fitted.false_positives)
        in_order = replace(fitted, out=fitted.out[order], bias=fitted.bias[order])
        self._step(f"layer {number + 1} of {len(self._found.layers)}: what fires together")
        return _Learned(in_order, order, foreseen, lengths, wanted[cut:, order])

    def _order(self, wanted: Mask, cut: int) -> tuple[NDArray[np.int64], tuple[float, float]]:
        """The order from the learned passes, and the length of runs that are loaded in the held-out ones: as it was, as it is now."""
        length, window = self._passes.shape[1], self._settings.window
        loaded = loads(wanted[:cut], window, np.arange(0, cut, length))
        order = coactivation.order(wanted[:cut], loaded, int(self._settings.hot * wanted.shape[1]))
        unseen = loads(wanted[cut:], window, np.arange(0, len(wanted) - cut, length))
        before = np.arange(wanted.shape[1])
        return order, (run_length(unseen, before), run_length(unseen, order))

    def _input(self, folder: Path, number: int) -> Floats:
        return np.fromfile(folder / str(number), np.float16).reshape(self._passes.size, -1).astype(np.float32)

    def _up_product(self, number: int, file: BundleFile, weights: ResidentWeights, x: Floats) -> Floats:
        neurons = load_neurons(file, number, file.layers[number].tiles, None)
        assert neurons is not None
        up = self._kernels.matmul(neurons.layout.part("up").format, neurons.up, x)
        bias = weights.vector(f"layer.{number}.up.bias")
        return up if bias is None else up + bias

    def _write_resident(self, folder: Path, orders: list[NDArray[np.int64]]) -> dict[str, Stored]:
        """The resident tensors as they were, but those that go by neuron in the new order, and the order itself."""
        weights = ResidentWeights(self._pack, self._found, self._kernels)
        arrays: dict[str, NDArray[Any]] = {name: weights.raw(name) for name in self._found.tensors if not name.endswith(".order")}
        for number, order in enumerate(orders):
            for name, dtype in ((f"layer.{number}.tile_crc", "<u4"), (f"layer.{number}.up.bias", "<f4")):
                if name in arrays:
                    arrays[name] = np.ascontiguousarray(arrays[name].view(dtype).reshape(-1)[order])
            before = self._found.layers[number].permutation
            origin = order if before is None else weights.raw(before).view("<u4").reshape(-1)[order]
            arrays[f"layer.{number}.order"] = origin.astype("<u4")
        announced: Layout = {name: _announced(self._found, name, values) for name, values in arrays.items()}
        with Writer(folder / RESIDENT, announced) as writer:
            for name, values in arrays.items():
                writer.write(name, values)
        weights.close()
        return {name: _stored(self._found, name, values) for name, values in arrays.items()}


def _losses(logits: Floats, wanted: NDArray[np.int64]) -> Floats:
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    return np.asarray(total - logits[np.arange(len(wanted)), wanted], np.float32)


def _announced(found: Manifest, name: str, values: NDArray[Any]) -> tuple[str, tuple[int, ...]]:
    if values.dtype == np.uint8:
        return "U8", (found.tensors[name].rows, values.size // found.tensors[name].rows)
    return ("U32" if values.dtype == np.dtype("<u4") else "F32"), (values.size,)


def _stored(found: Manifest, name: str, values: NDArray[Any]) -> Stored:
    checksum = zlib.crc32(np.ascontiguousarray(values).data)
    return replace(found.tensors[name], crc32=checksum) if name in found.tensors else Stored("u32", 1, values.size, checksum)
