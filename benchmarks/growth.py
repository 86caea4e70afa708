"""Decode rate against memory and against the model's size: `python -m benchmarks.growth PACK [PACK ...] [--repeats 3]`.

Each pack runs at the least budget that it accepts, at shares of its weights from 30 % on, and with all of it in memory, in turn. A
budget counts the whole process, so a small model's shares begin high. The last line is one JSON value.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.cgroup import run
from engine import manifest
from engine.errors import BudgetTooSmall
from engine.plan import Plan, plan
from engine.request import Mode

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_PROMPT = "Explain step by step how a hydraulic pump is taken into service and what can go wrong with it."


def main() -> None:
    """Measure, print a table, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--mode", choices=("exact", "balanced"), default="exact")
    options = parser.parse_args()
    plans = [(pack, planned) for pack in options.packs for planned in plans_of(pack, options.mode)]
    rates: list[list[float]] = [[] for _ in plans]
    for _ in range(options.repeats):
        for place, (pack, planned) in enumerate(plans):
            rates[place].append(_rate(pack, planned.memory_bytes, options))
    rows = [_row(pack, planned, found) for (pack, planned), found in zip(plans, rates, strict=True)]
    _report(rows)


def plans_of(pack: Path, mode: Mode) -> list[Plan]:
    """The plans to run, from the least budget to one in which nothing is read."""
    facts = manifest.load(pack)
    weights = facts.resident_bytes + facts.ffn_bytes
    least = plan(pack, 1 << 40, mode).least_bytes
    budgets = [least, *(int(share * weights) for share in SHARES), 2 * weights + least]
    found = []
    for budget in sorted(budgets):
        try:
            found.append(plan(pack, budget, mode))
        except BudgetTooSmall:
            continue
    return found


def _rate(pack: Path, memory_bytes: int, options: argparse.Namespace) -> float:
    sizes = ["--memory", str(memory_bytes), "--max-tokens", str(options.tokens), "--mode", options.mode, "--no-drafts"]
    done = run([sys.executable, "-m", "engine", "generate", "--model", str(pack), *sizes, "--prompt", _PROMPT, "--json"], None)
    if done.returncode != 0:
        raise SystemExit(f"the engine ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return float(json.loads(done.stdout)["tokens_per_second"])


def _row(pack: Path, planned: Plan, rates: list[float]) -> dict[str, Any]:
    facts = manifest.load(pack)
    weights = facts.resident_bytes + facts.ffn_bytes
    names = ("memory_bytes", "strategy", "expected_bytes_read_per_token", "process_bytes", "kv_bytes", "activation_bytes")
    rate = {"tokens_per_second": statistics.median(rates), "least": min(rates), "most": max(rates)}
    return {
        "pack": pack.name,
        "weight_bytes": weights,
        "share": planned.memory_bytes / weights,
        **{n: getattr(planned, n) for n in names},
        **rate,
    }


def _report(rows: list[dict[str, Any]]) -> None:
    print(f"{'pack':<34}{'budget MB':>10}{'share':>7}  {'strategy':<11}{'MB/token':>9}{'tokens/s':>10}{'MB/s':>7}")
    for row in rows:
        read, rate = row["expected_bytes_read_per_token"] / 1e6, row["tokens_per_second"]
        where = f"{row['memory_bytes'] / 1e6:>10.0f}{row['share']:>7.2f}  {row['strategy']:<11}"
        print(f"{row['pack']:<34}{where}{read:>9.1f}{rate:>10.2f}{read * rate:>7.0f}")
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "load_average": load}
    print(json.dumps({"machine": machine, "rows": rows}))


if __name__ == "__main__":
    main()
