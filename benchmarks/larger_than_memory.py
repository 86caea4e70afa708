"""Decode rate within a memory limit beside llama.cpp, as whole commands in turn (ABAB):

`python -m benchmarks.larger_than_memory --gguf FILE --pack PACK --memory 700MB --llama-bench PATH [--smaller NAME=FILE] [--pairs 3]`

Every command runs in a memory cgroup of its own that counts page cache. llama.cpp maps its file and repacks nothing, for repacking takes
anonymous memory and is killed; the rate is its own (`llama-bench -n`). `--smaller` names files of fewer bits or parameters that fit better.
Nothing is drafted. The last line is one JSON value with medians and the ratios within each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path

from benchmarks.cgroup import Finished, forget_cached, run
from engine.memory import parse_size

_PROMPT = "Explain step by step how a hydraulic pump is taken into service and what can go wrong with it."


def main() -> None:
    """Measure, print a table, end with JSON."""
    options = _options()
    ways: dict[str, list[dict[str, float]]] = {}
    for pair in range(options.pairs):
        for name, file in _peers(options).items():
            ways.setdefault(name, []).append(_peer(options, file))
        for mode in options.modes:
            ways.setdefault(f"flashkb {mode}", []).append(_ours(options, mode))
        print(f"turn {pair + 1} of {options.pairs} done", file=sys.stderr)
    _report(options, ways)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True, help="made of the same file")
    parser.add_argument("--memory", type=parse_size, required=True, help="limit of the cgroup, and the engine's budget")
    parser.add_argument("--engine-memory", type=parse_size, help="the engine's budget if it is to be another")
    parser.add_argument("--llama-bench", type=Path, required=True)
    parser.add_argument("--smaller", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--modes", nargs="+", default=["exact", "balanced"], choices=("exact", "balanced"))
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def _peers(options: argparse.Namespace) -> dict[str, Path]:
    named = (given.split("=", 1) for given in options.smaller)
    return {"llama.cpp": options.gguf, **{f"llama.cpp {name}": Path(file) for name, file in named}}


def _peer(options: argparse.Namespace, file: Path) -> dict[str, float]:
    forget_cached(file)
    sizes = ["-t", str(options.threads), "-p", "0", "-n", str(options.tokens), "-r", "1"]
    done = run([str(options.llama_bench), "-m", str(file), *sizes, "--repack", "0", "-o", "json"], options.memory)
    if done.returncode != 0:
        raise SystemExit(f"llama-bench ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return {"tokens_per_second": json.loads(done.stdout)[0]["avg_ts"], **_peak(done)}


def _ours(options: argparse.Namespace, mode: str) -> dict[str, float]:
    budget = ["--memory", str(options.engine_memory or options.memory), "--mode", mode, "--max-tokens", str(options.tokens), "--no-drafts"]
    command = [sys.executable, "-m", "engine", "generate", "--model", str(options.pack), *budget, "--prompt", _PROMPT, "--json"]
    done = run(command, options.memory)
    if done.returncode != 0:
        raise SystemExit(f"the engine ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    value = json.loads(done.stdout)
    names = ("tokens_per_second", "bytes_read_per_token", "stall_share", "first_token_seconds", "tokens")
    return {**{name: value[name] for name in names}, "peak_rss_bytes": value["peak_rss_bytes"], **_peak(done)}


def _peak(done: Finished) -> dict[str, float]:
    assert done.peak_bytes is not None
    return {"cgroup_peak_bytes": done.peak_bytes}


def _report(options: argparse.Namespace, ways: dict[str, list[dict[str, float]]]) -> None:
    rows = {name: {key: statistics.median(turn[key] for turn in turns) for key in turns[0]} for name, turns in ways.items()}
    base = [turn["tokens_per_second"] for turn in ways["llama.cpp"]]
    print(f"{'':<28}{'tokens/s':>9}{'ratio':>7}{'MB/token':>10}{'MB/s':>7}{'wait':>6}{'peak MB':>9}")
    for name, row in rows.items():
        ratios = [turn["tokens_per_second"] / peer for turn, peer in zip(ways[name], base, strict=True)]
        row["ratio"], row["least_ratio"], row["most_ratio"] = statistics.median(ratios), min(ratios), max(ratios)
        read = row.get("bytes_read_per_token", 0.0)
        reads = f"{read / 1e6:>10.1f}{read * row['tokens_per_second'] / 1e6:>7.0f}{row.get('stall_share', 0.0):>6.2f}"
        print(f"{name:<28}{row['tokens_per_second']:>9.2f}{row['ratio']:>7.2f}{reads}{row['cgroup_peak_bytes'] / 1e6:>9.0f}")
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "load_average": os.getloadavg()}
    settings = {"memory_bytes": options.memory, "tokens": options.tokens, "pairs": options.pairs, "model": options.gguf.name}
    print(json.dumps({**settings, "machine": machine, "rows": rows, "turns": ways}))


if __name__ == "__main__":
    main()
