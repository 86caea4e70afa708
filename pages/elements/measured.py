"""What an evaluation found: figures, plots, what each level buys, and where it goes wrong. `result` is `surrogates.evaluate.run`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages.elements import plots, taught, text

PARTS = (("look_alikes", "Look-alike questions"), ("out_of_domain", "Questions about something else"))


def draw(result: Mapping[str, Any]) -> None:
    """Everything, with a slider over the levels."""
    levels = result["levels"]
    names = {level["level"]: f"{taught.LEVELS[level['level']]} · at most {level['alpha']:.0%} wrong" for level in levels}
    chosen = st.select_slider(
        "How sure an instant answer must be",
        list(names),
        value=result["level"],
        format_func=lambda level: names[level],
        key="insight-level",
    )
    _draw_level(next(level for level in levels if level["level"] == chosen), result)
    _draw_levels(levels, chosen)
    left, right = st.columns(2)
    with left, st.container(border=True):
        st.markdown("**More answers, more of them wrong**")
        _draw_curve(result, chosen)
    with right, st.container(border=True):
        st.markdown("**Does it know how sure it is?**")
        _draw_reliability(result)
    _draw_parts(result)
    _draw_kinds(result["kinds"])
    _draw_refusals(result["refused_by"])


def _draw_level(level: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    with st.container(horizontal=True):
        st.metric("Answered at once", _share(level["answered_share"]), help=f"{level['answered']} of {result['questions']} questions")
        st.metric("Wrong among them", _share(level["error"]))
        st.metric("Instant answer", _time(result["instant_s"]), help=f"95 of 100 within {_time(result['instant_s_p95'])}")
        st.metric("Faster, each", _times(result["speed_up_per_answer"]), help="An instant answer against the language model's.")
        st.metric(
            "Faster, all", _times(level["speed_up_overall"]), help="Over all questions, those that go on to the language model included."
        )
    st.caption(f":material/verified: Instant from {level['accept_at']:.0%} confidence on; {text.as_markdown(level['sentence'])}")
    if result.get("teacher"):
        st.caption(f":material/school: Taught by {text.as_label(str(result['teacher']), 120)}")


def _draw_levels(levels: Sequence[Mapping[str, Any]], chosen: int) -> None:
    st.markdown("**What each level buys**")
    now = next(level for level in levels if level["level"] == chosen)
    st.dataframe(
        {
            "Level": [f"{'▸ ' if level is now else ''}{taught.LEVELS[level['level']]}" for level in levels],
            "Aims at most wrong": [f"{level['alpha']:.0%}" for level in levels],
            "Answered at once": [f"{level['answered']} ({_share(level['answered_share'])})" for level in levels],
            "Wrong": [_count(level) for level in levels],
            "Against the chosen one": [_difference(level["answered"] - now["answered"]) for level in levels],
            "Certificate": [level["sentence"] for level in levels],
        },
        hide_index=True,
    )


def _difference(answers: int) -> str:
    return "" if answers == 0 else f"{abs(answers)} {'more' if answers > 0 else 'fewer'} at once"


def _draw_curve(result: Mapping[str, Any], chosen: int) -> None:
    if not result["risk_coverage"]:
        st.caption("No line of the file says what is right, or nothing could be answered.")
        return
    st.vega_lite_chart(spec=plots.risk_coverage(result["risk_coverage"], result["levels"], chosen), key="risk-coverage")
    st.caption(f"Area under the curve {_figure(result['aurc'])}; by likeness alone {_figure(result['aurc_cosine'])}. Less is better.")


def _draw_reliability(result: Mapping[str, Any]) -> None:
    if not result["reliability"]:
        st.caption("No line of the file says what is right, or nothing could be answered.")
        return
    st.vega_lite_chart(spec=plots.reliability(result["reliability"]), key="reliability")
    st.caption(f"Said and true shares are {_figure(result['ece'])} apart on average. On the dashed line they are the same.")


def _draw_parts(result: Mapping[str, Any]) -> None:
    found = [(title, result[key]) for key, title in PARTS if result[key] is not None]
    if not found:
        st.caption("The file marks no look-alike questions and none about something else, so their figures are missing.")
        return
    with st.container(horizontal=True):
        for title, part in found:
            st.metric(f"{title} answered", f"{part['answered']} of {part['questions']}", help="At the home's own level; each is a mistake.")


def _draw_kinds(kinds: Mapping[str, Mapping[str, Any]]) -> None:
    if not kinds:
        return
    st.markdown("**By kind of question**")
    rows = list(kinds.items())
    st.dataframe(
        {
            "Kind": [name for name, _ in rows],
            "Questions": [each["questions"] for _, each in rows],
            "Answered at once": [_share(each["answered_share"]) for _, each in rows],
            "Wrong": [_count(each) for _, each in rows],
        },
        hide_index=True,
    )


def _draw_refusals(refused: Mapping[str, int]) -> None:
    if not refused:
        return
    with st.expander(f"{text.count(sum(refused.values()), 'question')} kept from a taught answer, by reason", icon=":material/front_hand:"):
        rows = sorted(refused.items(), key=lambda item: -item[1])
        st.table({"What differed": [name for name, _ in rows], "Questions": [count for _, count in rows]})


def _count(part: Mapping[str, Any]) -> str:
    """How many of the answered are wrong; a dash where some are answered and no line says what is right."""
    return "–" if part["wrong"] is None and part["answered"] else str(part["wrong"] or 0)  # noqa: RUF001


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"  # noqa: RUF001 - a dash for no figure


def _time(value: float | None) -> str:
    return "–" if value is None else text.duration(value)  # noqa: RUF001


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}×"  # noqa: RUF001


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
