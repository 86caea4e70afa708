"""The page on which people have the last word: verdicts on instant answers, proposals to confirm, corrections."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.elements import corrected, frame, judging, proposed, signature

PARTS = {"Judge": judging.draw, "Proposals": proposed.draw, "Corrections": corrected.draw}


def draw(home: Path) -> None:
    """Draw the page."""
    frame.header(
        "Review",
        "Judge instant answers, so that it can be certified how far they are to be trusted; confirm written ones; see what was corrected.",
    )
    with frame.library(home) as library:
        is_empty = not library.collections()
    if is_empty:
        st.info("The library is empty. Add documents first, or try the sample library.", icon=":material/library_add:")
        frame.link("library", "Go to the library", ":material/library_books:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        chosen = st.segmented_control("Part", list(PARTS), default="Judge", required=True, key="review-part", label_visibility="collapsed")
        by = signature.draw(home, "review-by")
    PARTS[str(chosen)](home, by)


if __name__ == "__main__":
    frame.run_app()
