"""CSV as blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb.blocks import UnreadableDocument
from kb.readers.csv_table import read_csv
from kb.readers.limits import ReaderLimits

LIMITS = ReaderLimits()


def rows(tmp_path: Path, text: str, encoding: str = "utf-8") -> list[str]:
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode(encoding))
    return [block.text for block in read_csv(file, LIMITS).blocks]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join([f"Code{delimiter}Meaning", f'1{delimiter}"Limit hit, stop"', f"2{delimiter}Reset"])
    assert rows(tmp_path, text) == ["Code: 1; Meaning: Limit hit, stop", "Code: 2; Meaning: Reset"]


def test_a_cell_may_hold_line_breaks_and_quotes(tmp_path: Path) -> None:
    assert rows(tmp_path, 'Code,Text\n7,"He said ""stop""\nand left"\n') == ['Code: 7; Text: He said "stop" and left']


def test_a_title_above_the_header_is_text(tmp_path: Path) -> None:
    assert rows(tmp_path, "Alarm list\n\nCode,Meaning,Remedy\n1,Low,Fill\n2,High,Drain\n")[:2] == [
        "Alarm list",
        "Code: 1; Meaning: Low; Remedy: Fill",
    ]


def test_numbers_without_a_header_are_not_made_into_one(tmp_path: Path) -> None:
    assert rows(tmp_path, "1,2,3\n4,5,6\n") == ["1 | 2 | 3", "4 | 5 | 6"]


def test_too_many_rows_are_refused_with_the_figure(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("a,b\n" + "1,2\n" * 20, encoding="utf-8")
    with pytest.raises(UnreadableDocument, match="more than 10 rows"):
        read_csv(file, ReaderLimits(rows=10))
