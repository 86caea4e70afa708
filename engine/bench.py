"""Speed of a pack on this machine: the paper's ladder step by step, held against what disk, memory and kernels can give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine import kernels as kernel_library
from engine import manifest as manifests
from engine.curves import Curves
from engine.curves import measure as measure_curves
from engine.errors import EngineError
from engine.generate import Engine
from engine.ladder import StepRow, steps_of
from engine.plan import plan
from engine.request import Mode, Request, Segment

_PROMPT = "The pump draws oil from the tank and presses it through the filter into the cylinder. Check the oil level before every start. "
_PROMPT_TOKENS = 384
_LADDER_PROMPT_TOKENS = 32


@dataclass(frozen=True)
class Row:
    """One way of running. Rates in tokens per second, `read_mb_per_second` in 10^6 bytes over the time of decoding."""

    name: str
    strategy: str
    kernels: str
    prompt_tokens: int
    prefill_tokens_per_second: float
    tokens: int
    decode_tokens_per_second: float
    bytes_read_per_token: float
    reads_per_token: float
    read_mb_per_second: float
    stall_share: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class Ladder:
    """The steps, and the last of them held against the physical limit: the least time of a token that reads and computes so much."""

    kernels: str
    memory_bytes: int
    rows: tuple[StepRow, ...]
    curves: Curves
    limit_token_s: float

    @property
    def share_of_the_limit(self) -> float:
        """1: nothing is left to gain on this machine."""
        return self.limit_token_s / self.rows[-1].token_s

    def to_json(self) -> dict[str, Any]:
        """For the command line."""
        rows = [
            {**asdict(row), "tokens_per_second": row.tokens_per_second, "read_mb_per_second": row.read_mb_per_second} for row in self.rows
        ]
        return {**asdict(self), "rows": rows, "share_of_the_limit": self.share_of_the_limit}


def ladder(pack: Path, memory_bytes: int, mode: Mode, tokens: int, on_row: Callable[[StepRow], None] | None = None) -> Ladder:
    """Run every step that the pack can take, each in a process of its own, then hold the last against this machine's curves.

    Raises BudgetTooSmall, CorruptPack, or EngineError when a step fails.
    """
    found, kernels = manifests.load(pack), kernel_library.load()
    rows = []
    predicts = plan(pack, memory_bytes, mode).strategy == "predicted"
    for step in steps_of(predicts):
        rows.append(_measured(pack, memory_bytes, step, tokens, _prompt(pack, found)))
        if on_row is not None:
            on_row(rows[-1])
    curves, last = measure_curves(pack / manifests.FFN, kernels), rows[-1]
    size = last.bytes_per_token / last.reads_per_token if last.reads_per_token else 1.0
    limit = curves.token_s(last.bytes_per_token, size, last.weight_bytes_per_token)
    return Ladder(kernels.name, memory_bytes, tuple(rows), curves, limit)


def _prompt(pack: Path, found: manifests.Manifest) -> list[int]:
    from engine.codec import open_codec
    from engine.tokenizer import Tokenizer

    return Tokenizer(open_codec(pack, found), found.tokenizer).encode(_PROMPT * 4)[:_LADDER_PROMPT_TOKENS]


def _measured(pack: Path, memory_bytes: int, step: str, tokens: int, prompt: list[int]) -> StepRow:
    command = [sys.executable, "-m", "engine.ladder", "--model", os.fspath(pack), "--memory", str(memory_bytes), "--step", step]
    command += ["--tokens", str(tokens), "--prompt", ",".join(map(str, prompt))]
    root = os.fspath(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", env=environment, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it left no message"]
        raise EngineError(f"the step {step!r} did not run: {said[-1].removeprefix('error: ')}")
    return StepRow(**json.loads(done.stdout.splitlines()[-1]))


def measure(pack: Path, memory_bytes: int, mode: Mode, tokens: int, name: str, pin: bool) -> Row:
    """One row, after a short run that warms the process up."""
    with Engine(pack, memory_bytes, mode, pin) as engine:
        engine.generate(Request((Segment("Oil."),), max_tokens=2))
        room = min(_PROMPT_TOKENS, engine.context_tokens - tokens - 8)
        repeats = max(room // engine.count_tokens(_PROMPT), 1)
        result = engine.generate(Request((Segment(_PROMPT * repeats),), max_tokens=tokens, drafting=False))
        rate = result.tokens_per_second
        return Row(
            name=name,
            strategy=engine.plan["strategy"],
            kernels=engine.kernels_name,
            prompt_tokens=result.prompt_tokens,
            prefill_tokens_per_second=result.prompt_tokens / result.first_token_seconds,
            tokens=result.tokens,
            decode_tokens_per_second=rate,
            bytes_read_per_token=result.bytes_read_per_token,
            reads_per_token=result.reads_per_token,
            read_mb_per_second=result.bytes_read_per_token * rate / 1e6,
            stall_share=result.stall_share,
            peak_rss_bytes=result.peak_rss_bytes,
        )
