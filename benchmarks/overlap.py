"""How much of reading and computing happens at once: `python -m benchmarks.overlap --model PACK --memory 700MB [--pairs 5]`.

A token of the streamed model is held against its two parts as measured apart, in turn (ABC): reading alone (the same tiles through the same
ring, nothing computed) and computing alone (the same model, all in memory). 1.00 is a token that takes no longer than its longer part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from engine.ffn import StreamedFeedForward
from engine.memory import parse_size
from engine.native.stream import NativeStream
from engine.session import Session

_PROMPT_TOKENS = 32


def main() -> None:
    """Measure, print a table, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--memory", type=parse_size, required=True)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    streamed = Session(options.model, options.memory, "exact")
    resident = Session(options.model, 1 << 40, "exact")
    if streamed.plan.strategy != "streaming":
        raise SystemExit(f"{options.model} is {streamed.plan.strategy} in this memory; give less")
    stream = _stream(streamed)
    turns = [
        {"token": _token_s(streamed, options.tokens), "reading": _reading_s(stream), "computing": _token_s(resident, options.tokens)}
        for _ in range(options.pairs)
    ]
    streamed.close()
    resident.close()
    _report(options, turns, streamed.plan.expected_bytes_read_per_token)


def _stream(session: Session) -> NativeStream:
    feed_forward = session._feed_forward
    assert isinstance(feed_forward, StreamedFeedForward) and isinstance(feed_forward._stream, NativeStream)
    return feed_forward._stream


def _token_s(session: Session, tokens: int) -> float:
    session._cache.tokens.clear()
    session.forward([1] * _PROMPT_TOKENS)
    began = time.perf_counter()
    for _ in range(tokens):
        session.logits(session.forward([1]))
    return (time.perf_counter() - began) / tokens


def _reading_s(stream: NativeStream) -> float:
    began = time.perf_counter()
    stream.drain(4)
    return (time.perf_counter() - began) / 4


def _report(options: argparse.Namespace, turns: list[dict[str, float]], read_bytes: int) -> None:
    ratios = [turn["token"] / max(turn["reading"], turn["computing"]) for turn in turns]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    print(f"{'':<12}{'ms':>8}{'MB/s':>8}")
    for name, value in medians.items():
        rate = f"{read_bytes / value / 1e6:>8.0f}" if name != "computing" else ""
        print(f"{name:<12}{value * 1e3:>8.1f}{rate}")
    print(f"token / longer part: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    machine = {"cores": os.cpu_count(), "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None}
    given = {"model": options.model.name, "memory_bytes": options.memory, "bytes_read_per_token": read_bytes}
    print(
        json.dumps({**given, "seconds": medians, "ratio": statistics.median(ratios), "ratios": ratios, "turns": turns, "machine": machine})
    )


if __name__ == "__main__":
    main()
