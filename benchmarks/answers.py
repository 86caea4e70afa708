"""Measures the main path on development documents: `answerable` fits and judges when to decline, `written` compares ways to answer.

    python -m benchmarks.answers answerable --work DIR
    python -m benchmarks.answers written --work DIR [--limit N]

`--work` keeps the libraries between runs. The documents are those in ../shared/data; without them nothing can be measured.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import human  # noqa: E402 - the project is not installed
from kb.library import Library  # noqa: E402
from surrogates import answerable, prompt  # noqa: E402
from surrogates.answerable import Evidence  # noqa: E402
from surrogates.procedures import complete  # noqa: E402
from surrogates.quotes import Quote, compose, rank_units  # noqa: E402
from surrogates.settings import default_pack  # noqa: E402
from surrogates.verify import settle, tidy, verify  # noqa: E402
from surrogates.wording import Rarity  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
DECLINED_AT_LEAST = 0.96  # of the unanswerable questions; a point above the aim, since a new library differs


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


def out_of_scope() -> list[Asked]:
    """CLINC150's questions to an assistant that no manual answers."""
    rows = json.loads((DATA / "clinc150" / "data" / "data_full.json").read_text(encoding="utf-8"))["oos_test"]
    return [Asked(row[0]) for row in rows]


def faq_questions() -> list[Asked]:
    """The questions of Klipper's FAQ, which are headings there."""
    text = (DATA / "klipper_docs" / "FAQ.md").read_text(encoding="utf-8")
    return [Asked(title) for title in re.findall(r"^#+ (.+\?)\s*$", text, re.MULTILINE)]


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


# answerable


def fit_answerable(work: Path) -> dict[str, Any]:
    """Fit the weights on all libraries, judge them on each library left out, and print what `surrogates/answerable.py` should hold."""
    held, others = article_questions(articles()[0::2]), article_questions(articles()[1::2])
    phone, faq, odd = phone_questions(), faq_questions(), out_of_scope()[:300]
    typed = {name: [Asked(line["question"]) for line in _typed(name, "development", True)] for name in ("klipper", "grbl")}
    sets = {
        "phone": (phone, [*others[::4], *faq, *odd, *typed["klipper"], *typed["grbl"]]),
        "articles": (held[::2], [*others[::2], *phone, *faq, *odd, *typed["klipper"], *typed["grbl"]]),
        "klipper_docs": ([*faq, *typed["klipper"]], [*others[::4], *phone, *odd]),
        "grbl_docs": (typed["grbl"], [*others[::4], *phone, *faq, *odd]),
    }
    features, labels, groups = [], [], []
    for name, (positive, negative) in sets.items():
        asked = [*((entry.text, 1) for entry in positive), *((entry.text, 0) for entry in negative)]
        features += _evidence(work, name, [text for text, _ in asked])
        labels += [label for _, label in asked]
        groups += [name] * len(asked)
    fitted = _report_fit(np.array(features), np.array(labels), np.array(groups))
    return {**fitted, "typed": judge_typed(work)}


def _typed(library: str, split: str, is_answerable: bool) -> list[dict[str, Any]]:
    return [line for line in human.questions(library, split) if line.get("answerable", True) == is_answerable]


def _evidence(work: Path, name: str, questions: Sequence[str]) -> list[tuple[float, ...]]:
    with open_library(work, name) as library:
        rarity = Rarity.of_library(library.connection)
        return [astuple(answerable.evidence(text, library.search(text, limit=10), rarity)) for text in questions]


def judge_typed(work: Path) -> dict[str, dict[str, float]]:
    """What the shipped weights decline of people's questions, and of those of the same field that nothing in the documents answers."""
    found: dict[str, dict[str, float]] = {}
    for library, source in human.FOLDERS.items():
        for split in ("development", "held-out"):
            for word, is_answerable in (("answerable", True), ("near", False)):
                texts = [line["question"] for line in _typed(library, split, is_answerable)]
                if texts:
                    kept = [
                        answerable.probability(Evidence(*values))
                        for values in _evidence(work, "phone" if library == "phone" else source, texts)
                    ]
                    declined = sum(value < answerable.ANSWERABLE_AT_LEAST for value in kept) / len(kept)
                    found.setdefault(f"{library} {split}", {})[f"{word}_declined_of_{len(texts)}"] = round(declined, 3)
    for name, rates in found.items():
        print(f"{name:22s} {rates}")
    return found


def _report_fit(features: Any, labels: Any, groups: Any) -> dict[str, Any]:
    left_out = {}
    for name in sorted(set(groups)):
        inside = groups == name
        weights, bias = _fit(features[~inside], labels[~inside], groups[~inside])
        threshold = _threshold(features[~inside] @ weights + bias, labels[~inside])
        left_out[name] = _rates(features[inside] @ weights + bias, labels[inside], threshold)
        print(f"left out {name:14s} {left_out[name]}")
    weights, bias = _fit(features, labels, groups)
    scores = features @ weights + bias
    for share in (0.95, 0.96, 0.97, 0.98):
        cut = float(np.quantile(scores[labels == 0], share))
        by_set = {name: _rates(scores[groups == name], labels[groups == name], cut) for name in sorted(set(groups.tolist()))}
        print(f"declined {share:.2f} at {1 / (1 + np.exp(-cut)):.2f}: {by_set}")
    threshold = _threshold(scores, labels)
    names = [entry.name for entry in fields(Evidence)]
    print("WEIGHTS = Evidence(" + ", ".join(f"{name}={value:.2f}" for name, value in zip(names, weights, strict=True)) + ")")
    print(f"BIAS = {bias:.2f}\nANSWERABLE_AT_LEAST = {1 / (1 + np.exp(-threshold)):.2f}")
    return {"left_out": left_out, "all": _rates(scores, labels, threshold), "weights": [round(float(value), 3) for value in weights]}


def _fit(features: Any, labels: Any, groups: Any) -> tuple[Any, float]:
    """Logistic regression in which each library's answerable and unanswerable questions weigh the same."""
    from sklearn.linear_model import LogisticRegression

    counts = Counter(zip(groups, labels, strict=True))
    weights = np.array([1.0 / counts[key] for key in zip(groups, labels, strict=True)])
    model = LogisticRegression(C=10.0, max_iter=1000).fit(features, labels, sample_weight=weights * len(labels) / len(counts))
    return model.coef_[0], float(model.intercept_[0])


def _threshold(scores: Any, labels: Any) -> float:
    return float(np.quantile(scores[labels == 0], DECLINED_AT_LEAST))


def _rates(scores: Any, labels: Any, threshold: float) -> dict[str, Any]:
    declined = scores < threshold

    def share(label: int) -> float | None:
        return round(float(declined[labels == label].mean()), 3) if (labels == label).any() else None

    return {
        "unanswerable": int((labels == 0).sum()),
        "unanswerable_declined": share(0),
        "answerable": int((labels == 1).sum()),
        "answerable_declined": share(1),
    }


# written


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
        quotes = complete(question.text, ranked[0], compose(question.text, ranked[0]), library)
        quote = _said(quotes)
        unguided = engine.generate(prompt.build(question.text, ordered, "", engine.count_tokens, engine.context_tokens))
        begun = prompt.opening(quote)
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
    parser.add_argument("what", choices=("answerable", "written"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    chosen = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"needs the development documents in {DATA}")
    result = fit_answerable(chosen.work) if chosen.what == "answerable" else compare_written(chosen.work, chosen.limit)
    print(json.dumps({"benchmark": f"answers {chosen.what}", **result}))


if __name__ == "__main__":
    main()
