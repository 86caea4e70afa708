"""False hits on look-alikes, and true paraphrases that the gates lose.

    python -m benchmarks.gates [--data ../shared/data]

Questions come from the structure of the development documents. Each is changed in its number, code, unit or polarity; a gate must
refuse the changed question for the original one, with the original's own passage as evidence. Paraphrases are the hand-written ones
beside the nearest question of the section that they ask about, and questions turned by wording templates that keep their meaning.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kb.passages import cut
from kb.readers.csv_table import read_csv
from kb.readers.limits import ReaderLimits
from kb.readers.markdown import read_markdown
from surrogates import gates, structure
from surrogates.lookalikes import look_alikes
from surrogates.wording import Rarity

HERE = Path(__file__).resolve().parent
FOLDERS = ("klipper_docs", "grbl_docs", "marlin_docs", "phone_manual_qa")
TURNS = (
    ("How do I ", "How can I "),
    ("How do I ", "What is the way to "),
    ("What is the ", "Tell me the "),
    ("What is ", "What's "),
    ("What does ", "I would like to know what "),
    ("What should I do if ", "What must be done when "),
)


@dataclass(frozen=True)
class Known:
    """A question that structure makes, with its evidence."""

    question: str
    evidence: str


def main() -> None:
    """Print a table of false hits by kind and of paraphrases lost by gate, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    folders = [parser.parse_args().data / name for name in FOLDERS]
    documents = [list(passages(file)) for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in (".md", ".csv")]
    rarity = Rarity.of(f"{' '.join(passage.heading)} {passage.text}" for document in documents for passage in document)
    known = [entry for document in documents for entry in questions(document)]
    asked, hits = false_hits(known, rarity)
    turned, lost = lost_paraphrases(known, rarity)
    print(f"{len(known)} questions from {len(documents)} documents\nlook-alikes:")
    for kind in asked:
        print(f"  {kind:10s} {asked[kind]:6d} pairs, {len(hits[kind])} false hits {hits[kind][:3]}")
    print(f"turned wordings: {turned}, lost {sum(lost.values())} {dict(lost)}")
    result = {"pairs": dict(asked), "false_hits": {kind: len(found) for kind, found in hits.items()}, "turned": turned, "lost": dict(lost)}
    print(json.dumps(result))


def passages(file: Path) -> Iterator[Any]:
    """The passages of one document, without a library."""
    reading = read_csv(file, ReaderLimits()) if file.suffix == ".csv" else read_markdown(file, ReaderLimits())
    for number, draft in enumerate(cut(reading.blocks), start=1):
        yield SimpleNamespace(id=number, document_id=0, heading=draft.heading, text=draft.text, kind=draft.kind)


def questions(document: list[Any]) -> Iterator[Known]:
    """What structure asks of a document."""
    by_id = {passage.id: passage for passage in document}
    for pair in structure.pairs(document):
        passage = by_id[pair.quotes[0].passage_id]
        yield Known(pair.question, f"{pair.answer}\n{' > '.join(passage.heading)}\n{passage.text}")


def false_hits(known: list[Known], rarity: Rarity) -> tuple[Counter[str], dict[str, list[str]]]:
    """Look-alikes by kind, and those that no gate refused."""
    asked: Counter[str] = Counter()
    hits: dict[str, list[str]] = defaultdict(list)
    for entry in known:
        for other in look_alikes(entry.question):
            asked[other.kind] += 1
            if gates.refusal(other.text, entry.question, entry.evidence, rarity) is None:
                hits[other.kind].append(f"{entry.question} / {other.text}")
    return asked, hits


def lost_paraphrases(known: list[Known], rarity: Rarity) -> tuple[int, Counter[str]]:
    """How many turned wordings there are, and how many each gate refused."""
    turned, lost = 0, Counter[str]()
    for entry in known:
        for before, after in TURNS:
            if entry.question.startswith(before):
                turned += 1
                refused = gates.refusal(after + entry.question.removeprefix(before), entry.question, entry.evidence, rarity)
                lost.update([refused] if refused else [])
    return turned, lost


if __name__ == "__main__":
    main()
