"""Choosing the language model, giving it memory, and taking in another one from this computer or from Hugging Face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from kb import jobs
from pages.elements import frame, text, work
from surrogates import models, settings

KINDS = ("pack", "download")
MEGABYTE = 1_000_000
FOUND = "found-model"


@dataclass(frozen=True)
class Found:
    """A model that was looked at: the job that would take it in, and what is known of it before."""

    kind: str
    payload: dict[str, Any]
    facts: models.ModelFacts


def draw(home: Path, now: settings.Settings) -> None:
    """Draw the chosen model with its memory, then the ways to another one, and the work on one that is under way."""
    _draw_choice(home, now)
    _draw_memory(home, now)
    with st.expander("Add another model", icon=":material/add:", key="add-model"):
        here, there = st.tabs(["From this computer", "From Hugging Face"])
        with here:
            _draw_local(home)
        with there:
            _draw_remote(home)
    work.draw(home, KINDS, "pages.models_dismissed", _job_name)


def _draw_choice(home: Path, now: settings.Settings) -> None:
    packs = settings.packs(home)
    if not packs:
        st.error("No model is installed. Run `python launch.py setup`, or add one below.", icon=":material/error:")
        return
    if now.pack not in packs:
        st.error(f"The chosen model is gone from {now.pack}; choose another one.", icon=":material/error:")
    labels = {pack: _label(pack) for pack in packs}
    chosen = st.selectbox(
        "Model that writes answers",
        packs,
        index=packs.index(now.pack) if now.pack in packs else None,
        format_func=labels.__getitem__,
        key="model",
    )
    if chosen is not None and chosen != now.pack:
        _save(home, model=None if chosen == settings.default_pack() else str(chosen))


def _label(pack: Path) -> str:
    try:
        facts = models.pack_facts(pack)
    except models.UnusableModel as error:
        return f"{pack.stem} (cannot be used: {error})"
    default = ", the default" if pack == settings.default_pack() else ""
    return f"{facts.name} ({_parameters(facts)}{text.size(facts.size_bytes)}{default})"


def _parameters(facts: models.ModelFacts) -> str:
    return f"{facts.parameters / 1e6:,.0f} million parameters, "


def _draw_memory(home: Path, now: settings.Settings) -> None:
    least = _least_bytes(now.pack)
    given = st.number_input(
        "Memory for the model, in MB",
        min_value=1,
        value=now.memory_bytes // MEGABYTE,
        step=100,
        key="memory",
        width=280,
        help="The model's process never holds more than this. What does not fit is read from the disk while it writes, which is slower.",
    )
    wanted = int(given) * MEGABYTE
    try:
        meaning = models.budget_meaning(now.pack, wanted, now.mode)
    except models.UnusableModel as error:
        st.error(f"This cannot be kept: {error}.", icon=":material/memory:")
        return
    st.caption(_meaning_words(meaning, least))
    if wanted != now.memory_bytes:
        _save(home, memory_bytes=wanted)


def _meaning_words(meaning: models.BudgetMeaning, least: int | None) -> str:
    reads = (
        f"About {text.size(meaning.read_bytes)} are read from the disk for each word that it writes; more memory makes it faster."
        if meaning.read_bytes
        else "The whole model stays in memory."
    )
    slow = (
        ""
        if meaning.compiled
        else " **It writes many times slower than it could:** set-up found no compiler. Install one and set up again."
    )
    return reads + ("" if least is None else f" The least that it can run in is {_megabytes(least)}.") + slow


def _least_bytes(pack: Path) -> int | None:
    try:
        return models.pack_facts(pack).least_bytes
    except models.UnusableModel:
        return None


def _megabytes(size_bytes: int) -> str:
    return f"{-(-size_bytes // MEGABYTE):,} MB"


def _save(home: Path, **changes: Any) -> None:
    with frame.data(home) as connection:
        settings.save(connection, replace(settings.load(connection), **changes))
    frame.say_after_redraw("Kept; it holds from the next question on.")
    st.rerun()


def _draw_local(home: Path) -> None:
    with st.form("local-model", border=False):
        given = st.text_input(
            "Checkpoint folder or GGUF file",
            placeholder="a folder with config.json and safetensors files, or a file that ends in .gguf",
        )
        looked = st.form_submit_button("Look at it", icon=":material/search:")
    if looked and given.strip():
        path = Path(given.strip().strip('"')).expanduser()
        _look("pack", {"source": str(path), "name": path.stem}, lambda: models.describe(path))
    _draw_offer(home, "pack", "Take this model in")


def _draw_remote(home: Path) -> None:
    st.caption("Looking a model up asks huggingface.co over the internet. Nothing is downloaded until you start it.")
    with st.form("remote-model", border=False):
        given = st.text_input("Hugging Face id", placeholder="owner/name, such as HuggingFaceTB/SmolLM2-360M-Instruct")
        looked = st.form_submit_button("Look it up", icon=":material/travel_explore:")
    if looked and given.strip():
        _look("download", {"repository": given.strip()}, lambda: models.describe_repository(given.strip()))
    _draw_offer(home, "download", "Download it")


def _look(kind: str, payload: dict[str, Any], describe: Callable[[], models.ModelFacts]) -> None:
    """Look at a model and keep what was found for the next draws; what cannot be used is said at once."""
    st.session_state.pop(FOUND, None)
    try:
        with st.spinner("Looking at it"):
            st.session_state[FOUND] = Found(kind, payload, describe())
    except models.UnusableModel as error:
        st.error(f"This model cannot be used: {error}", icon=":material/error:")


def _draw_offer(home: Path, kind: str, action: str) -> None:
    found: Found | None = st.session_state.get(FOUND)
    if found is None or found.kind != kind:
        return
    facts = found.facts
    with st.container(border=True):
        st.markdown(f"**{text.as_label(facts.name, 90)}** {facts.architecture}")
        st.markdown(
            f"- Size: {_parameters(facts)}{text.size(facts.size_bytes)}\n- Least memory: {_megabytes(facts.least_bytes)}\n"
            f"- Licence: {text.as_label(facts.licence or 'not stated; ask its maker before you use it', 90)}"
        )
        if st.button(action, type="primary", icon=":material/download:", key=f"take-{kind}"):
            with frame.data(home) as connection:
                jobs.enqueue(connection, kind, found.payload)
            del st.session_state[FOUND]
            st.rerun()


def _job_name(job: jobs.Job) -> str:
    return str(job.payload.get("repository") or job.payload.get("name"))
