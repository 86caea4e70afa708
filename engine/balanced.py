"""`balance` gives a pack its smaller second form, which `balanced` mode reads: three or four bits wherever the loss allows them.

First everything is rounded to three bits and the loss measured. Where it is too high, the parts that cost most for the bytes they save take
four, or keep the source's grid, and all is rounded again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine import kernels as kernel_library
from engine import manifest as manifests
from engine.balance import Bits, Texts, Walk, can_be_rounded, rounded_layout
from engine.codec import open_codec
from engine.decoder import Decoder
from engine.errors import DiskFull, UnusableSource
from engine.flash import BundleFile
from engine.formats import Floats
from engine.manifest import Balanced, LayerLayout, Manifest
from engine.pack import padded, tile_checksums, with_padding
from engine.reads import ReadCounts
from engine.tensors import Layout, Writer
from engine.tokenizer import Tokenizer
from engine.weights import ResidentWeights

OnProgress = Callable[[float, str], None]
ShouldStop = Callable[[], bool]
Choice = dict[tuple[int, str], int]
"""(layer, "inner" for up and gate, or "down") -> bits; what is not named keeps the source's grid."""
Shares = dict[tuple[int, str], float]
"""As above -> what rounding to three bits takes from the hidden state."""
BITS = 3
MOST_LOSS = 0.02
"""By what share the perplexity of a balanced form may be higher; more than that is not recorded."""
_LEAST_WINDOWS = 4
_TEXT = Path(__file__).with_name("calibration.txt")


@dataclass(frozen=True)
class BalanceSettings:
    """The text is cut into windows of `length` tokens; the last `measured` share of them is not rounded with but measured on.

    It is the end of the text, since windows between those that were rounded with lose about half as much as other texts do.
    `loss` is aimed at: by what share the perplexity may rise. `passes` through the model are made at most.
    """

    tokens: int = 8192
    length: int = 512
    measured: float = 0.25
    loss: float = 0.015
    passes: int = 3

    def __post_init__(self) -> None:
        if self.length < 2 or self.tokens < _LEAST_WINDOWS * self.length or self.passes < 1:
            raise ValueError(f"{self.tokens} tokens do not make {_LEAST_WINDOWS} windows of {self.length}; take more, or shorter ones")
        if not 0 < self.measured < 1:
            raise ValueError(f"a share of {self.measured} was to be measured on; it lies between 0 and 1")
        if not 0 < self.loss <= MOST_LOSS:
            raise ValueError(f"a loss of {self.loss} was asked for; it lies above 0 and is at most {MOST_LOSS}")


def balance(
    pack: Path,
    text: str | None = None,
    settings: BalanceSettings | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Manifest:
    """Round the feed-forward of the pack with a text in view (None: the one that comes with the engine) and record the loss.

    The second form appears beside the first, whole or not at all; what is exact does not change. One layer is in memory at a time.

    Raises:
        UnusableSource: the model's neurons are read one by one, its rows cannot be rounded, the text is too short, or the loss is too high.
        CorruptPack: the pack is damaged.
        DiskFull: there is no room for the second form.
        Stopped: `should_stop` said so.
    """
    settings, found = settings or BalanceSettings(), manifests.load(pack)
    if found.config.neuron_wise or not all(can_be_rounded(layer) for layer in found.layers):
        raise UnusableSource(f"{found.name} has no second form: its neurons are read one by one, or its rows are no multiple of 64 weights")
    free = shutil.disk_usage(pack).free
    if free < found.ffn_bytes:
        raise DiskFull(pack, found.ffn_bytes, free)
    text = _TEXT.read_text("utf-8") if text is None else text
    texts = _windows(pack, found, text, settings)
    aside = pack / ".balanced.partial"
    try:
        with _Balancing(pack, found, texts, on_progress or (lambda share, stage: None), should_stop or (lambda: False)) as work:
            made = work.run(aside, settings)
        if made.loss > MOST_LOSS:
            raise UnusableSource(
                f"{found.name} loses {made.loss:.1%} of perplexity in its smallest measured form, more than {MOST_LOSS:.0%}; it stays exact"
            )
        return _install(pack, found, aside, replace(made, text_sha256=hashlib.sha256(text.encode("utf-8")).hexdigest()))
    finally:
        aside.unlink(missing_ok=True)


def _windows(pack: Path, found: Manifest, text: str, settings: BalanceSettings) -> Texts:
    length = min(settings.length, found.config.context)
    tokens = Tokenizer(open_codec(pack, found), found.tokenizer).encode(text)
    count = min(len(tokens), settings.tokens) // length
    if count < _LEAST_WINDOWS:
        least = _LEAST_WINDOWS * length
        raise UnusableSource(f"the text has {len(tokens)} tokens; calibration needs at least {least}, and does well with 8,000")
    starts = np.linspace(0, len(tokens) - length, count).astype(int)  # from all over the text
    windows = [tokens[start : start + length] for start in starts]
    return Texts(windows, min(max(round(count * settings.measured), 1), count - 1))


class _NoFeedForward:
    """The decoder is walked through layer by layer and never asks for it."""

    def __call__(self, layer: int, x: Floats) -> Floats:
        raise AssertionError("the feed-forward is computed tile by tile")

    def take_counts(self) -> ReadCounts:
        return ReadCounts()

    def close(self) -> None:
        return None


class _Balancing:
    """One run over a pack, in passes."""

    def __init__(self, pack: Path, found: Manifest, texts: Texts, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        self._found = found
        self._on_progress = on_progress
        kernels = kernel_library.load()
        self._weights = ResidentWeights(pack, found, kernels)
        self._file = BundleFile(pack, found, [self._weights.checksums(number) for number in range(found.config.layers)], kernels)
        decoder = Decoder(found.config, self._weights, _NoFeedForward(), kernels)
        self._walk = Walk(decoder, kernels, self._file, texts, should_stop)
        self._texts = texts

    def __enter__(self) -> _Balancing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._weights.close()

    def run(self, aside: Path, settings: BalanceSettings) -> Balanced:
        """Write the form to `aside`; the loss is what was measured in the last pass."""
        choice: Choice = {(number, name): BITS for number in range(len(self._found.layers)) for name in ("inner", "down")}
        exact = 0.0
        shares: Shares = {}
        for turn in range(settings.passes):
            made = self._pass(aside, choice, turn, settings.passes)
            if turn == 0:
                exact, shares = float(self._walk.losses(self._walk.exact).mean()), self._walk.costs.shares
            rounded = float(self._walk.losses(self._walk.rounded).mean())
            made = replace(made, perplexity_exact=float(np.exp(exact)), perplexity_balanced=float(np.exp(rounded)))
            if made.loss <= settings.loss or not choice:
                break
            # the loss is taken to grow with the costs' sum; a tenth of what is allowed is kept in hand
            cost = sum(_cost(shares[key], bits) for key, bits in choice.items())
            choice = lightest(self._found.layers, shares, 0.9 * settings.loss / made.loss * cost)
            self._walk.again()
        self._on_progress(1.0, "done")
        return made

    def _pass(self, aside: Path, choice: Choice, turn: int, turns: int) -> Balanced:
        bits = [_bits(choice, number) for number in range(len(self._found.layers))]
        layouts = tuple(rounded_layout(layer, chosen) for layer, chosen in zip(self._found.layers, bits, strict=True))
        announced: Layout = {f"layer.{number}.ffn": ("U8", (padded(layer.size),)) for number, layer in enumerate(layouts)}
        checksums = []
        with Writer(aside, announced) as writer:
            for number, chosen in enumerate(bits):
                share = (turn + number / len(bits)) / turns
                self._on_progress(share, f"pass {turn + 1}: rounding layer {number + 1} of {len(bits)}")
                tiles = self._walk.layer(number, chosen, self._weights.vector(f"layer.{number}.up.bias"), with_exact=turn == 0)
                checksums.append(tuple(int(crc) for crc in tile_checksums(tiles)))
                writer.write(f"layer.{number}.ffn", with_padding(tiles))
        length = len(self._texts.windows[0])
        seen = self._texts.rounding * length, self._texts.measured * length
        return Balanced("", layouts, tuple(checksums), "", seen, 1.0, 1.0)


def _bits(choice: Choice, layer: int) -> Bits:
    names = {"inner": ("up", "gate"), "down": ("down",)}
    return {part: choice[layer, name] for name, parts in names.items() if (layer, name) in choice for part in parts}


def lightest(layers: tuple[LayerLayout, ...], shares: Shares, allowed: float) -> Choice:
    """The bits that save most bytes while the parts' costs stay within `allowed` together.

    `shares` are what the parts cost in three bits; in four they cost a quarter. The price of a byte is found by bisection.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        price = (low * high) ** 0.5 if low else high / 1e3
        choice = _at_price(layers, shares, price)
        if sum(_cost(shares[key], bits) for key, bits in choice.items()) <= allowed:
            low = price
        else:
            high = price
    return _at_price(layers, shares, low)


def _at_price(layers: tuple[LayerLayout, ...], shares: Shares, price: float) -> Choice:
    choice: Choice = {}
    for key, share in shares.items():
        layer = layers[key[0]]
        worth = {bits: price * _saved_bytes(layer, key, bits) - _cost(share, bits) for bits in (BITS, BITS + 1)}
        best = max(worth, key=lambda bits: worth[bits])
        if worth[best] > 0:
            choice[key] = best
    return choice


def _cost(share: float, bits: int) -> float:
    return float(share * 0.25 ** (bits - BITS))


def _saved_bytes(layer: LayerLayout, key: tuple[int, str], bits: int) -> int:
    return layer.tiles * (layer.stride - rounded_layout(layer, _bits({key: bits}, key[0])).stride)


def _install(pack: Path, found: Manifest, aside: Path, made: Balanced) -> Manifest:
    """Put the finished file in place under a name of its own, then the manifest that names it, then drop the form before."""
    checksum = zlib.crc32(repr(made.tile_crc32).encode())
    made = replace(made, file=f"balanced-{checksum:08x}.safetensors")
    os.replace(aside, pack / made.file)
    before = None if found.balanced is None else found.balanced.file
    kept = {name: size for name, size in found.file_bytes.items() if name != before}
    manifest = replace(found, balanced=made, file_bytes={**kept, made.file: (pack / made.file).stat().st_size})
    with tempfile.TemporaryDirectory(dir=pack, prefix="manifest-") as folder:
        manifests.save(Path(folder), manifest)
        with (Path(folder) / manifests.MANIFEST).open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(Path(folder) / manifests.MANIFEST, pack / manifests.MANIFEST)
    if before is not None and before != made.file:
        (pack / before).unlink(missing_ok=True)
    return manifest
