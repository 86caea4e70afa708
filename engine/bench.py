"""Speed of a pack on this machine: prefill and decode, with the bytes behind them, for each way of running that there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.generate import Engine
from engine.request import Mode, Request, Segment

_PROMPT = "The pump draws oil from the tank and presses it through the filter into the cylinder. Check the oil level before every start. "
_PROMPT_TOKENS = 384


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


def bench(pack: Path, memory_bytes: int, mode: Mode = "exact", tokens: int = 64) -> list[Row]:
    """Run the pack with nothing pinned ("naive") and as planned for the budget, each in a process of its own."""
    return [measure(pack, memory_bytes, mode, tokens, name, pin) for name, pin in (("naive", False), ("as planned", True))]


def measure(pack: Path, memory_bytes: int, mode: Mode, tokens: int, name: str, pin: bool) -> Row:
    """One row, after a short run that warms the process up."""
    with Engine(pack, memory_bytes, mode, pin) as engine:
        engine.generate(Request((Segment("Oil."),), max_tokens=2))
        room = min(_PROMPT_TOKENS, engine.context_tokens - tokens - 8)
        repeats = max(room // engine.count_tokens(_PROMPT), 1)
        result = engine.generate(Request((Segment(_PROMPT * repeats),), max_tokens=tokens))
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
