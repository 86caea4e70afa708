"""Predictors of a ReLU model, measured: `python benchmarks/predictor.py --model CHECKPOINT --learn FILE --held-out FILE --work FOLDER`.

The checkpoint is what benchmarks/relu_model.py trains. Its pack is calibrated twice, foreseeing each layer from its own input and from
that of the layer before; misses and what is wanted in vain are then counted on the held-out text, and perplexity is measured exactly and
balanced. The last line is one JSON value.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import kernels as kernel_library
from engine import manifest, predictor
from engine.calibrate import CalibrationSettings, calibrate
from engine.codec import open_codec
from engine.decoder import Decoder
from engine.ffn import FeedForward, StreamedFeedForward, load_neurons
from engine.fit import rates
from engine.flash import BundleFile
from engine.formats import Floats
from engine.kernels import Kernels
from engine.kv import KVCache
from engine.manifest import Manifest
from engine.pack import pack
from engine.reads import ReadCounts
from engine.reuse import loads, run_length
from engine.sparse import Mask, PredictedFeedForward
from engine.tokenizer import Tokenizer
from engine.weights import ResidentWeights
from engine.window import WindowShape

LENGTH = 256
RUN_BYTES = 4 << 20


class Opened:
    """A pack with what decoding needs of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: Manifest = manifest.load(path)
        self.kernels: Kernels = kernel_library.load()
        self.weights = ResidentWeights(path, self.found, self.kernels)
        layers = range(self.found.config.layers)
        self.file = BundleFile(path, self.found, [self.weights.checksums(number) for number in layers], self.kernels)

    def decoder(self, feed_forward: FeedForward) -> Decoder:
        """With that feed-forward."""
        return Decoder(self.found.config, self.weights, feed_forward, self.kernels)

    def streamed(self) -> StreamedFeedForward:
        """Exact: every neuron."""
        return StreamedFeedForward(self.file, self.weights, self.kernels, (0,) * len(self.found.layers), RUN_BYTES, 3)

    def predicted(self) -> PredictedFeedForward:
        """Balanced: the neurons that the pack's predictor names."""
        foresight = predictor.load(self.path, self.found, self.kernels)
        shapes = [WindowShape(1)] * len(self.found.layers)  # passes are long, so that whole layers are streamed
        return PredictedFeedForward(self.file, self.weights, self.kernels, foresight, shapes, RUN_BYTES)


class Watching:
    """Exact decoding that notes what the predictor would have said of it."""

    def __init__(self, opened: Opened) -> None:
        self._inner = opened.streamed()
        self._opened = opened
        self._foresight = predictor.load(opened.path, opened.found, opened.kernels)
        self._before: Floats | None = None
        self.wanted: list[list[Mask]] = [[] for _ in opened.found.layers]
        self.firing: list[list[Mask]] = [[] for _ in opened.found.layers]

    def __call__(self, layer: int, x: Floats) -> Floats:
        """See `FeedForward`."""
        opened = self._opened
        neurons = load_neurons(opened.file, layer, opened.file.layers[layer].tiles, opened.weights.vector(f"layer.{layer}.up.bias"))
        assert neurons is not None
        self.firing[layer].append(neurons.activate(opened.kernels, x) > 0)
        seen = self._before if self._foresight.ahead and layer and self._before is not None else x
        self.wanted[layer].append(self._foresight(layer, seen))
        self._before = x
        return self._inner(layer, x)

    def take_counts(self) -> ReadCounts:
        """See `FeedForward`."""
        return self._inner.take_counts()

    def close(self) -> None:
        """See `FeedForward`."""
        self._inner.close()


def passes_of(opened: Opened, text: str, tokens: int) -> list[list[int]]:
    """Pieces of the text of equal length."""
    found = Tokenizer(open_codec(opened.path, opened.found), opened.found.tokenizer).encode(text)[:tokens]
    return [found[at : at + LENGTH] for at in range(0, len(found) - LENGTH + 1, LENGTH)]


def perplexity(decoder: Decoder, passes: list[list[int]]) -> float:
    """Of every token behind the first of each pass."""
    losses = []
    for tokens in passes:
        logits = decoder.logits(decoder.forward(tokens, KVCache(decoder.config, LENGTH))[:-1]).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        losses.append(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(LENGTH - 1), np.array(tokens[1:])])
    decoder.feed_forward.close()
    return float(np.exp(np.concatenate(losses).mean()))


def judged(path: Path, text: str, tokens: int) -> dict[str, Any]:
    """Every layer on the held-out text, and what is lost."""
    opened = Opened(path)
    passes = passes_of(opened, text, tokens)
    watching = Watching(opened)
    exact = perplexity(opened.decoder(watching), passes)
    layers = []
    assert opened.found.calibration is not None
    starts = np.arange(0, len(passes) * LENGTH, LENGTH)
    for number, facts in enumerate(opened.found.calibration.layers):
        wanted, firing = np.concatenate(watching.wanted[number]), np.concatenate(watching.firing[number])
        misses, excess = rates(wanted, firing)
        loaded = loads(wanted, 5, starts)
        shares = {"active": float(firing.mean()), "wanted": float(wanted.mean()), "loaded": float(loaded.mean())}
        length = run_length(loaded, np.arange(wanted.shape[1]))
        layers.append({"rank": facts.rank, **shares, "false_negatives": misses, "false_positives": excess, "run_length": length})
    again = Opened(path)
    balanced = perplexity(again.decoder(again.predicted()), passes)
    return {"tokens": len(passes) * LENGTH, "perplexity_exact": exact, "perplexity_balanced": balanced, "layers": layers}


def report(name: str, found: dict[str, Any]) -> None:
    """A table of the layers and a line below it."""
    print(f"\n{name}\n{'layer':>5}{'rank':>6}{'active':>8}{'wanted':>8}{'loaded':>8}{'missed':>8}{'in vain':>9}{'run':>6}")
    for number, layer in enumerate(found["layers"]):
        shares = "".join(f"{layer[key]:>8.1%}" for key in ("active", "wanted", "loaded", "false_negatives"))
        print(f"{number:>5}{layer['rank']:>6}{shares}{layer['false_positives']:>9.1%}{layer['run_length']:>6.2f}")
    exact, balanced = found["perplexity_exact"], found["perplexity_balanced"]
    print(f"perplexity over {found['tokens']} tokens: {exact:.2f} exact, {balanced:.2f} balanced ({balanced / exact - 1:+.2%})")


def main() -> None:
    """Pack, calibrate both ways, judge, print, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--learn", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--format", choices=("q4", "q8", "f16"), default="q8")
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--judge-tokens", type=int, default=8192)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for name, ahead in (("own input", False), ("a layer ahead", True)):
        path = options.work / f"{'ahead' if ahead else 'own'}.pack"
        pack(options.model, path, options.format)
        began = time.perf_counter()
        calibrate(path, options.learn.read_text("utf-8"), CalibrationSettings(tokens=options.tokens, ahead=ahead))
        seconds = time.perf_counter() - began
        results[name] = {**judged(path, options.held_out.read_text("utf-8"), options.judge_tokens), "calibration_s": seconds}
        report(name, results[name])
        shutil.rmtree(path)
    print(json.dumps({"format": options.format, "learned_tokens": options.tokens, "results": results}))


if __name__ == "__main__":
    main()
