"""Perplexity of a pack against its source: `python benchmarks/fidelity.py MODEL.gguf TEXT [TEXT ...] [--llama-perplexity PATH]`.

The GGUF file is packed (or `--pack` is taken), and the texts are cut into windows of 512 tokens of which the second half is judged. With
llama.cpp's `llama-perplexity` the source itself is judged over the same windows; without it the pack's figure stands alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.generate import Engine
from engine.pack import pack
from engine.perplexity import WINDOW_TOKENS, Perplexity, perplexity
from engine.plan import plan

_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Source:
    """What llama.cpp finds for the GGUF file itself."""

    perplexity: float
    standard_error: float
    windows: int


def main() -> None:
    """Measure, print both, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("texts", type=Path, nargs="+", help="files of plain text, judged one behind the other")
    parser.add_argument("--pack", type=Path, help="a pack of the model; made for the measurement where none is given")
    parser.add_argument("--windows", type=int, default=36, help="windows of 512 tokens, of which 255 are judged")
    parser.add_argument("--llama-perplexity", type=Path, help="llama.cpp's program of this name")
    options = parser.parse_args()
    text = "\n".join(path.read_text("utf-8", errors="replace") for path in options.texts).strip()
    with tempfile.TemporaryDirectory() as folder:
        made = options.pack or Path(folder) / "model.pack"
        if options.pack is None:
            pack(options.model, made)
        ours, kernels = of_pack(made, text, options.windows)
        file = Path(folder) / "text.txt"
        file.write_bytes(text.encode("utf-8"))
        theirs = of_source(options.llama_perplexity, options.model, file, options.windows) if options.llama_perplexity else None
    report(options.model.name, kernels, ours, theirs)


def of_pack(folder: Path, text: str, windows: int) -> tuple[Perplexity, str]:
    """All in memory, with the kernels of this machine."""
    least = plan(folder, 1 << 40).least_bytes
    with Engine(folder, 2 * least + sum(file.stat().st_size for file in folder.iterdir())) as engine:
        return perplexity(engine, text, windows), engine.kernels_name


def of_source(program: Path, model: Path, file: Path, windows: int) -> Source:
    """llama.cpp over the same windows; one window at a time, since a batch of several would take more memory and give the same."""
    size, window = str(WINDOW_TOKENS), str(windows)
    command = [str(program), "-m", str(model), "-f", str(file), "-c", size, "-b", size, "--chunks", window, "-t", str(os.cpu_count() or 1)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False)
    said = done.stdout + done.stderr
    estimate = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", said)
    count = re.search(r"calculating perplexity over (\d+) chunks", said)
    if estimate is None or count is None:
        raise SystemExit(f"{program.name} gave no estimate (it ended with {done.returncode}): {said.strip()[-500:]}")
    return Source(float(estimate[1]), float(estimate[2]), int(count[1]))


def report(model: str, kernels: str, ours: Perplexity, theirs: Source | None) -> None:
    """A table, then JSON."""
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
    value = {"model": model, "kernels": kernels, "machine": machine, "pack": ours.perplexity, "tokens": ours.tokens}
    print(f"pack    {ours.perplexity:9.4f}  over {ours.tokens} tokens")
    if theirs is not None:
        judged = theirs.windows * (WINDOW_TOKENS - WINDOW_TOKENS // 2 - 1)
        if judged != ours.tokens:
            raise SystemExit(f"llama.cpp judged {judged} tokens and the pack {ours.tokens}: the text was not cut alike")
        change = ours.perplexity / theirs.perplexity - 1
        print(f"source  {theirs.perplexity:9.4f}  +/- {theirs.standard_error}\nchange  {change:+9.2%}")
        value |= {"source": theirs.perplexity, "source_standard_error": theirs.standard_error, "change": change}
    print(json.dumps(value))


if __name__ == "__main__":
    main()
