"""Suggested questions come from the documents' own headings."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from kb.library import Library
from pages.elements.suggestions import suggestions
from surrogates import schema

pytestmark = pytest.mark.models
PUMP = "# Pump P1\n\n## Storage\n\nKeep it dry and above 5 degrees.\n\n## Replacing the filter\n\nOpen the lid and take the filter out.\n"
PRESS = "# Press B2\n\n## Setting the ram speed\n\nTurn the knob until the display shows 12.\n"


def test_tasks_of_each_document_come_before_topics(home: Path, tmp_path: Path, default_encoder: Path) -> None:
    with Library(home) as library:
        for name, content, collection in (("pump.md", PUMP, "Line 1"), ("press.md", PRESS, "Line 2")):
            (tmp_path / name).write_text(content, encoding="utf-8")
            assert library.add(tmp_path / name, collection).status == "indexed"
    with closing(schema.connect(home)) as connection:
        assert suggestions(connection, None) == [
            "How do I set the ram speed?",
            "How do I replace the filter?",
            "What does “pump” say about storage?",
        ]
        first = connection.execute("SELECT id FROM collections WHERE name = 'Line 1'").fetchone()["id"]
        assert suggestions(connection, first, limit=1) == ["How do I replace the filter?"]


def test_an_empty_library_suggests_nothing(home: Path) -> None:
    with closing(schema.connect(home)) as connection:
        assert suggestions(connection, None) == []
