"""The paper's ladder: one way of decoding after the other, each adding a step, every one in a process of its own.

`python -m engine.ladder --model PACK --memory BYTES --step NAME` measures one step and prints it as JSON; `engine.bench` runs them all.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from engine import kernels as kernel_library
from engine import manifest as manifests
from engine import predictor as predictors
from engine.curves import gap_bytes_here
from engine.decoder import Decoder
from engine.errors import EngineError
from engine.ffn import FeedForward, StreamedFeedForward
from engine.flash import BundleFile
from engine.formats import Floats, find
from engine.kernels import Kernels, aligned_buffer
from engine.kv import KVCache
from engine.manifest import RESIDENT, Manifest
from engine.memory import peak_resident_bytes
from engine.plan import RUN_BYTES, STREAM_DEPTH, Plan, model_of, plan_model
from engine.sparse import Foresight, Mask, PredictedFeedForward, Spent, WindowedFeedForward
from engine.weights import ResidentWeights
from engine.window import WindowShape

STREAMED = ("naive", "attention resident", "+ pinned tiles", "+ read ahead")
PREDICTED = ("+ predictor", "+ window", "+ bundling", "+ hot set and layout", "+ overlap")
_PIECE_BYTES = 16 << 20
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class StepRow:
    """One way of decoding. Times in seconds of one token on average; `other_s` is attention, head and what is not told apart.

    `peak_bytes` is the control group's peak, page cache included, where the process is in one with a limit, else the process's own.
    """

    name: str
    tokens: int
    token_s: float
    p50_s: float
    p99_s: float
    bytes_per_token: float
    reads_per_token: float
    waiting_s: float
    predicting_s: float
    keeping_s: float
    computing_s: float
    peak_bytes: int
    weight_bytes_per_token: float

    @property
    def tokens_per_second(self) -> float:
        """Of decoding."""
        return 1 / self.token_s

    @property
    def read_mb_per_second(self) -> float:
        """Over the whole time of decoding."""
        return self.bytes_per_token / self.token_s / 1e6


def steps_of(predicts: bool) -> list[str]:
    """The steps in order, for a plan that names neurons by a predictor or for one that streams them all."""
    return [*STREAMED[:2], *PREDICTED] if predicts else list(STREAMED)


class Rereading:
    """The naive way: also what is resident is read again for every token, piece by piece into one buffer."""

    def __init__(self, pack: Path, kernels: Kernels) -> None:
        self._kernels = kernels
        self._file = kernels.open_direct(pack / RESIDENT)
        self._buffer = aligned_buffer(min(_PIECE_BYTES, self._file.size))
        self.size = self._file.size

    def read(self) -> int:
        """Read it all; returns how many reads that took."""
        reads, step = 0, 1 << 20
        for first in range(0, self.size, self._buffer.size):
            here = min(self._buffer.size, self.size - first)
            starts = np.arange(0, here, step, dtype=np.int64)
            self._kernels.read_batch(self._file, starts + first, np.minimum(step, here - starts), self._buffer, starts)
            reads += len(starts)
        return reads

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def run_step(
    pack: Path, memory_bytes: int, name: str, tokens: int, prompt: list[int], plan: Plan | None = None, foresight: Foresight | None = None
) -> StepRow:
    """Decode `tokens` tokens behind the prompt, after a few that fill windows and are not counted.

    `foresight` stands in for the pack's own predictor.
    """
    found, kernels = manifests.load(pack), kernel_library.load()
    wants_predictor = name in PREDICTED
    plan = plan or plan_model(model_of(found), memory_bytes, "balanced" if wants_predictor else "exact")
    weights = ResidentWeights(pack, found, kernels, plan.on_flash(found.config))
    file = BundleFile(pack, found, [weights.checksums(number) for number in range(found.config.layers)], kernels)
    if wants_predictor and foresight is None:
        foresight = predictors.load(pack, found, kernels)
    feed_forward = _feed_forward(name, plan, file, weights, kernels, foresight)
    decoder = Decoder(found.config, weights, feed_forward, kernels)
    again = Rereading(pack, kernels) if name == "naive" else None
    try:
        return _measure(name, found, decoder, again, tokens, prompt, foresight)
    finally:
        feed_forward.close()
        weights.close()
        if again is not None:
            again.close()


def _feed_forward(
    name: str, plan: Plan, file: BundleFile, weights: ResidentWeights, kernels: Kernels, foresight: Foresight | None
) -> FeedForward:
    if name == "+ read ahead" and plan.strategy == "window":
        return WindowedFeedForward(file, weights, kernels, plan.window_neurons, RUN_BYTES, gap_bytes_here(file.file.path, kernels, 4096))
    if name in STREAMED:
        pinned = plan.pinned_tiles if name in STREAMED[2:] else (0,) * len(file.layers)
        return StreamedFeedForward(file, weights, kernels, pinned, RUN_BYTES, STREAM_DEPTH if name == "+ read ahead" else 1)
    if foresight is None or plan.window_neurons == 0:
        raise EngineError(f"the step {name!r} needs a predictor and a budget with room for its window")
    shape = _window_shape(name, plan, file, kernels)
    if name != "+ overlap" and foresight.ahead:
        foresight = _Late(foresight, len(file.layers))
    return PredictedFeedForward(file, weights, kernels, foresight, [shape] * len(file.layers), RUN_BYTES, keep=name != "+ predictor")


def _window_shape(name: str, plan: Plan, file: BundleFile, kernels: Kernels) -> WindowShape:
    if name in PREDICTED[:2]:
        return WindowShape(plan.window_neurons, reads="halves")
    if name == "+ bundling":
        return WindowShape(plan.window_neurons, reads="bundles")
    stride = file.layers[0].stride
    return WindowShape(plan.window_neurons, plan.pinned_neurons, gap_bytes_here(file.file.path, kernels, stride) // stride)


class _Late:
    """A foresight whose reads wait until their layer is reached: what a layer ahead said is kept until then."""

    def __init__(self, inner: Foresight, layers: int) -> None:
        self.ahead = False
        self._inner = inner
        self._layers = layers
        self._said: dict[int, Mask] = {}

    def __call__(self, layer: int, x: Floats) -> Mask:
        """See `Foresight`."""
        here = self._said.pop(layer) if layer else self._inner(layer, x)
        if layer + 1 < self._layers:
            self._said[layer + 1] = self._inner(layer + 1, x)
        return here


def _measure(
    name: str, found: Manifest, decoder: Decoder, again: Rereading | None, tokens: int, prompt: list[int], foresight: Foresight | None
) -> StepRow:
    feed_forward, warm = decoder.feed_forward, max(min(8, tokens // 2), 1)
    cache = KVCache(found.config, len(prompt) + warm + tokens)
    hidden = decoder.forward(prompt, cache)[-1:]
    seconds, stall_s, extra, spent = [], 0.0, 0, Spent()
    for number in range(warm + tokens):
        if number == warm:
            feed_forward.take_counts()
            if isinstance(feed_forward, PredictedFeedForward):
                feed_forward.take_spent()
            stall_s = 0.0
        began = time.perf_counter()
        if again is not None:
            extra = again.read()
            stall_s += time.perf_counter() - began
        hidden = decoder.forward([int(decoder.logits(hidden)[0].argmax())], cache)
        seconds.append(time.perf_counter() - began)
    counts = feed_forward.take_counts()
    if isinstance(feed_forward, PredictedFeedForward):
        spent = feed_forward.take_spent()
    measured = np.array(seconds[warm:])
    reread = again.size if again is not None else 0
    return StepRow(
        name=name,
        tokens=tokens,
        token_s=float(measured.mean()),
        p50_s=float(np.quantile(measured, 0.5)),
        p99_s=float(np.quantile(measured, 0.99)),
        bytes_per_token=counts.bytes / tokens + reread,
        reads_per_token=counts.reads / tokens + extra,
        waiting_s=(counts.stall_s + stall_s) / tokens,
        predicting_s=spent.predicting_s / tokens,
        keeping_s=spent.keeping_s / tokens,
        computing_s=float(measured.mean()) - (counts.stall_s + stall_s + spent.predicting_s + spent.keeping_s) / tokens,
        peak_bytes=group_peak_bytes() or peak_resident_bytes(),
        weight_bytes_per_token=_weight_bytes(found, foresight),
    )


def _weight_bytes(found: Manifest, foresight: Foresight | None) -> float:
    """Bytes of weights that meet a token: every resident matrix but the embedding's other rows, and the neurons that are wanted."""
    apart = () if found.config.tied else ("embedding.weight",)
    matrices = [stored for name, stored in found.tensors.items() if stored.rows > 1 and name not in (*apart, "positions.weight")]
    resident = sum(stored.rows * find(stored.format).row_bytes(stored.columns) for stored in matrices)
    share = 1.0
    if foresight is not None and found.calibration is not None:
        share = float(np.mean([layer.wanted for layer in found.calibration.layers]))
    return resident + share * found.ffn_bytes + (found.file_bytes.get(manifests.PREDICTOR, 0) if foresight is not None else 0)


def group_peak_bytes() -> int | None:
    """The peak of this process's memory control group, page cache included; None where it has no limit of its own."""
    try:
        name = re.search(r"^0::(.+)$", Path("/proc/self/cgroup").read_text("ascii"), re.MULTILINE)
        group = _CGROUP / name[1].lstrip("/") if name else _CGROUP
        if (group / "memory.max").read_text("ascii").strip() == "max":
            return None
        return int((group / "memory.peak").read_text("ascii"))
    except (OSError, ValueError):
        return None  # no Linux, or groups of the older kind


def main() -> int:
    """Measure one step; the row is the last line of the output."""
    parser = argparse.ArgumentParser(prog="python -m engine.ladder", description="measures one step; started by `python -m engine bench`")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--memory", type=int, required=True, help="bytes")
    parser.add_argument("--step", required=True)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--prompt", required=True, help="tokens, separated by commas")
    options = parser.parse_args()
    try:
        row = run_step(options.model, options.memory, options.step, options.tokens, [int(token) for token in options.prompt.split(",")])
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(row)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
