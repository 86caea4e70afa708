"""Decode and prefill rates of a pack, resident and streamed in turn: `python benchmarks/decode.py [--model PACK] [--repeats 3]`.

The ways of running take turns (ABAB), since a machine's speed drifts; the last line is one JSON value with medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.bench import Row, measure
from engine.plan import plan

LLAMA_CPP_DECODE = 91.0
"""Tokens per second of llama.cpp on SmolLM2-135M Q4_1, resident, two threads, measured on another day on such a machine."""


def main() -> None:
    """Measure, print a table, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(sys.prefix) / "share" / "flashkb" / "smollm2-135m-instruct.pack")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    least = plan(options.model, 1 << 40).least_bytes
    ways = {"resident": (10**9, True), "least budget": (least, True), "nothing pinned": (least, False)}
    rows: dict[str, list[Row]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, (memory, pin) in ways.items():
            rows[name].append(measure(options.model, memory, "exact", options.tokens, name, pin))
    print(f"{'':<16}{'prefill/s':>10}{'decode/s':>10}{'MB/token':>10}{'MB/s':>8}{'peak MB':>9}")
    summary = {name: _summary(found) for name, found in rows.items()}
    for name, value in summary.items():
        rates = f"{value['prefill_tokens_per_second']:>10.1f}{value['decode_tokens_per_second']:>10.1f}"
        reads = f"{value['bytes_read_per_token'] / 1e6:>10.1f}{value['read_mb_per_second']:>8.0f}{value['peak_rss_bytes'] / 1e6:>9.0f}"
        print(f"{name:<16}{rates}{reads}")
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }
    noted = {"llama_cpp_decode_tokens_per_second_noted": LLAMA_CPP_DECODE}
    kernels = rows["resident"][0].kernels
    print(json.dumps({"model": options.model.name, "kernels": kernels, "machine": machine, "rows": summary, **noted}))


def _summary(rows: list[Row]) -> dict[str, float]:
    names = ("prefill_tokens_per_second", "decode_tokens_per_second", "bytes_read_per_token", "read_mb_per_second", "peak_rss_bytes")
    return {name: statistics.median(float(getattr(row, name)) for row in rows) for name in names}


if __name__ == "__main__":
    main()
