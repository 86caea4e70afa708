"""Plain text and reStructuredText as blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb.blocks import UnreadableDocument
from kb.readers.decoding import decode
from kb.readers.text import text_blocks


def texts(source: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in text_blocks(source)]


def test_underlined_headings_get_their_level_by_the_order_of_their_rules() -> None:
    blocks = text_blocks("=====\nTitle\n=====\n\nPart\n----\n\nText\n\nOther\n-----\n\nDeep\n~~~~\n")
    assert [(block.text, block.level) for block in blocks if block.kind == "heading"] == [
        ("Title", 1),
        ("Part", 2),
        ("Other", 2),
        ("Deep", 3),
    ]


def test_numbered_lines_that_stand_alone_are_headings() -> None:
    blocks = text_blocks("2.1 Start-up\n\nPress the button.\n\n2.2 Shut-down\n\nPress it again.\n")
    assert [(block.kind, block.level) for block in blocks] == [("heading", 2), ("paragraph", 0), ("heading", 2), ("paragraph", 0)]


def test_separator_lines_of_a_log_are_no_headings() -> None:
    assert all(block.kind != "heading" for block in text_blocks("12:00 start\n12:01 stop\n--------\n12:02 start\n"))


def test_literal_blocks_and_code_directives_are_code() -> None:
    assert texts("Run this::\n\n    make\n    make install\n\n.. code-block:: bash\n   :linenos:\n\n   ls\n") == [
        ("paragraph", "Run this:"),
        ("code", "make\nmake install"),
        ("code", "ls"),
    ]


def test_notes_are_text_and_inline_marks_go() -> None:
    assert texts(".. note::\n   See :ref:`the valve <valve>` and ``X1``.\n") == [("paragraph", "See the valve and `X1`.")]


def test_list_items_go_on_while_they_are_indented() -> None:
    assert texts("- one\n  more\n- two\n") == [("list_item", "- one more"), ("list_item", "- two")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_the_encoding_it_was_saved_in(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "t.txt"
    text = "Die Öldrücke prüfen: für jede Größe gilt höchstens 42 bar. Die Schläuche täglich prüfen."
    file.write_bytes(text.encode(encoding))
    assert decode(file) == text


def test_binary_data_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(UnreadableDocument, match="binary"):
        decode(file)
