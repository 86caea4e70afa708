"""What audits make of instant answers that are known to be right or wrong: how many wrong ones they find, how many right ones they blame.

    python -m benchmarks.audits --work DIR [--data ../shared/data] [--libraries grbl phone ..] [--split development] [--least 0.5]

The homes and questions are those of `benchmarks.human`. Every candidate of at least `--least` confidence that no gate refuses is audited.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.human import FOLDERS, HERE, is_right, questions
from benchmarks.surrogate import taught
from surrogates import audits, bank
from surrogates.surrogate import Surrogate


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--libraries", nargs="*", choices=sorted(FOLDERS), default=sorted(FOLDERS))
    parser.add_argument("--split", choices=("development", "held-out"), default="development")
    parser.add_argument("--least", type=float, default=0.5)
    chosen = parser.parse_args()
    found = [each for name in chosen.libraries for each in audited(name, chosen.work, chosen.data, chosen.split, chosen.least)]
    right = [holds for holds, is_right in found if is_right]
    wrong = [holds for holds, is_right in found if not is_right]
    blamed, caught = right.count(False), wrong.count(False)
    print(f"{chosen.split}: audits speak against {blamed} of {len(right)} right and {caught} of {len(wrong)} wrong answers")
    print(json.dumps({"right": len(right), "blamed": blamed, "wrong": len(wrong), "caught": caught, "allowed": audits.BLAMED}))


def audited(name: str, work: Path, data: Path, split: str, least: float) -> Iterator[tuple[bool, bool]]:
    """(does it hold?, is it right?) of each answer that would be given."""
    with taught(work / f"{name}-0", [data / FOLDERS[name]], 0) as library:
        surrogate = Surrogate(library)
        for line in questions(name, split):
            text = line["question"]
            given = surrogate.predict(text, surrogate.search(text))
            if given is None or given.refused_by or given.confidence < least:
                continue
            own = [source.passage for source in given.sources]
            second = audits.second_answer(library, text, own, None, surrogate.rarity)
            source = "structure" if given.answer_id is None else bank.answer(library.connection, given.answer_id).source
            support = [bank.Support(each.passage.id, each.quote, each.passage.quote_sha256) for each in given.sources]
            stands = audits.stands_in(given.text, text, own, source)
            yield stands and audits.agrees(given.text, support, second, surrogate.rarity), is_right(line, given)


if __name__ == "__main__":
    main()
