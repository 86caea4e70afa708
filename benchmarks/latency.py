"""How long an instant answer takes where the library and the bank are large, and in which part.

    python -m benchmarks.latency --work DIR [--passages 20000] [--questions 20000] [--ask 300] [--train]

Manuals of made-up machines (sections with steps, value tables, alarm lists) are written into DIR, read in and taught from their structure;
DIR is used again. Pairs go into the bank without the round-trip filter, which takes long and changes nothing in an answer's time.
Questions are those of the bank in other words, and some about something else. `--train` times a training run over the bank.

Encoding 20,000 passages takes minutes to hours, so that vectors here are sums of one random direction a word, of the encoder's length;
what a question has encoded goes through the real encoder all the same, and its vectors are thrown away. `--encoder` takes the real vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from kb.bert import Bert
from kb.dense import DenseIndex
from kb.encoder import FEW, Encoder, Tokens
from kb.library import Library
from kb.words import WordIndex
from surrogates import bank, confidence, gates, interaction, reader_weights, router, structure, surrogate, teaching, training
from surrogates.offtopic import QUESTIONS as OFF_TOPIC
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.verifier import Verifier
from surrogates.wording import WORD, content

PARTS = (
    "pump", "valve", "filter", "gearbox", "conveyor", "spindle", "coupling", "heater", "cooler",
    "sensor", "clamp", "nozzle", "chain", "blower", "mixer", "cylinder", "brake", "fan",
)  # fmt: skip
PLACES = (
    "suction", "discharge", "main", "rear", "upper", "lower",
    "feed", "return", "pilot", "guide", "drive", "idle",
)  # fmt: skip
TASKS = (
    "Replacing", "Cleaning", "Checking", "Adjusting", "Lubricating", "Aligning",
    "Testing", "Draining", "Tightening", "Removing", "Installing", "Inspecting",
)  # fmt: skip
VALUES = (
    "Operating pressure,bar",
    "Oil volume,l",
    "Supply voltage,V",
    "Rated current,A",
    "Tightening torque,Nm",
    "Mass,kg",
    "Clearance,mm",
)
CAUSES = (
    "leak at the seal", "worn bearing", "loose terminal", "blocked line",
    "low oil level", "dirty element", "broken wire", "wrong setting",
)  # fmt: skip
LONGEST_QUESTION = 200  # characters
SECTIONS = 200  # of one manual
STEPS = ("encode", "full text", "vectors", "gates", "head", "search", "predict")


def main() -> None:
    """Print the split by part, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--ask", type=int, default=300)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--encoder", action="store_true", help="real vectors, in a home of their own")
    chosen = parser.parse_args()
    home, encoder = ("home-encoder", Encoder()) if chosen.encoder else ("home", Hashed())
    with Library(chosen.work / home, encoder) as library, fitted_on(encoder):
        fill(library, chosen.work / "manuals", chosen.passages)
        store(library, chosen.questions)
        print(f"{interaction.read(library)} passages read", flush=True)
        sizes = {"passages": library.connection.execute("SELECT count(*) FROM passages").fetchone()[0], **bank.counts(library.connection)}
        result: dict[str, Any] = {"benchmark": "latency", "cores": os.cpu_count(), **sizes, **measure(library, chosen.ask)}
        if chosen.train:
            started = time.monotonic()
            result["training"] = {**training.train(library), "wall_s": round(time.monotonic() - started, 1)}
    print(json.dumps(result))


class Hashed(Encoder):
    """Each word has a fixed random direction, a text is their sum; a few texts go through the real encoder too, for its time."""

    name = "hashed-words-384"
    dimension = 384

    def __init__(self) -> None:
        super().__init__()
        self._words: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """[len(texts), 384], of unit length."""
        if len(texts) <= FEW and all(len(text) < LONGEST_QUESTION for text in texts):
            super().encode(texts)
        vectors = np.full((len(texts), self.dimension), 1e-4, np.float32)  # [n, d]
        for row, text in enumerate(texts):
            for word in content(text):
                vectors[row] += self._direction(word)
        if on_progress:
            on_progress(len(texts))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """One token a word."""
        found = []
        for text, vector in zip(texts, self.encode(texts), strict=True):
            matches = list(WORD.finditer(text))
            vectors = np.stack([self._direction(match.group().casefold()) for match in matches])  # [n, d]
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            found.append(Tokens(vector, vectors / lengths, np.asarray([match.span() for match in matches], np.int32)))
        return found

    def _direction(self, word: str) -> NDArray[np.float32]:
        if word not in self._words:
            self._words[word] = np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dimension).astype(np.float32)
        return self._words[word]


@contextmanager
def fitted_on(encoder: Encoder) -> Iterator[None]:
    """The reader's weights as if they were fitted on this encoder, so that all of it is run."""
    shipped = reader_weights.fitted()
    own = replace(shipped, verifier=Verifier(shipped.verifier.tensors, encoder.name))
    with mock.patch.object(reader_weights, "fitted", lambda: own):
        yield


def fill(library: Library, folder: Path, passages: int) -> None:
    """Add manuals until the library has at least that many passages."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(library.documents())
    while library.connection.execute("SELECT count(*) FROM passages").fetchone()[0] < passages:
        file = folder / f"machine-{number:04d}.md"
        file.write_text(manual(number), encoding="utf-8")
        added = library.add(file)
        print(f"{file.name}: {added.passages} passages in {added.seconds:.0f} s", flush=True)
        number += 1


def manual(number: int) -> str:
    """A machine's manual in Markdown, the same for the same number."""
    chance = random.Random(number)
    machine = f"{chance.choice('ABCDEHKLMPRSTVX')}{chance.choice('ABCDEHKLMPRSTVX')}-{100 + number}"
    parts = [f"{place} {part}" for place in PLACES for part in PARTS]
    chance.shuffle(parts)
    sections = [_section(parts[place % len(parts)], machine, place, chance) for place in range(SECTIONS)]
    return f"# Machine {machine}\n\n" + "\n\n".join(sections) + "\n"


def _section(part: str, machine: str, place: int, chance: random.Random) -> str:
    if place % 3 == 0:
        steps = [f"Switch the {machine} off and wait {chance.randrange(2, 30)} minutes.", f"Loosen the {chance.randrange(2, 9)} screws."]
        steps += [f"Take the {part} out and look for a {chance.choice(CAUSES)}.", f"Tighten to {chance.randrange(5, 90)} Nm."]
        lines = [f"{step}. {text}" for step, text in enumerate(steps, start=1)]
        return f"## {chance.choice(TASKS)} the {part} of {machine}\n\n" + "\n".join(lines)
    if place % 3 == 1:
        rows = [name.split(",") for name in chance.sample(VALUES, 4)]
        lines = [f"| {name} of the {part} | {chance.randrange(1, 400)} | {unit} |" for name, unit in rows]
        return f"## {part.capitalize()} data of {machine}\n\n| Parameter | Value | Unit |\n|---|---|---|\n" + "\n".join(lines)
    codes = sorted(chance.sample(range(100, 999), 4))
    lines = [f"| {machine[0]}{code} | {part} stopped | {chance.choice(CAUSES)} | Repair the {part} |" for code in codes]
    return f"## Alarms of the {part} of {machine}\n\n| Alarm code | Meaning | Cause | Remedy |\n|---|---|---|---|\n" + "\n".join(lines)


def store(library: Library, questions: int) -> None:
    """Put what structure asks into the bank until it has that many questions."""
    teaching.status(library)  # brings the tables up to date
    bank.use_encoder(library)
    held = bank.counts(library.connection)["questions"]
    by_document: dict[int, list[Any]] = defaultdict(list)
    for passage in library.passages() if held < questions else ():
        by_document[passage.document_id].append(passage)
    for passages in by_document.values():
        if held >= questions:
            break
        pairs = structure.pairs(passages)
        vectors = library.encoder.encode([pair.question for pair in pairs])
        seq = library.newest_seq()
        held += bank.store(library.connection, pairs, vectors, teacher="", prompt_version="latency", checked_seq=seq)


def measure(library: Library, count: int) -> dict[str, Any]:
    """Times of `router.answer` without the engine, whole and by part, and how many were answered at once."""
    with Scheduler(Settings()) as scheduler:
        resources = router.Resources(library, surrogate.Surrogate(library), scheduler)
        for text in ("warm up", "what is the pressure of the pump"):
            router.answer(text, resources, route="surrogate")
        spent: dict[str, list[float]] = defaultdict(list)
        whole, computed, instant = [], [], 0
        with timed(spent):
            for text in asked(library, count):
                for name in STEPS:
                    spent[name].append(0.0)
                started, busy = time.perf_counter(), time.process_time()
                answer = router.answer(text, resources, route="surrogate")
                whole.append(time.perf_counter() - started)
                computed.append(time.process_time() - busy)
                instant += answer.route == "surrogate"
    for name, times in (("whole", whole), ("cpu", computed), *sorted(spent.items())):
        print(f"  {name:10s} p50 {1000 * quantile(times, 0.5):7.2f} ms   p95 {1000 * quantile(times, 0.95):7.2f} ms")
    parts = {name: round(1000 * quantile(times, 0.5), 2) for name, times in spent.items()}
    return {
        "asked": len(whole),
        "instant": instant,
        "p50_ms": round(1000 * quantile(whole, 0.5), 2),
        "p95_ms": round(1000 * quantile(whole, 0.95), 2),
        "cpu_p50_ms": round(1000 * quantile(computed, 0.5), 2),
        "mean_ms": round(1000 * statistics.mean(whole), 2),
        "parts_p50_ms": parts,
    }


def asked(library: Library, count: int) -> list[str]:
    """Questions of the bank in other words, and one in ten about something else."""
    chance = random.Random(0)
    rows = library.connection.execute("SELECT text FROM bank_questions ORDER BY id").fetchall()
    texts = [_turned(str(row[0])) for row in chance.sample(rows, min(len(rows), count - count // 10))]
    return [*texts, *(chance.choice(OFF_TOPIC) for _ in range(count // 10))]


def _turned(question: str) -> str:
    for before, after in (
        ("What is the ", "tell me the "),
        ("How do I ", "how can I "),
        ("What does ", "meaning of "),
        ("What causes ", "reason for "),
    ):
        if question.startswith(before):
            return after + question.removeprefix(before).rstrip("?")
    return question.casefold()


@contextmanager
def timed(spent: dict[str, list[float]]) -> Iterator[None]:
    """Add up the seconds that each part takes, into the last entry of its list."""
    with ExitStack() as stack:
        for name, owner, attribute in (
            ("encode", Bert, "encode"),
            ("full text", WordIndex, "rank"),
            ("vectors", DenseIndex, "search"),
            ("gates", gates, "refusal"),
            ("head", confidence.Head, "confidence"),
            ("search", Library, "search"),
            ("predict", surrogate.Surrogate, "predict"),
        ):
            spent[name] = []
            original = getattr(owner, attribute)
            stack.enter_context(mock.patch.object(owner, attribute, _watched(original, spent[name])))
        yield


def _watched(original: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*given, **named)
        finally:
            if times:
                times[-1] += time.perf_counter() - started

    return call


def quantile(times: Sequence[float], share: float) -> float:
    """The value below which that share of the times lies."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


if __name__ == "__main__":
    main()
