"""Written answers that wait for a person to let them be given at once from then on."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.elements import answers, frame, text
from surrogates import proposals
from surrogates.proposals import Proposal

SHOWN = 20
DECIDED = 5


def draw(home: Path, by: str) -> None:
    """The proposals that wait, the last decided ones with a way back, and why others never came here."""
    with frame.library(home) as library:
        waiting = proposals.listing(library)
        decided = [*proposals.listing(library, "confirmed", DECIDED), *proposals.listing(library, "rejected", DECIDED)]
        dropped = proposals.dropped(library)
    if not waiting:
        st.info("No written answer waits. Those that prove themselves against their passages come here.", icon=":material/inbox:")
    if waiting and not by:
        st.caption(":material/edit: Give your name above to confirm or reject.")
    for proposal in waiting[:SHOWN]:
        _draw_proposal(home, proposal, by)
    if len(waiting) > SHOWN:
        st.caption(f"{text.count(len(waiting) - SHOWN, 'more proposal')} after these.")
    for proposal in sorted(decided, key=lambda one: one.decided_at or "", reverse=True)[:DECIDED]:
        _draw_decided(home, proposal, by)
    if dropped:
        with st.expander(f"{text.count(sum(dropped.values()), 'written answer')} not proposed, by reason", icon=":material/filter_alt:"):
            rows = sorted(dropped.items(), key=lambda item: -item[1])
            st.table({"Reason": [reason for reason, _ in rows], "Answers": [number for _, number in rows]})


def _draw_proposal(home: Path, proposal: Proposal, by: str) -> None:
    with st.container(border=True, key=f"proposal-{proposal.id}"):
        st.markdown(f"**{text.as_markdown(proposal.question)}**")
        st.markdown(text.as_markdown(proposal.answer))
        with frame.data(home) as connection:
            answers.draw_citations(home, connection, f"proposal-{proposal.id}", proposal.citations)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Confirm",
                icon=":material/check:",
                type="primary",
                key=f"confirm-{proposal.id}",
                disabled=not by or not proposal.is_current,
                on_click=_confirm,
                args=(home, proposal.id, by),
            )
            st.button(
                "Reject",
                icon=":material/close:",
                key=f"reject-{proposal.id}",
                disabled=not by,
                on_click=_reject,
                args=(home, proposal.id, by),
            )
            st.caption(_facts(proposal))


def _facts(proposal: Proposal) -> str:
    others = proposal.agreeing - 1
    agreeing = [text.count(others, "other wording agrees", "other wordings agree")] if others else []
    facts = [text.as_label(proposal.collection), f"written by {text.as_label(proposal.teacher)}", proposal.made_at[:10]]
    gone = [] if proposal.is_current else ["its passage has changed or gone since; reject it"]
    return " · ".join([*facts, *agreeing, *gone])


def _draw_decided(home: Path, proposal: Proposal, by: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        who = f" by {text.as_label(proposal.decided_by)}" if proposal.decided_by else ""
        st.caption(f"{proposal.decision.capitalize()}{who}: {text.as_label(proposal.question, 90)}")
        st.button(
            "Undo",
            icon=":material/undo:",
            type="tertiary",
            key=f"undo-{proposal.id}",
            disabled=not by,
            on_click=_withdraw,
            args=(home, proposal.id, by),
        )


def _confirm(home: Path, proposal_id: int, by: str) -> None:
    try:
        with frame.library(home) as library:
            proposals.confirm(library, proposal_id, by)
    except ValueError:
        st.toast("Its passage has changed meanwhile; reject it and ask the question again.", icon=":material/history:")


def _reject(home: Path, proposal_id: int, by: str) -> None:
    with frame.library(home) as library:
        proposals.reject(library, proposal_id, by)


def _withdraw(home: Path, proposal_id: int, by: str) -> None:
    with frame.library(home) as library:
        proposals.withdraw(library, proposal_id, by)
