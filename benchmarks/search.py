"""Recall and latency of the library's search on the development sets; a table, then one line of JSON.

    python benchmarks/search.py [--data DIR] [--homes DIR] [--passages 20000] [--sets manual faq ..]

Sets: `manual` 50 expert questions with the full heading path of their section; `faq` the questions of a documentation's FAQ page, which a
second document (the page with its headings hidden) has to answer by its text alone; `codes` "alarm 9", "error 22": rows of code tables;
`xquad` 1,190 questions on 240 paragraphs.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from kb.encoder import Encoder, shared_encoder
from kb.library import Library
from kb.readers.csv_table import read_csv
from kb.readers.limits import ReaderLimits
from kb.records import Hit
from kb.search import Fusion

DEPTHS = (1, 5, 10)
FUSIONS = {
    "full text": Fusion(dense=0.0),
    "dense": Fusion(lexical=0.0, codes=0.0),
    "fused": Fusion(),
}


@dataclass(frozen=True)
class Asked:
    """A question and the test of a hit for it."""

    question: str
    is_right: Callable[[Hit], bool]


@dataclass(frozen=True)
class Set:
    """A library's files and the questions over it."""

    name: str
    files: Sequence[Path]
    asked: Sequence[Asked]


def manual(data: Path) -> Set:
    """Sections of a phone manual by their full heading path, below the manual's title."""
    folder = data / "phone_manual_qa"
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = []
    for line in lines:
        entry = json.loads(line)
        path = tuple(" ".join(part.split()) for part in entry["section_path"])
        asked.append(Asked(entry["question"], lambda hit, path=path: hit.passage.heading[1:] == path))  # type: ignore[misc]
    return Set("manual", [folder / "manual.md"], asked)


def faq(data: Path, scratch: Path) -> Set:
    """Questions of the FAQ's headings; its sections are stored under numbers, so that only their text can be found."""
    pages = sorted((data / "klipper_docs").glob("*.md"))
    source = (data / "klipper_docs" / "FAQ.md").read_text(encoding="utf-8")
    questions = re.findall(r"^## (.+)$", source, re.MULTILINE)
    numbers = iter(range(1, len(questions) + 1))
    hidden = scratch / "answers.md"
    hidden.write_text(re.sub(r"^## .+$", lambda _: f"## Entry {next(numbers)}", source, flags=re.MULTILINE), encoding="utf-8")
    asked = [
        Asked(question, lambda hit, number=number: hit.passage.heading[-1:] == (f"Entry {number}",))  # type: ignore[misc]
        for number, question in enumerate(questions, start=1)
        if question.endswith("?")
    ]
    return Set("faq", [hidden, *(page for page in pages if page.name not in ("FAQ.md", "index.md"))], asked)


def codes(data: Path) -> Set:
    """ "alarm 9": the row with that code in the table of that kind."""
    folder = data / "grbl_docs" / "doc"
    asked = []
    for kind in ("alarm", "error", "setting"):
        file = folder / "csv" / f"{kind}_codes_en_US.csv"
        for block in read_csv(file, ReaderLimits()).blocks:
            number = block.text.split(";")[0].split(": ")[1]
            words = {"alarm": f"what does alarm {number} mean?", "error": f"error {number}", "setting": f"what is ${number} for?"}
            asked.append(Asked(words[kind], partial(_is_row, file.name, block.text, f"${number} ")))
    return Set("codes", [*sorted((folder / "markdown").glob("*.md")), *sorted((folder / "csv").glob("*.csv"))], asked)


def _is_row(document: str, row: str, title: str, hit: Hit) -> bool:
    """Whether a hit holds the code's row, or is the section that describes the setting "$22 - Homing cycle"."""
    passage = hit.passage
    return (passage.document == document and row in passage.text) or any(part.startswith(title) for part in passage.heading)


def xquad(data: Path, scratch: Path) -> Set:
    """One section a paragraph, named by its number."""
    articles = json.loads((data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    file = scratch / "paragraphs.md"
    file.write_text("".join(f"# P{number}\n\n{entry['context']}\n\n" for number, entry in enumerate(paragraphs)), encoding="utf-8")
    asked = [
        Asked(question["question"], lambda hit, number=number: hit.passage.heading == (f"P{number}",))  # type: ignore[misc]
        for number, entry in enumerate(paragraphs)
        for question in entry["qas"]
    ]
    return Set("xquad", [file], asked)


def recall(library: Library, asked: Sequence[Asked], fusion: Fusion) -> dict[str, float]:
    """Share of questions whose right passage is among the first 1, 5, 10, and the median milliseconds of a search."""
    found = dict.fromkeys(DEPTHS, 0)
    times = []
    for entry in asked:
        started = time.perf_counter()
        hits = library.search(entry.question, limit=max(DEPTHS), fusion=fusion)
        times.append(time.perf_counter() - started)
        place = next((hit.rank for hit in hits if entry.is_right(hit)), max(DEPTHS) + 1)
        for depth in DEPTHS:
            found[depth] += place <= depth
    shares = {f"recall_at_{depth}": round(found[depth] / len(asked), 4) for depth in DEPTHS}
    return {**shares, "median_ms": round(1000 * statistics.median(times), 1)}


def latency(homes: Path, count: int, encoder: Encoder) -> dict[str, float]:
    """Milliseconds of a search in a library of `count` invented passages whose vectors are random: size is what counts here, not sense."""
    drawn = random.Random(0)
    vocabulary = [f"word{number}" for number in range(20_000)]
    with Library(homes / f"passages-{count}", _RandomVectors(encoder)) as library:
        for number in range(count // 500 - len(library.documents())):
            lines = [f"# Unit {number}\n"] + [f"## Part {part}\n\n{' '.join(drawn.choices(vocabulary, k=120))}\n" for part in range(500)]
            file = homes / "invented.md"
            file.write_text("\n".join(lines), encoding="utf-8")
            library.add(file, name=f"unit-{len(library.documents())}.md")
    times = []
    with Library(homes / f"passages-{count}", _RandomVectors(encoder)) as library:
        for number in range(40):
            started = time.perf_counter()
            library.search(f"{' '.join(drawn.choices(vocabulary, k=8))} E-{number}")
            times.append(1000 * (time.perf_counter() - started))
    del times[:5]
    return {"passages": count, "median_ms": round(statistics.median(times), 1), "p95_ms": round(sorted(times)[int(0.95 * len(times))], 1)}


class _RandomVectors(Encoder):
    """Encodes questions as the real encoder does, and many passages at once as random directions."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder.folder)
        self._real = encoder

    @property
    def name(self) -> str:
        return "random-directions"

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        if len(texts) == 1:
            return self._real.encode(texts)
        vectors = np.random.default_rng(0).standard_normal((len(texts), self._real.dimension)).astype(np.float32)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def main() -> None:
    """Build the libraries, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--homes", type=Path, default=None, help="keep the libraries here, so that a second run does not build them again")
    parser.add_argument("--passages", type=int, default=20_000, help="size of the library that latency is measured in")
    parser.add_argument("--sets", nargs="*", default=None, help="only these sets")
    given = parser.parse_args()
    if not given.data.is_dir():
        raise SystemExit(f"{given.data} is not there; give the folder of the development sets with --data")
    with tempfile.TemporaryDirectory() as folder:
        homes = given.homes or Path(folder)
        homes.mkdir(parents=True, exist_ok=True)
        sets = [manual(given.data), faq(given.data, homes), codes(given.data), xquad(given.data, homes)]
        results = {entry.name: measure(entry, homes) for entry in sets if given.sets is None or entry.name in given.sets}
        speed = latency(homes, given.passages, shared_encoder())
        print(f"a search in {speed['passages']} passages: median {speed['median_ms']} ms, p95 {speed['p95_ms']} ms")
    print(json.dumps({"machine": f"{platform.machine()} {platform.system()}", "sets": results, "latency": speed}))


def measure(entry: Set, homes: Path) -> dict[str, object]:
    """Recall of every fusion on one set, printed as it comes."""
    results: dict[str, object] = {"questions": len(entry.asked)}
    with Library(homes / entry.name) as library:
        if not library.documents():
            for file in entry.files:
                library.add(file)
        for name, fusion in FUSIONS.items():
            row = recall(library, entry.asked, fusion)
            results[name] = row
            shares = "  ".join(f"{row[f'recall_at_{depth}']:.3f}" for depth in DEPTHS)
            print(f"{entry.name:8} {name:10} {shares}  {row['median_ms']:6.1f} ms", flush=True)
    return results


if __name__ == "__main__":
    main()
