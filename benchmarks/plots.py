"""Draws the figures of docs/benchmarks from what the benchmarks printed last: `python -m benchmarks.plots --out docs/images FILE ...`.

Each file is a benchmark's output, whose last line is its JSON; which figure it becomes follows from its keys. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

Figure = Callable[[Any, dict[str, Any]], None]


def main() -> None:
    """One SVG for each file that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    plt.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "flashkb", "svg.fonttype": "none"}
    )
    for file in options.files:
        values = json.loads(file.read_text("utf-8").strip().splitlines()[-1])
        for name, draw in _figures(values).items():
            figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
            draw(axes, values)
            figure.savefig(options.out / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
            print(options.out / f"{name}.svg")


def _figures(values: dict[str, Any]) -> dict[str, Figure]:
    """Which figures a benchmark's values make; KeyError names the keys when none fits."""
    if "points" in values:
        return {"engine-quality-and-speed": quality_and_speed}
    if "weight_bytes" in values.get("rows", [{}])[0]:
        return {"engine-rate-by-budget": rate_by_budget, "engine-rate-by-size": rate_by_size}
    raise KeyError(f"no figure is drawn from {sorted(values)}")


def rate_by_budget(axes: Any, values: dict[str, Any]) -> None:
    """Tokens a second against the budget as a share of the weights, a line for each pack."""
    for pack in _packs(values):
        rows = [row for row in values["rows"] if row["pack"] == pack]
        axes.plot([row["share"] for row in rows], [row["tokens_per_second"] for row in rows], marker="o", markersize=3, label=_name(pack))
    axes.set(xlabel="memory budget / weights", ylabel="tokens per second", yscale="log")
    axes.legend(frameon=False)


def rate_by_size(axes: Any, values: dict[str, Any]) -> None:
    """Tokens a second against the weights' bytes: all in memory, and at the least budget."""
    for label, choose in (("all in memory", max), ("least budget", min)):
        rows = [
            choose((row for row in values["rows"] if row["pack"] == pack), key=lambda row: row["memory_bytes"]) for pack in _packs(values)
        ]
        rows.sort(key=lambda row: row["weight_bytes"])
        axes.plot([row["weight_bytes"] / 1e6 for row in rows], [row["tokens_per_second"] for row in rows], marker="o", label=label)
    axes.set(xlabel="weights, MB", ylabel="tokens per second", xscale="log", yscale="log")
    axes.legend(frameon=False)


def quality_and_speed(axes: Any, values: dict[str, Any]) -> None:
    """Perplexity against tokens a second in the same memory, a point for each way of running."""
    for place, point in enumerate(sorted(values["points"], key=lambda point: point["tokens_per_second"])):
        offset = (5, -11 if place % 2 else 4)  # neighbours' names would cover each other
        ours = point["name"].startswith("flashkb")
        axes.plot(point["tokens_per_second"], point["perplexity"], "o" if ours else "s", color="tab:blue" if ours else "tab:grey")
        axes.annotate(
            point["name"], (point["tokens_per_second"], point["perplexity"]), xytext=offset, textcoords="offset points", fontsize=8
        )
    axes.set(xlabel="tokens per second", ylabel="perplexity (lower is better)", xscale="log")
    axes.margins(x=0.25, y=0.15)


def _packs(values: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["pack"] for row in values["rows"]))


def _name(pack: str) -> str:
    return pack.removesuffix(".pack")


if __name__ == "__main__":
    main()
