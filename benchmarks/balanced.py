"""What balanced mode costs and saves: `python -m benchmarks.balanced PACK FILE... [--tokens 8192] [--memory 700MB]`.

Each window of 512 tokens is judged from its second token on, exactly and in the pack's smaller form; nothing is pinned, so that the form is
used at any budget. The pack must be calibrated, and with another text than these files. The last line is one JSON value.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import manifest
from engine.generate import Engine
from engine.memory import parse_size
from engine.plan import plan
from engine.request import Mode

WINDOW = 512
ROOM_BYTES = 3 << 30
"""A budget for measuring losses: the form does not depend on it when nothing is pinned."""


def main() -> None:
    """Measure, print a table, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--tokens", type=int, default=8192, help="judged over all files, taken from each in equal shares")
    parser.add_argument("--memory", type=parse_size, default=parse_size("700MB"))
    options = parser.parse_args()
    form = manifest.load(options.pack).balanced
    if form is None:
        sys.exit(f"{options.pack} is not calibrated; run `python -m engine calibrate {options.pack}`")
    losses = {mode: _losses(options.pack, mode, options.files, options.tokens) for mode in ("exact", "balanced")}
    dearer = losses["balanced"] - losses["exact"]
    error = float(dearer.std() / math.sqrt(dearer.size))
    value = {
        "model": options.pack.name,
        "tokens": int(dearer.size),
        "perplexity": {mode: float(np.exp(found.mean())) for mode, found in losses.items()},
        "loss": math.expm1(float(dearer.mean())),
        "standard_error": error,
        "recorded_loss": form.loss,
        "ffn_bytes": {"exact": manifest.load(options.pack).ffn_bytes, "balanced": sum(layer.size for layer in form.layers)},
        "read_per_token": {mode: plan(options.pack, options.memory, mode).expected_bytes_read_per_token for mode in ("exact", "balanced")},
        "memory_bytes": options.memory,
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }
    _show(value)
    print(json.dumps(value))


def _losses(pack: Path, mode: Mode, files: list[Path], tokens: int) -> NDArray[np.float64]:
    """Negative log likelihood of each judged token."""
    found: list[float] = []
    with Engine(pack, ROOM_BYTES, mode, pin=False) as engine:
        for file in files:
            text = engine.encode(file.read_text("utf-8", errors="replace"))
            windows = max(tokens // len(files) // WINDOW, 1)
            for start in range(0, min(windows * WINDOW, len(text) - WINDOW + 1), WINDOW):
                found += [-value for value in engine.log_likelihoods(text[start : start + WINDOW], 1)]
    return np.array(found)


def _show(value: dict[str, object]) -> None:
    print(f"{value['model']}, {value['tokens']} tokens: loss {value['loss']:+.2%} +- {value['standard_error']:.2%}")
    for name in ("perplexity", "ffn_bytes", "read_per_token"):
        print(f"{name:<16}{value[name]}")


if __name__ == "__main__":
    main()
