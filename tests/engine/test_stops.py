from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.stops import StopStrings


def shown(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    watcher = StopStrings(stops)
    text = "".join(watcher.push(piece) for piece in pieces)
    return text + ("" if watcher.found else watcher.flush()), watcher.found


def test_a_stop_string_across_pieces_ends_the_text_before_it() -> None:
    assert shown(["The answer", ".\n", "\n", "Question: more"], ["\n\nQuestion"]) == ("The answer.", True)


def test_a_beginning_that_goes_on_differently_is_shown_after_all() -> None:
    assert shown(["a\n", "b"], ["\n\n"]) == ("a\nb", False)


def test_what_might_become_a_stop_string_is_not_shown_early() -> None:
    watcher = StopStrings(["</s>"])
    assert watcher.push("fine </") == "fine "
    assert watcher.push("s") == ""
    assert watcher.push(">") == "" and watcher.found


def test_an_empty_stop_string_stops_nothing() -> None:
    assert shown(["abc"], [""]) == ("abc", False)


@given(st.lists(st.text("ab\n", max_size=3), max_size=12), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3))
def test_the_text_in_pieces_stops_where_the_whole_text_would(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    watcher = StopStrings(stops)
    seen = ""
    for piece in pieces:
        seen += watcher.push(piece)
        assert whole.startswith(seen)
    seen += "" if watcher.found else watcher.flush()
    # a stop string counts as soon as it is complete, so the one that ends first decides
    ends = [(whole.find(stop) + len(stop), whole.find(stop)) for stop in stops if stop in whole]
    assert watcher.found == bool(ends)
    if not ends:
        assert seen == whole
    else:
        assert all(stop not in seen for stop in stops)
