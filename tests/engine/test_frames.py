from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.frames import read_frame, write_frame


@given(st.lists(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none())), max_size=5))
def test_what_is_written_is_read_back_and_then_the_stream_ends(messages: list[dict[str, object]]) -> None:
    pipe = io.BytesIO()
    for message in messages:
        write_frame(pipe, message)
    pipe.seek(0)
    for message in messages:
        assert read_frame(pipe) == message
    assert read_frame(pipe) is None


def test_a_stream_that_ends_within_a_message_has_ended() -> None:
    pipe = io.BytesIO()
    write_frame(pipe, {"text": "oil"})
    whole = pipe.getvalue()
    assert all(read_frame(io.BytesIO(whole[:length])) is None for length in range(len(whole)))


@pytest.mark.parametrize("data", [b"Traceback (most recent", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x02{x"])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_frame(io.BytesIO(data))
