"""Does the certificate keep its promise? The whole procedure, many times, on populations whose error is known.

    python -m benchmarks.certificate [--runs 100] [--labels 300] [--seed 0]

Each run asks questions about passages of very different popularity, judges the answers one after the other as a person would (every
level is tested whenever it has the labels for it, stopping as soon as something is certified), then changes the bank and renews, twice. A
run holds if at no time any certified level answered with more than its alpha wrong. The promise is 90 of 100; 84 is its lower margin.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kb.database import transaction
from kb.encoder import Encoder
from kb.library import Library
from surrogates import judging, sampling, schema
from surrogates.threshold import ALPHAS

TABLES = ("judgements", "candidates", "certifications", "sampled_questions", "bank_answers")
CHANGES = 3  # of the bank: the first and two renewals
PASSAGES = 400


@dataclass(frozen=True)
class Population:
    """`error` gives the share of wrong answers at a confidence; `clustered` lets all questions on a passage be right or wrong together."""

    name: str
    error: Callable[[float], float]
    clustered: bool = False

    def risk(self, threshold: float) -> float:
        """The true share of wrong answers among those of at least `threshold`, confidences being uniform on 0.5..1."""
        steps = [threshold + (1 - threshold) * (step + 0.5) / 500 for step in range(500)]
        return sum(self.error(step) for step in steps) / len(steps)


POPULATIONS = (
    Population("22 % wrong at every confidence", lambda confidence: 0.22),
    Population("11 % wrong at every confidence", lambda confidence: 0.11),
    Population("6 % wrong at every confidence", lambda confidence: 0.06),
    Population("calibrated: 1 - confidence", lambda confidence: 1 - confidence),
    Population("steep: wrong below 0.7", lambda confidence: 1 / (1 + math.exp(25 * (confidence - 0.7)))),
    Population("worst where it is surest: 30 % wrong above 0.9", lambda confidence: 0.3 if confidence > 0.9 else 0.01),
    Population("calibrated, passages right or wrong as a whole", lambda confidence: 1 - confidence, clustered=True),
)


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="populations whose name holds this")
    chosen = parser.parse_args()
    result = {}
    print(f"{'population':50} {'hold':>9} {'certified levels a run':>24}")
    with tempfile.TemporaryDirectory() as folder, empty_library(Path(folder)) as library:
        for population in (each for each in POPULATIONS if chosen.only in each.name):
            chance = random.Random(f"{chosen.seed}:{population.name}")
            runs = [one_run(library, population, chosen.labels, chance) for _ in range(chosen.runs)]
            holds, levels = sum(held for held, _ in runs), sum(count for _, count in runs) / len(runs)
            print(f"{population.name:50} {holds:5d}/{len(runs)} {levels:24.2f}")
            result[population.name] = {"holds": holds, "runs": len(runs), "levels": round(levels, 2)}
    print(json.dumps({"labels": chosen.labels, "seed": chosen.seed, "populations": result}))


@contextmanager
def empty_library(home: Path) -> Iterator[Library]:
    """A library without documents: judging reads tables alone."""
    with Library(home, Encoder(home)) as library:
        schema.connect(home).close()
        yield library


def one_run(library: Library, population: Population, labels: int, chance: random.Random) -> tuple[bool, int]:
    """Whether every certificate of the run was true, and how many levels were certified at its end."""
    with transaction(library.connection):
        for table in TABLES:
            library.connection.execute(f"DELETE FROM {table}")
        collection = library.connection.execute("SELECT id FROM collections LIMIT 1").fetchone()
        collection_id = collection[0] if collection else library.connection.execute("INSERT INTO collections(name) VALUES ('G')").lastrowid
        holds, world = True, chance.random()
        for change in range(CHANGES):
            library.connection.execute(
                "INSERT INTO bank_answers(collection_id, text, source, teacher, prompt_version, state, checked_seq)"
                " VALUES (?, ?, 'structure', '', '', 'active', 0)",
                (collection_id, str(change)),
            )
            now = sampling.fingerprint(library)
            library.connection.execute("UPDATE candidates SET fingerprint = ?", (now,))
            judging.renew(library)
            holds &= is_true(library, population, now)
            for _ in range(labels if change == 0 else labels // 4):
                ask_and_judge(library, population, now, chance, world)
                holds &= is_true(library, population, now)
        certified = sum(certificate.kind == "certified" for certificate in judging.certificates(library))
    return holds, certified


def ask_and_judge(library: Library, population: Population, now: str, chance: random.Random, world: float) -> None:
    """One question with its candidate and a truthful verdict; `world` tells which passages are wrong as a whole."""
    passage = int(PASSAGES * chance.random() ** 2)
    drawn = random.Random(f"{world}:{passage}") if population.clustered else chance
    confidence = 0.5 + 0.5 * drawn.random()
    is_wrong = drawn.random() < population.error(confidence)
    question_id = sampling.enter(library.connection, "What is it?")
    library.connection.execute(
        "INSERT INTO candidates VALUES (?, ?, ?, ?, '', ?, '[]')", (question_id, now, confidence, f"answer {question_id}", passage)
    )
    shown = sampling.mark(f"answer {question_id}", "[]")
    judging.judge(library, question_id, "wrong" if is_wrong else "right", shown=shown)


def is_true(library: Library, population: Population, now: str) -> bool:
    """Whether each level that is certified now answers with at most its alpha wrong."""
    rows = library.connection.execute(
        "SELECT level, accept_at FROM certifications WHERE fingerprint = ? AND accept_at IS NOT NULL"
        " AND id IN (SELECT max(id) FROM certifications GROUP BY level)",
        (now,),
    ).fetchall()
    return all(population.risk(row["accept_at"]) <= ALPHAS[row["level"] - 1] + 1e-9 for row in rows)


if __name__ == "__main__":
    main()
