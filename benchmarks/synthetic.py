"""The paper's own case at full size, on synthetic weights: `python benchmarks/synthetic.py --work FOLDER [--rounds 2] [--layers 32]`.

No large model with ReLU layers comes as a package, so this writes a pack in the shape of OPT-6.7B at four bits (4.5 GB) whose weights are
random, and decodes with it. Which neurons are wanted comes from a trace with the paper's figures for OPT-6.7B: a tenth of the neurons
for a token, of which a window of five tokens leaves 2.4 % to load; runs of about three neighbours, as an order by co-activation gives.
The predictor's products are computed and its verdict is replaced by the trace's; reads, windows, copies and arithmetic are the engine's.

Ways take turns in rounds, each in a process of its own. The last line is one JSON value.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import kernels as kernel_library
from engine import manifest, predictor
from engine.architecture import Config
from engine.curves import Curves, measure
from engine.formats import Bytes, Floats, find
from engine.ladder import PREDICTED, STREAMED, StepRow, run_step
from engine.layout import layer_layout
from engine.manifest import FFN, RESIDENT, TOKENIZER, Calibration, Foreseen, LayerLayout, Manifest, Stored
from engine.native.library import Native
from engine.pack import resident_formats, tile_checksums
from engine.plan import Plan, model_of, plan_model
from engine.predictor import LowRank, Predictor
from engine.reuse import expected_loads, loads, run_length
from engine.source import TokenizerFacts, expected_shapes
from engine.sparse import Mask
from engine.tensors import Layout, Writer

BUDGET_SHARE = 0.65
WANTED, KEPT = 0.10, 0.2
"""Share of the neurons that a token wants (3 % fire, 7 % are wanted in vain), and how often a neuron's state just stays."""
HOTNESS = 0.27
"""First parameter of the beta distribution of how often neurons are wanted, chosen so that a window of five leaves 2.4 % to load."""
CLUSTER, TOGETHER = 6.0, 0.93
"""Neighbours that are wanted together: their mean number, and how often they agree."""
FIRING_OF_WANTED = 0.3
DEVIATION = 0.02
PROMPT = [2, 100, 200, 300]


class Shape:
    """A checkpoint of which only the shapes exist; see `engine.source.Described`."""

    def __init__(self, layers: int) -> None:
        widths: dict[str, Any] = {"hidden": 4096, "layers": layers, "heads": 32, "kv_heads": 32, "head_dim": 128, "ffn": 16384}
        facts: dict[str, Any] = {"norm": "layer", "norm_epsilon": 1e-5, "gated": False, "rope_theta": None, "tied": True}
        self.config = Config("opt", **widths, vocabulary=50272, context=2048, position_offset=2, activation="relu", **facts)
        self.shapes = expected_shapes(self.config)
        for number in range(layers):
            self.shapes[f"layer.{number}.up.bias"] = (self.config.ffn,)

    def format(self, tensor: str) -> str:
        """Floats, so that the pack may choose."""
        return "f32"


class Trace:
    """Which neurons of each layer are wanted by token after token; hot ones first, clusters side by side, as calibration orders them."""

    def __init__(self, layers: int, neurons: int, tokens: int, seed: int = 0) -> None:
        self.neurons = neurons
        self._bits = [self._layer(np.random.default_rng([seed, number]), tokens) for number in range(layers)]

    def _layer(self, random: np.random.Generator, tokens: int) -> Bytes:
        often = np.sort(random.beta(HOTNESS, HOTNESS * (1 / WANTED - 1), self.neurons))[::-1]
        cluster = np.cumsum(random.random(self.neurons) < 1 / CLUSTER)
        wanted, rows = random.random(self.neurons) < often, []
        for _ in range(tokens):
            common = random.random(cluster[-1] + 1)[cluster]  # what a cluster draws together
            draw = np.where(random.random(self.neurons) < TOGETHER, common, random.random(self.neurons))
            stays = random.random(cluster[-1] + 1)[cluster] < KEPT
            wanted = np.where(stays, wanted, draw < often)
            rows.append(np.packbits(wanted))
        return np.stack(rows)

    def masks(self, layer: int, first: int, count: int) -> Mask:
        """[count, neurons]; the trace begins again behind its end."""
        rows = (first + np.arange(count)) % len(self._bits[layer])
        return np.unpackbits(self._bits[layer][rows], axis=1, count=self.neurons).astype(bool)


class Traced:
    """A `Foresight` that computes the predictor's products and says what the trace says."""

    def __init__(self, predictor: Predictor, trace: Trace) -> None:
        self.ahead = True
        self._predictor = predictor
        self._trace = trace
        self._first = self._next = 0

    def __call__(self, layer: int, x: Floats) -> Mask:
        """See `Foresight`."""
        self._predictor(layer, x)
        if layer == 0:
            self._first, self._next = self._next, self._next + len(x)
        return self._trace.masks(layer, self._first, len(x))


def random_rows(kind: str, rows: int, columns: int, random: np.random.Generator) -> Bytes:
    """uint8 [rows, row_bytes] of weights with mean 0 and the deviation above."""
    entry = find(kind)
    data = random.integers(0, 256, (rows, entry.row_bytes(columns)), dtype=np.uint8)
    blocks = data.reshape(-1, entry.block_bytes)  # a view
    if kind == "q4_1":
        scale = DEVIATION / 4.61
        blocks[:, 0:4] = np.array([scale, -7.5 * scale], "<f2").view(np.uint8)
    elif kind == "q8_0":
        blocks[:, 0:2] = np.array([DEVIATION / 73.9], "<f2").view(np.uint8)
    else:
        raise ValueError(f"random rows of {kind} are not needed; expected q4_1 or q8_0")
    return data


def vector(name: str, shape: tuple[int, ...], hidden: int) -> Floats:
    """Norms are 1, biases 0, but up's such that the share above of the wanted neurons fires."""
    if name.endswith("norm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith("up.bias"):
        from statistics import NormalDist

        return np.full(shape, NormalDist().inv_cdf(FIRING_OF_WANTED) * DEVIATION * hidden**0.5, np.float32)
    return np.zeros(shape, np.float32)


def write_pack(folder: Path, layers: int, trace: Trace) -> Manifest:
    """The synthetic pack, calibrated as far as the trace goes."""
    shape, random = Shape(layers), np.random.default_rng(0)
    folder.mkdir(parents=True)
    layouts = tuple(layer_layout(shape, number, "q4") for number in range(layers))
    checksums = _write_ffn(folder, layouts, random)
    stored = _write_resident(folder, shape, checksums, random)
    (folder / TOKENIZER).write_text("{}", "utf-8")
    tensors = predictor.save(folder, _predictors(shape.config, random))
    made = Manifest(
        name="synthetic weights in the shape of OPT-6.7B",
        config=shape.config,
        format="q4",
        licence=None,
        source_name="synthetic",
        source_sha256="",
        source_bytes=0,
        tokenizer=TokenizerFacts((2,), None, None, None),
        tensors=stored,
        layers=layouts,
        file_bytes={name: (folder / name).stat().st_size for name in (RESIDENT, FFN, TOKENIZER, manifest.PREDICTOR)},
        tokenizer_crc32=zlib.crc32(b"{}"),
        parameters=sum(int(np.prod(size)) for size in shape.shapes.values()),
        calibration=_calibration(trace, layers, tensors),
    )
    manifest.save(folder, made)
    return made


def _write_ffn(folder: Path, layouts: tuple[LayerLayout, ...], random: np.random.Generator) -> list[NDArray[np.uint32]]:
    """Every layer holds the same random bundles, begun at another neuron: what they cost does not depend on what they hold."""
    layout = layouts[0]
    tiles = np.zeros((layout.tiles, layout.stride), np.uint8)
    for part in layout.parts:
        tiles[:, part.offset : part.offset + part.size] = random_rows(part.format, layout.tiles, part.columns, random)
    crcs, found = tile_checksums(tiles), []
    announced: Layout = {f"layer.{number}.ffn": ("U8", (layout.size,)) for number in range(len(layouts))}
    with Writer(folder / FFN, announced) as writer:
        for number in range(len(layouts)):
            writer.write(f"layer.{number}.ffn", np.roll(tiles, 511 * number, axis=0))
            found.append(np.roll(crcs, 511 * number))
    return found


def _write_resident(folder: Path, shape: Shape, checksums: list[NDArray[np.uint32]], random: np.random.Generator) -> dict[str, Stored]:
    formats, stored = resident_formats(shape, "q4"), {}
    announced: Layout = {}
    for name, kind in formats.items():
        size = shape.shapes[name]
        rows, columns = (size[0], size[1]) if len(size) == 2 else (1, size[0])
        announced[name] = ("U8", (rows, find(kind).row_bytes(columns)))
    announced |= {f"layer.{number}.tile_crc": ("U32", crcs.shape) for number, crcs in enumerate(checksums)}
    with Writer(folder / RESIDENT, announced) as writer:
        for name, kind in formats.items():
            size = shape.shapes[name]
            plain = kind == "f32"
            data = vector(name, size, shape.config.hidden).view(np.uint8) if plain else random_rows(kind, size[0], size[1], random)
            data = data.reshape(announced[name][1])
            stored[name] = Stored(kind, data.shape[0], size[-1], zlib.crc32(data.data))
            writer.write(name, data)
        for number, crcs in enumerate(checksums):
            name = f"layer.{number}.tile_crc"
            stored[name] = Stored("u32", 1, crcs.size, zlib.crc32(crcs.data))
            writer.write(name, crcs)
    return stored


def _predictors(config: Config, random: np.random.Generator) -> list[LowRank]:
    """Ranks as in the paper: 128, and 1024 for the last four layers."""
    ranks = [128 if number < config.layers - 4 else 1024 for number in range(config.layers)]
    rows = [(random_rows("q8_0", rank, config.hidden, random), random_rows("q8_0", config.ffn, rank, random)) for rank in ranks]
    return [LowRank("q8_0", inner, out, np.zeros(config.ffn, np.float32)) for inner, out in rows]


def _calibration(trace: Trace, layers: int, tensors: dict[str, Stored]) -> Calibration:
    masks = [trace.masks(number, 0, 128) for number in range(0, layers, max(layers // 4, 1))]
    lengths = [run_length(loads(mask, 5, np.zeros(1, np.int64))[8:], np.arange(trace.neurons)) for mask in masks]
    foreseen = Foreseen(128, WANTED * FIRING_OF_WANTED, WANTED, 0.0, WANTED * (1 - FIRING_OF_WANTED))
    table = expected_loads(masks)
    return Calibration("", 0, True, tensors, (foreseen,) * layers, table, float(np.mean(lengths)), 1.0, 0.0, 0.0)


def facts_of(trace: Trace) -> dict[str, float]:
    """The trace held against the paper's figures."""
    mask = trace.masks(0, 0, 128)
    loaded = loads(mask, 5, np.zeros(1, np.int64))[8:]
    union = np.mean([mask[at : at + 5].any(axis=0).mean() for at in range(8, 120)])
    return {
        "wanted_share": float(mask.mean()),
        "loaded_share_behind_a_window_of_five": float(loaded.mean()),
        "share_held_by_a_window_of_five": float(union),
        "run_length_of_loads": run_length(loaded, np.arange(trace.neurons)),
    }


def refuse_the_twin() -> Native:
    """The compiled kernels; without them the figures would say nothing."""
    kernels = kernel_library.load()
    if not isinstance(kernels, Native):
        raise SystemExit("the native library is not built for these sources; run `python -m engine.native.build` first")
    return kernels


def as_much_pinned(found: Manifest, plan: Plan) -> Plan:
    """Streaming with the memory of the windows and predictors spent on pinned neurons: the same budget and context."""
    per_slot = sum(layer.stride for layer in found.layers)
    pinned = plan.window_neurons + found.file_bytes[manifest.PREDICTOR] // per_slot
    return replace(plan, strategy="streaming", window_neurons=0, pinned_neurons=0, pinned_tiles=(pinned,) * len(found.layers))


def child(pack: Path, memory: int, step: str, tokens: int) -> None:
    """One way, whose row is printed as JSON."""
    found = manifest.load(pack)
    refuse_the_twin()
    foresight, plan = None, plan_model(model_of(found), memory, "balanced")
    if step in STREAMED:
        plan = as_much_pinned(found, plan)
    else:
        trace = Trace(found.config.layers, found.config.ffn, 128)
        foresight = Traced(predictor.load(pack, found, kernel_library.load()), trace)
    print(json.dumps(asdict(run_step(pack, memory, step, tokens, PROMPT, plan, foresight))))


def measured(pack: Path, memory: int, step: str, tokens: int) -> StepRow:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", step, "--work", str(pack.parent), "--memory", str(memory), "--tokens", str(tokens)]
    command += ["--pack", pack.name]
    quiet = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    if done.returncode:
        raise SystemExit(f"the step {step!r} failed: {done.stderr.strip()[-2000:]}")
    return StepRow(**json.loads(done.stdout.splitlines()[-1]))


def median_row(rows: list[StepRow]) -> StepRow:
    """The row whose token time is the median."""
    return sorted(rows, key=lambda row: row.token_s)[len(rows) // 2]


def report(rows: dict[str, StepRow], curves: Curves) -> dict[str, Any]:
    """A table, and what the ladder comes to."""
    print(
        f"{'':<22}{'s/token':>9}{'p99':>8}{'MB':>8}{'reads':>8}{'MB/s':>7}{'wait':>8}{'predict':>9}{'keep':>8}{'compute':>9}{'peak MB':>9}"
    )
    for row in rows.values():
        reads = f"{row.bytes_per_token / 1e6:>8.1f}{row.reads_per_token:>8.0f}{row.read_mb_per_second:>7.0f}"
        spent = f"{row.waiting_s:>8.3f}{row.predicting_s:>9.3f}{row.keeping_s:>8.4f}{row.computing_s:>9.3f}"
        print(f"{row.name:<22}{row.token_s:>9.3f}{row.p99_s:>8.3f}{reads}{spent}{row.peak_bytes / 1e6:>9.0f}")
    last = rows[PREDICTED[-1]]
    size = last.bytes_per_token / max(last.reads_per_token, 1)
    late = rows[PREDICTED[-2]]  # there the whole time of reading is waited for
    limit = curves.token_s(last.bytes_per_token, size, last.weight_bytes_per_token)
    found = {
        "over_naive": rows[STREAMED[0]].token_s / last.token_s,
        "over_pinned_streaming": min(rows[name].token_s for name in STREAMED[2:]) / last.token_s,
        "keeping_share": last.keeping_s / last.token_s,
        "mean_read_bytes": size,
        "read_mb_per_s_while_waiting": late.bytes_per_token / late.waiting_s / 1e6 if late.waiting_s else 0.0,
        "disk_curve_mb_per_s_at_that_size": curves.disk_rate(size) / 1e6,
        "physical_limit_s": limit,
        "share_of_the_limit": limit / last.token_s,
        "overlap": last.token_s / max(late.waiting_s, late.token_s - late.waiting_s),
    }
    for name, value in found.items():
        print(f"{name:<36}{value:>10.3f}")
    return found


def main() -> None:
    """Write the pack unless it is there, measure, print, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the pack, on the disk that is to be measured")
    parser.add_argument("--layers", type=int, default=32, help="fewer make a smaller pack, for a trial")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--budget", type=float, default=BUDGET_SHARE, help="memory as a share of the pack")
    parser.add_argument("--keep", action="store_true", help="leave the pack there")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pack", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.work / options.pack, options.memory, options.child, options.tokens)
        return
    kernels = refuse_the_twin()
    pack = options.work / f"synthetic-opt-{options.layers}.pack"
    trace = Trace(options.layers, 16384, 128)
    found = manifest.load(pack) if (pack / manifest.MANIFEST).is_file() else write_pack(pack, options.layers, trace)
    memory = int(options.budget * found.pack_bytes)
    facts = facts_of(trace)
    print(f"synthetic weights, {found.pack_bytes / 1e9:.2f} GB, budget {memory / 1e9:.2f} GB; {json.dumps(facts)}", flush=True)
    plan = plan_model(model_of(found), memory, "balanced")
    print(f"{plan.strategy}: {plan.window_neurons} slots a layer, {plan.pinned_neurons} of them pinned; {kernels.name}", flush=True)
    curves = measure(pack / FFN, kernels)
    ways = {**dict.fromkeys(STREAMED, 3), **dict.fromkeys(PREDICTED, options.tokens)}
    rows: dict[str, list[StepRow]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, tokens in ways.items():
            rows[name].append(measured(pack, memory, name, tokens))
    medians = {name: median_row(turns) for name, turns in rows.items()}
    summary = report(medians, curves)
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": statistics.mean(os.getloadavg()[:2]) if hasattr(os, "getloadavg") else None,
    }
    result = {"labelled": "synthetic weights and activity", "pack_bytes": found.pack_bytes, "memory_bytes": memory, "trace": facts}
    plan_facts = {"slots": plan.window_neurons, "pinned": plan.pinned_neurons, "strategy": plan.strategy}
    if not options.keep:
        for file in pack.iterdir():
            file.unlink()
        pack.rmdir()
    rows_json = {name: asdict(row) for name, row in medians.items()}
    print(json.dumps({**result, "plan": plan_facts, "machine": machine, "curves": asdict(curves), "rows": rows_json, "summary": summary}))


if __name__ == "__main__":
    main()
