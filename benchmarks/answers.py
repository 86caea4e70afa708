"""Compares ways to write an answer on development documents.

    python -m benchmarks.answers --work DIR [--limit N]

`--work` keeps the libraries between runs. The documents are those in ../shared/data; without them nothing can be measured.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kb.library import Library  # noqa: E402
from surrogates import prompt  # noqa: E402
from surrogates.procedures import complete  # noqa: E402
from surrogates.quotes import Quote, compose, rank_units, with_context  # noqa: E402
from surrogates.settings import default_pack  # noqa: E402
from surrogates.verify import settle, tidy, verify  # noqa: E402
from surrogates.wording import Rarity  # noqa: E402

DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Asked:
    """A development question. `answer` and `section` are what it should give, empty where the library does not answer it."""

    text: str
    answer: str = ""
    section: tuple[str, ...] = ()


def phone_questions() -> list[Asked]:
    """The 50 expert questions over the phone manual."""
    lines = (DATA / "phone_manual_qa" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [Asked(row["question"], row["answer"], tuple(row["section_path"])) for row in map(json.loads, lines)]


def articles() -> list[dict[str, Any]]:
    """XQuAD's English articles."""
    found: list[dict[str, Any]] = json.loads((DATA / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    return found


def article_questions(chosen: Sequence[dict[str, Any]]) -> list[Asked]:
    """Every question of some articles, with its answer span."""
    return [
        Asked(entry["question"], entry["answers"][0]["text"])
        for article in chosen
        for paragraph in article["paragraphs"]
        for entry in paragraph["qas"]
    ]


def open_library(work: Path, name: str) -> Library:
    """The library of one development set, read in on first use."""
    home = work / name
    is_new = not home.exists()
    library = Library(home)
    if is_new:
        library.add_tree(_sources(work, name))
    return library


def _sources(work: Path, name: str) -> list[Path]:
    if name == "phone":
        return [DATA / "phone_manual_qa" / "manual.md"]
    if name != "articles":
        return [DATA / name]
    folder = work / "articles.src"
    folder.mkdir(parents=True, exist_ok=True)
    for article in articles()[0::2]:
        body = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        (folder / f"{article['title']}.md").write_text(f"# {article['title'].replace('_', ' ')}\n\n{body}\n", encoding="utf-8")
    return [folder]


def compare_written(work: Path, limit: int | None) -> dict[str, Any]:
    """Token F1, right section and speed of the engine's raw text, the same verified, and the composed quote."""
    from engine.generate import Engine

    with Engine(default_pack(), 700_000_000) as engine:
        results = {
            "phone": _compare(open_library(work, "phone"), phone_questions()[:limit], engine),
            "articles": _compare(open_library(work, "articles"), article_questions(articles()[0::2])[::20][:limit], engine),
        }
    for name, rows in results.items():
        for way, figures in rows.items():
            print(f"{name:10s} {way:10s} {figures}")
    return results


def _compare(library: Library, questions: Sequence[Asked], engine: Any) -> dict[str, dict[str, float]]:
    rarity = Rarity.of_library(library.connection)
    sums: dict[str, Counter[str]] = {}
    for question in questions:
        passages = [hit.passage for hit in library.search(question.text, limit=5)]
        ranked = rank_units(question.text, passages, rarity, library.encoder)
        ordered = list(dict.fromkeys(quote.passage for quote in ranked))
        composed = compose(question.text, ranked[0])
        quotes = complete(question.text, ranked[0], with_context(ranked[0], composed), library)
        quote = _said(quotes)
        unguided = engine.generate(prompt.build(question.text, ordered, "", engine.count_tokens, engine.context_tokens))
        begun = prompt.opening(_said(composed))
        generation = engine.generate(prompt.build(question.text, ordered, begun, engine.count_tokens, engine.context_tokens))
        written = begun + generation.text
        text = tidy(written, is_finished=generation.finish == "stop")
        verified = verify(text, question.text, ordered, rarity)
        settled = settle(
            written, question.text, quotes, ordered[: prompt.SHIPPED.passages], rarity, is_finished=generation.finish == "stop"
        )
        for way, said, cited in (
            ("raw", unguided.text, [Quote(passage, 0, 0) for passage in ordered[:1]]),
            ("begun", written, ranked[:1]),
            ("verified", verified.text, list(verified.quotes)),
            ("quote", quote, quotes),
            ("shipped", settled.text, list(settled.quotes)),
        ):
            sums.setdefault(way, Counter()).update(_score(said, cited, question))
    return {way: {key: round(value / len(questions), 3) for key, value in total.items()} for way, total in sums.items()}


def _said(quotes: Sequence[Quote]) -> str:
    return "\n".join(quote.text for quote in quotes)


def _score(said: str, quotes: Sequence[Quote], question: Asked) -> dict[str, float]:
    section = question.section
    right = any(tuple(quote.passage.heading)[-len(section) :] == section for quote in quotes) if section else False
    return {
        "f1": token_f1(said, question.answer),
        "holds_answer": float(question.answer.lower() in said.lower()),
        "right_section": float(right),
        "words": float(len(said.split())),
        "empty": float(not said.strip()),
    }


def token_f1(said: str, expected: str) -> float:
    """Harmonic mean of precision and recall over lower-case words, as in SQuAD."""
    one, other = (Counter(re.findall(r"\w+", text.lower())) for text in (said, expected))
    shared = sum((one & other).values())
    return 2 * shared / (sum(one.values()) + sum(other.values())) if shared else 0.0


def main() -> None:
    """Run one measurement; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    chosen = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"needs the development documents in {DATA}")
    print(json.dumps({"benchmark": "answers", **compare_written(chosen.work, chosen.limit)}))


if __name__ == "__main__":
    main()
