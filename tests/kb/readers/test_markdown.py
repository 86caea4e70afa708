"""Markdown as blocks."""

from __future__ import annotations

from kb.readers.markdown import markdown_blocks


def texts(source: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in markdown_blocks(source)]


def test_headings_keep_their_depth_and_lose_their_marks() -> None:
    blocks = markdown_blocks("# The `E-17` alarm {#e17}\n\nSetext\n------\n")
    assert [(block.text, block.level) for block in blocks] == [("The E-17 alarm", 1), ("Setext", 2)]


def test_a_table_row_carries_its_header() -> None:
    assert texts("| Code | Meaning |\n|---|---|\n| E-17 | Oil *low* |\n| E-18 | |\n") == [
        ("table_row", "Code: E-17; Meaning: Oil low"),
        ("table_row", "Code: E-18"),
    ]


def test_wrapped_prose_becomes_one_line_and_short_lines_stay() -> None:
    wrapped = "This is a sentence of a page that was wrapped by its author\nbefore it ended.\nMenu\nSettings\n"
    assert texts(wrapped) == [("paragraph", "This is a sentence of a page that was wrapped by its author before it ended.\nMenu\nSettings")]


def test_lists_keep_their_numbers_and_nesting() -> None:
    blocks = markdown_blocks("3. Open\n   Really open.\n4. Close\n   - slowly\n\nText\n")
    found = [(block.text, block.level) for block in blocks]
    assert found == [("3. Open\nReally open.", 0), ("4. Close", 0), ("- slowly", 1), ("Text", 0)]


def test_front_matter_becomes_facts_under_its_title() -> None:
    source = "---\ntitle: Home all axes\ncodes: [ G28 ]\nlayout: page\nparameters:\n- tag: X\n  description: Home X\n- tag: Y\n---\nBody.\n"
    assert texts(source) == [
        ("heading", "Home all axes"),
        ("paragraph", "codes: G28"),
        ("paragraph", "parameters:"),
        ("list_item", "- tag: X; description: Home X"),
        ("list_item", "- tag: Y"),
        ("paragraph", "Body."),
    ]


def test_front_matter_that_multiplies_itself_is_kept_as_text() -> None:
    source = "---\na: &x [1, 2]\nb: [*x, *x]\n---\nBody.\n"
    assert texts(source) == [("paragraph", "a: &x [1, 2]\nb: [*x, *x]"), ("paragraph", "Body.")]


def test_code_is_taken_word_for_word() -> None:
    assert texts("```ini\n[mcu]\n  baud: 250000\n```\n") == [("code", "[mcu]\n  baud: 250000")]


def test_html_in_markdown_shows_what_a_reader_sees() -> None:
    table = "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>"
    source = f"<h2>Part</h2>\n{table}\n<script>x()</script>\n\nSee <b>this</b>.<br>Now.\n"
    assert texts(source) == [("heading", "Part"), ("table_row", "A: 1; B: 2"), ("paragraph", "See this.\nNow.")]


def test_images_are_read_by_their_description_and_links_by_their_text() -> None:
    assert texts("![wiring of X1](x1.png) see [the page](https://example.org)") == [("paragraph", "wiring of X1 see the page")]


def test_an_alert_keeps_its_word() -> None:
    assert texts("> [!WARNING]\n> Hot surface\n") == [("paragraph", "Warning: Hot surface")]
