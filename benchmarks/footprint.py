"""What the engine's process holds beside its model, and whether its peak stays in the budget.

`python -m benchmarks.footprint PACK [PACK ...]`, Linux only. Each pack runs in memory for the whole model and in little more than the
least, on a prompt that fills the context (2,048 tokens at most). `beside` is the peak less weights, stream buffers and the keys and values
that were written: interpreter, libraries, vocabulary and the arrays of a pass. `loaded` is the same before the first prompt. The last line
is one JSON value.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.errors import BudgetTooSmall, ContextTooLong
from engine.generate import Engine
from engine.request import Request, Segment

_TEXT = "The pump P-200 draws 42.5 bar of oil; if the pressure falls, see section 3.1 and stop the line.\n"
_WEIGHTS = ("resident_bytes", "pinned_bytes", "embedding_bytes")


@dataclass(frozen=True)
class Row:
    """Bytes of one run; `encode_s` is the time for `encoded_tokens` tokens of a text not seen before."""

    model: str
    strategy: str
    budget_bytes: int
    peak_bytes: int
    beside_bytes: int
    loaded_bytes: int | None
    planned_process_bytes: int
    planned_activation_bytes: int
    prompt_tokens: int
    encoded_tokens: int
    encode_s: float


def main() -> None:
    """Measure, print a table, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path, nargs="+")
    packs: list[Path] = parser.parse_args().packs
    print(f"{'model':<40}{'':<11}{'budget':>8}{'peak':>8}{'beside':>8}{'loaded':>8}{'planned':>9}   MB; time to encode")
    rows = [row for pack in packs for row in (measure(pack, 8_000_000_000), measure(pack, streaming_budget(pack)))]
    print(json.dumps({"machine": platform.machine(), "python": platform.python_version(), "rows": [asdict(row) for row in rows]}))


def streaming_budget(pack: Path) -> int:
    """A tenth more than the least, in which nothing much is pinned."""
    try:
        Engine(pack, 1).close()
    except BudgetTooSmall as error:
        return error.needed_bytes * 11 // 10
    raise AssertionError("no model runs in one byte")


def measure(pack: Path, budget_bytes: int) -> Row:
    """Fill the context, twice, and look at the process."""
    with Engine(pack, budget_bytes) as engine:
        plan = engine.plan
        weights = sum(plan[name] for name in _WEIGHTS)
        loaded = status(engine.process_id, "VmRSS") - weights if plan["strategy"] == "resident" else None
        fresh = "".join(f"{number}. {_TEXT}" for number in range(60))
        began = time.perf_counter()
        encoded = engine.count_tokens(fresh)
        encode_s = time.perf_counter() - began
        text = _TEXT * (min(engine.context_tokens, 2048) * len(_TEXT * 60) // encoded // len(_TEXT))
        for lead in ("", "Again. "):
            prompt_tokens = filled(engine, lead + text)
        peak = status(engine.process_id, "VmHWM")
        written = plan["kv_bytes"] // plan["context_tokens"] * (prompt_tokens + 4)
        row = Row(
            model=engine.model_name,
            strategy=plan["strategy"],
            budget_bytes=budget_bytes,
            peak_bytes=peak,
            beside_bytes=peak - weights - plan["stream_bytes"] - written,
            loaded_bytes=loaded,
            planned_process_bytes=plan["process_bytes"],
            planned_activation_bytes=plan["activation_bytes"],
            prompt_tokens=prompt_tokens,
            encoded_tokens=encoded,
            encode_s=encode_s,
        )
    show(row)
    return row


def filled(engine: Engine, text: str) -> int:
    """Answer a prompt that is as long as fits; its tokens."""
    while True:
        try:
            return engine.generate(Request((Segment(text, "user"),), max_tokens=4)).prompt_tokens
        except ContextTooLong:
            text = text[: len(text) * 9 // 10]


def status(process_id: int, field: str) -> int:
    """Bytes of a field of /proc/PID/status."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text("ascii"), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def show(row: Row) -> None:
    """One line of the table, in MB."""
    loaded = "" if row.loaded_bytes is None else f"{row.loaded_bytes / 1e6:.1f}"
    planned = (row.planned_process_bytes + row.planned_activation_bytes) / 1e6
    sizes = f"{row.budget_bytes / 1e6:>8.0f}{row.peak_bytes / 1e6:>8.1f}{row.beside_bytes / 1e6:>8.1f}{loaded:>8}{planned:>9.1f}"
    print(f"{row.model:<40}{row.strategy:<11}{sizes}   {row.encode_s * 1000:.1f} ms for {row.encoded_tokens} tokens", flush=True)


if __name__ == "__main__":
    main()
