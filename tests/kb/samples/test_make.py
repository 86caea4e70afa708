"""The sample library is what its sources say, and its documents agree with each other."""

from __future__ import annotations

from pathlib import Path

import docx
import pypdfium2
import pytest

from kb import samples
from kb.samples import make


def pages(path: Path) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def cells(path: Path) -> list[list[list[str]]]:
    return [[[cell.text for cell in row.cells] for row in table.rows] for table in docx.Document(str(path)).tables]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make.make(tmp_path_factory.mktemp("samples"))


def test_every_sample_is_there() -> None:
    assert [path.suffix for path in samples.paths()] == [".pdf", ".docx", ".md"]
    assert all(path.is_file() for path in samples.paths())


def test_the_shipped_manuals_are_those_that_the_sources_make(made: list[Path]) -> None:
    pump, moulding, _ = samples.paths()
    assert pages(made[0]) == pages(pump)
    assert cells(made[1]) == cells(moulding)
    assert [p.text for p in docx.Document(str(made[1])).paragraphs] == [p.text for p in docx.Document(str(moulding)).paragraphs]


def test_making_them_twice_gives_the_same_bytes(made: list[Path], tmp_path: Path) -> None:
    assert [path.read_bytes() for path in make.make(tmp_path)] == [path.read_bytes() for path in made]


def test_the_pump_manual_has_pages_an_outline_and_two_pressures() -> None:
    pump = samples.paths()[0]
    text = pages(pump)
    assert 6 <= len(text) <= 10
    assert all(f"Page {number}" in page for number, page in enumerate(text, 1))
    assert "Nominal pressure, continuous bar 210 280" in text[1]
    document = pypdfium2.PdfDocument(pump)
    assert len(list(document.get_toc())) > 20
    document.close()


def test_the_alarm_manual_lists_forty_alarms_with_cause_and_remedy() -> None:
    alarms = next(table for table in cells(samples.paths()[1]) if table[0][0] == "Code")
    assert [row[0] for row in alarms[1:]] == [f"E-{number:02}" for number in range(1, 41)]
    assert all(all(cell.strip() for cell in row) for row in alarms)


def test_the_documents_name_the_same_oil_and_pump() -> None:
    pump, moulding, sheet = samples.paths()
    texts = ["\n".join(pages(pump)), "\n".join(p.text for p in docx.Document(str(moulding)).paragraphs), sheet.read_text(encoding="utf-8")]
    assert all("Hydra 46" in text and "HX 200" in text for text in texts)
