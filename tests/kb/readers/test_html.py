"""HTML as blocks."""

from __future__ import annotations

from kb.readers.html import html_blocks


def texts(source: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in html_blocks(source)]


def test_scripts_navigation_and_hidden_parts_are_left_out() -> None:
    source = "<html><head><title>t</title></head><body><nav>Home</nav><script>x</script><p hidden>no</p><p>Oil  it.</p></body></html>"
    assert texts(source) == [("paragraph", "Oil it.")]


def test_lists_keep_numbers_and_nesting() -> None:
    blocks = html_blocks("<ol><li>One<ul><li>Sub</li></ul></li><li>Two</li></ol>")
    assert [(block.text, block.level) for block in blocks] == [("1. One", 0), ("- Sub", 1), ("2. Two", 0)]


def test_a_spanned_cell_keeps_the_columns_in_line() -> None:
    source = "<table><caption>Limits</caption><tr><th>A</th><th>B</th><th>C</th></tr><tr><td colspan=2>x</td><td>y</td></tr></table>"
    (row,) = html_blocks(source)
    assert row.text.endswith("C: y") and row.caption == "Limits"


def test_a_table_that_only_lays_out_the_page_is_text() -> None:
    assert texts("<table><tr><td><h2>Part</h2><p>Text</p></td></tr></table>") == [("heading", "Part"), ("paragraph", "Text")]


def test_preformatted_text_is_code() -> None:
    assert texts("<pre>a\n  b</pre>") == [("code", "a\n  b")]


def test_a_page_nested_beyond_reason_is_still_read() -> None:
    assert any("deep" in text for _, text in texts("<div>" * 3000 + "deep"))
