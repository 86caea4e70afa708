"""Quality against speed in the same memory, ours beside llama.cpp with smaller files:

`python -m benchmarks.quality_and_speed --speeds FILE --gguf FILE --pack PACK --memory 700MB --llama-perplexity PATH TEXT...`

`--speeds` is what `larger_than_memory` printed with the same files (and `--smaller`): being faster than the wrong peer would prove nothing.
All are judged over the same windows of the same text. `benchmarks.plots` draws the JSON of the last line.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from benchmarks.fidelity import of_source
from engine.generate import Engine
from engine.memory import parse_size
from engine.perplexity import perplexity
from engine.request import Mode


def main() -> None:
    """Judge each, print a table, end with JSON."""
    options = _options()
    rows = json.loads(options.speeds.read_text("utf-8").strip().splitlines()[-1])["rows"]
    text = "\n".join(path.read_text("utf-8", errors="replace") for path in options.texts).strip()
    files = {
        "llama.cpp": options.gguf,
        **{f"llama.cpp {name}": Path(file) for name, file in (given.split("=", 1) for given in options.smaller)},
    }
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.txt"
        file.write_bytes(text.encode("utf-8"))
        for name, row in rows.items():
            found = (
                of_source(options.llama_perplexity, files[name], file, options.windows).perplexity
                if name in files
                else _ours(options, text, cast(Mode, name.removeprefix("flashkb ")))
            )
            points.append({"name": name, "perplexity": found, "tokens_per_second": row["tokens_per_second"]})
            print(f"{name:<28}{row['tokens_per_second']:>9.2f} tokens/s{found:>9.3f}", flush=True)
    print(json.dumps({"memory_bytes": options.memory, "windows": options.windows, "points": points}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--speeds", type=Path, required=True)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--memory", type=parse_size, required=True)
    parser.add_argument("--llama-perplexity", type=Path, required=True)
    parser.add_argument("--smaller", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--windows", type=int, default=32, help="of 512 tokens, the second half of each judged")
    return parser.parse_args()


def _ours(options: argparse.Namespace, text: str, mode: Mode) -> float:
    with Engine(options.pack, options.memory, mode) as engine:
        if engine.plan["form"] != mode:
            print(f"{mode} ran on the {engine.plan['form']} form", file=sys.stderr)
        return perplexity(engine, text, options.windows).perplexity


if __name__ == "__main__":
    main()
