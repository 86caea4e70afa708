"""What teaching has made so far: figures, why questions were dropped, how far it is to be trusted, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages.elements import frame, text
from surrogates import judging
from surrogates.threshold import Certificate

LEVELS = {1: "Answer most", 2: "Bold", 3: "Balanced", 4: "Careful", 5: "Only the surest"}
EXAMPLES = 6


def draw_figures(status: dict[str, Any]) -> None:
    """The figures in a row, and below them why questions were dropped. `status` is `teaching.status`."""
    with st.container(horizontal=True):
        st.metric("Passages taught", f"{status['taught']:,} of {status['passages']:,}")
        st.metric("Questions made", f"{status['made']:,}")
        st.metric("Kept", f"{status['kept']:,}")
        st.metric("Instant answers", f"{status['bank'].get('active', 0):,}")
        st.metric("Model's time", text.duration(status["engine_s"]))
    if waiting := status["bank"].get("suspended", 0):
        st.caption(f":material/pending: {text.count(waiting, 'answer')} set aside after a change of the library, until checked again")
    if dropped := status["dropped"]:
        with st.expander(f"{text.count(sum(dropped.values()), 'question')} dropped, by reason", icon=":material/filter_alt:"):
            rows = sorted(dropped.items(), key=lambda item: -item[1])
            st.table({"Reason": [reason.replace("_", " ") for reason, _ in rows], "Questions": [count for _, count in rows]})


def certificate_words(certificate: Certificate) -> str:
    """How far instant answers of a level are to be trusted, and who says so."""
    words = [f"Instant from {certificate.accept_at:.0%} confidence on"]
    if certificate.kind == "agreement" and certificate.answered:
        share = 1 - certificate.wrong / certificate.answered
        words.append(f"{share:.0%} agreement with its teacher over {text.count(certificate.answered, 'question')}")
    return "; ".join([*words, certificate.sentence()])


def draw_trust(level: int, certificate: Certificate, problem: str) -> None:
    """The chosen level with its certificate; `problem` says why a trained model is not in use, "" when nothing is wrong."""
    if problem:
        st.warning(problem, icon=":material/build:")
    st.markdown(f":material/verified: **{LEVELS[level]}**: {text.as_markdown(certificate_words(certificate))}")


def draw_renewal(home: Path, certificate: Certificate) -> None:
    """Why an earlier certificate stands no more, with a way to test again; nothing while none was voided."""
    if not certificate.void:
        return
    st.warning(f"The certificate does not hold any more: {text.as_markdown(certificate.void)}.", icon=":material/restart_alt:")
    if st.button("Test again", icon=":material/restart_alt:", key="renew"):
        with frame.library(home) as library:
            renewed = judging.renew(library)[certificate.level - 1]
        frame.say_after_redraw(renewed.sentence().capitalize() + ".")
        st.rerun()


def draw_examples(examples: Sequence[dict[str, Any]]) -> None:
    """Each kept question with its answer and its place. `examples` is `teaching.examples`."""
    for example in examples:
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{text.as_markdown(example['question'])}**")
            st.markdown(text.as_markdown(example["answer"]))
            page = "" if example["page"] is None else f" · page {example['page']}"
            st.caption(f"{text.as_label(example['document'], 60)}{page} · {text.heading_path(example['heading'], 50)}")
