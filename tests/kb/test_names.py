"""Names as display text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.names import MAX_LENGTH, display_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("pump.pdf", "pump.pdf"),
        ("../../etc/passwd", "etc/passwd"),
        ("D:\\manuals\\x.pdf", "manuals/x.pdf"),
        ("a\x00b\r\nc.md", "abc.md"),
        ("7. Sheetpress /x.pdf", "7. Sheetpress/x.pdf"),
        ("..", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_a_name_is_made_safe_to_show(name: str, shown: str) -> None:
    assert display_name(name) == shown


@given(st.text())
def test_no_name_leads_out_or_disturbs(name: str) -> None:
    shown = display_name(name)
    assert 0 < len(shown) <= MAX_LENGTH and shown.isprintable() and not {"..", "."} & set(shown.split("/"))
