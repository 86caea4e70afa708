"""Milliseconds and GB/s of the kernels: `python benchmarks/kernels.py [--threads 2] [--repeats 9]`.

Two matrices, one as in a 7B model and one as in the default model, against 1, 4 and 64 tokens in every format; numpy's and torch's float32
products of the same shape take turns with them, since a machine's speed drifts. The last line is one JSON value with the best times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.formats import FORMATS, Bytes, Floats
from engine.native.library import Native

SHAPES = ((11008, 4096), (1536, 576))
TOKENS = (1, 4, 64)
Way = Callable[[Floats], object]


def main() -> None:
    """Measure, print a table, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    kernels = Native(threads=options.threads)
    results = []
    print(f"{kernels.name}, {kernels.threads} threads\n{'shape':<12}{'way':<12}" + "".join(f"{n:>4} tokens: ms{'GB/s':>7}" for n in TOKENS))
    for rows, columns in SHAPES:
        for name, weight_bytes, way in _ways(kernels, rows, columns):
            best = _best_ms(way, columns, options.repeats)
            cells = "".join(f"{best[n]:>15.3f}{weight_bytes / best[n] / 1e6:>7.1f}" for n in TOKENS)
            print(f"{rows}x{columns:<7}{name:<12}{cells}", flush=True)
            results.append({"rows": rows, "columns": columns, "way": name, "weight_bytes": weight_bytes, "best_ms": best})
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }
    print(json.dumps({"kernels": kernels.name, "threads": kernels.threads, "machine": machine, "results": results}))


def _ways(kernels: Native, rows: int, columns: int) -> list[tuple[str, int, Way]]:
    """Each way with the bytes of its weights. The down projection's sums stand beside the products of the same format."""
    import torch

    torch.set_num_threads(kernels.threads)
    plain = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    tensor = torch.from_numpy(plain)
    found: list[tuple[str, int, Way]] = [
        ("numpy f32", plain.nbytes, lambda x: x @ plain.T),
        ("torch f32", plain.nbytes, lambda x: torch.from_numpy(x) @ tensor.T),
    ]
    for name, entry in FORMATS.items():
        if columns % entry.block_columns == 0:
            weights = _random_rows(name, rows, columns)
            found.append((name, weights.nbytes, _product(kernels, name, weights)))
    down = _random_rows("q4_1", rows, columns)
    coefficients = np.random.default_rng(1).standard_normal((max(TOKENS), rows)).astype(np.float32)
    found.append(("q4_1 sum", down.nbytes, lambda x: kernels.weighted_sum("q4_1", down, coefficients[: len(x)])))
    return found


def _product(kernels: Native, name: str, weights: Bytes) -> Way:
    return lambda x: kernels.matmul(name, weights, x)


def _random_rows(name: str, rows: int, columns: int) -> Bytes:
    """Any bits do: what a product costs does not depend on them (bytes below 64 keep the scales finite)."""
    return np.random.default_rng(0).integers(0, 64, (rows, FORMATS[name].row_bytes(columns)), dtype=np.uint8)


def _best_ms(way: Way, columns: int, repeats: int) -> dict[int, float]:
    best = dict.fromkeys(TOKENS, float("inf"))
    inputs = {n: np.random.default_rng(n).standard_normal((n, columns)).astype(np.float32) for n in TOKENS}
    for _ in range(repeats):
        for n, x in inputs.items():
            began = time.perf_counter()
            way(x)
            best[n] = min(best[n], (time.perf_counter() - began) * 1e3)
    return best


if __name__ == "__main__":
    main()
