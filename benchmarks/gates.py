"""False hits on look-alikes, and true paraphrases that the gates lose.

    python -m benchmarks.gates [--data ../shared/data] [--encoder] [--show]

Questions come from the structure of the development documents. Each is changed in its number, code, unit or polarity where it has one, in
its component (the last thing it names, for one that another question names), and by phrases that are put to the original and the changed
question alike: negation, quantifier, before and after, model. A gate must refuse the changed question for the original one, with the
original's own passage as evidence. Paraphrases are questions turned by wording templates that keep their meaning.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kb.passages import cut
from kb.readers.csv_table import read_csv
from kb.readers.limits import ReaderLimits
from kb.readers.markdown import read_markdown
from surrogates import gates, structure
from surrogates.lookalikes import look_alikes
from surrogates.wording import Rarity, content, stem

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


# kind, what is put to the end of the original, what to the end of the changed question
TAILS = (
    ("quantifier", "of at least one unit", "of at most one unit"),
    ("quantifier", "for more than 5 minutes", "for less than 5 minutes"),
    ("quantifier", "in winter", "only in winter"),
    ("order", "before the first start", "after the first start"),
    ("order", "until it is warm", "after it is warm"),
    ("model", "of the Mark II", "of the Mark III"),
    ("model", "on the X axis", "on the Y axis"),
    ("model", "of type B", "of type C"),
    ("negation", "with a cover", "without a cover"),
    ("unit", "at 5 bar", "at 5 psi"),
    ("unit", "within 20 seconds", "within 20 minutes"),
)
DENIED = (("How do I ", "How do I not "), ("What is ", "What is not "), ("What are ", "What are not "), ("What does ", "What doesn't "))


@dataclass(frozen=True)
class Known:
    """A question that structure makes, with its evidence."""

    question: str
    evidence: str


def main() -> None:
    """Print a table of false hits by kind and of paraphrases lost by gate, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--show", action="store_true", help="list every false hit")
    parser.add_argument("--encoder", action="store_true", help="weigh words as answering does, on some of the component pairs: slow")
    chosen = parser.parse_args()
    folders = [chosen.data / name for name in FOLDERS]
    documents = [list(passages(file)) for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in (".md", ".csv")]
    rarity = Rarity.of(f"{' '.join(passage.heading)} {passage.text}" for document in documents for passage in document)
    known = [entry for document in documents for entry in questions(document)]
    asked, hits = false_hits(known, rarity)
    turned, lost = lost_paraphrases(known, rarity)
    print(f"{len(known)} questions from {len(documents)} documents\nlook-alikes:")
    for kind in asked:
        print(f"  {kind:10s} {asked[kind]:6d} pairs, {len(hits[kind])} false hits {hits[kind][:3]}")
    if chosen.show:
        print("\n".join(f"    {kind}: {hit}" for kind, found in hits.items() for hit in found))
    print(f"turned wordings: {turned}, lost {sum(lost.values())} {dict(lost)}")
    if chosen.encoder:
        print(f"with the encoder: {weighed(known, rarity)}")
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
    for kind, original, changed, evidence in changed_questions(known, rarity):
        asked[kind] += 1
        if gates.refusal(changed, original, f"{original}\n{evidence}", rarity) is None:
            hits[kind].append(f"{original} / {changed}")
    return asked, hits


def changed_questions(known: list[Known], rarity: Rarity) -> Iterator[tuple[str, str, str, str]]:
    """(kind, original, changed, evidence) for every question that can be changed so."""
    lasts = [last_named(entry.question) for entry in known]
    for place, entry in enumerate(known):
        text = entry.question
        for other in look_alikes(text):
            yield other.kind, text, other.text, entry.evidence
        for before, after in DENIED:
            if text.startswith(before):
                yield "negation", text, after + text.removeprefix(before), entry.evidence
        kind, tail, changed_tail = TAILS[place % len(TAILS)]
        if text.endswith("?"):
            yield kind, f"{text[:-1]} {tail}?", f"{text[:-1]} {changed_tail}?", entry.evidence
        stranger = lasts[(place * 7 + 3) % len(known)]
        own = lasts[place]
        if own and stranger and rarity.knows(stem(stranger)) and not content(stranger) & content(f"{text}\n{entry.evidence}"):
            yield "component", text, text.replace(own, stranger), entry.evidence


def weighed(known: list[Known], rarity: Rarity, most: int = 500) -> str:
    """False hits among component pairs where words are weighed by the encoder, beside those of the same pairs where they are not."""
    from kb.encoder import Encoder

    encoder = Encoder()
    vector = lru_cache(maxsize=100_000)(lambda text: encoder.encode([text])[0])
    pairs = [pair for pair in changed_questions(known, rarity) if pair[0] == "component"]
    chosen = random.Random(1).sample(pairs, min(most, len(pairs)))
    hits = [0, 0]
    for _, original, changed, evidence in chosen:
        for place, likeness in enumerate((None, lambda one, other: float(vector(one) @ vector(other)))):
            hits[place] += gates.refusal(changed, original, f"{original}\n{evidence}", rarity, likeness=likeness) is None
    return f"{hits[1]} false hits of {len(chosen)} component pairs, {hits[0]} without"


def last_named(question: str) -> str:
    """The last word of a question that names something; empty if none does."""
    named = [word for word in re.findall(r"(?<![\w/-])[a-z]{3,}(?![\w/-])", question) if content(word)]
    return named[-1] if named else ""


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
