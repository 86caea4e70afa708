"""The app's door: reads which home to show, and wires the pages. Streamlit runs it; `launch.py` starts Streamlit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import streamlit as st
from platformdirs import user_data_path

from pages import ask, insights, library, review, settings, teach
from pages.elements import frame

SIDEBAR_WIDTH = 240


def home_from(arguments: list[str]) -> Path:
    """The folder that `--home` names, else the user's own data folder."""
    parser = argparse.ArgumentParser(prog="app.py")
    parser.add_argument("--home", type=Path, default=user_data_path("flashkb"))
    return Path(parser.parse_args(arguments).home).absolute()


def main() -> None:
    """Draw the page that the address names."""
    home = home_from(sys.argv[1:])
    st.set_page_config(page_title="FlashKB", page_icon=str(frame.ICON), initial_sidebar_state=SIDEBAR_WIDTH)
    st.logo(str(frame.LOGO), size="large")
    pages = [
        frame.page(home, ask.draw, "ask", "Ask", ":material/forum:", default=True),
        frame.page(home, library.draw, "library", "Library", ":material/library_books:"),
        frame.page(home, teach.draw, "teach", "Teach", ":material/school:"),
        frame.page(home, review.draw, "review", "Review", ":material/rule:"),
        frame.page(home, insights.draw, "insights", "Insights", ":material/monitoring:"),
        frame.page(home, settings.draw, "settings", "Settings", ":material/settings:"),
    ]
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
