"""Pages drawn without a browser, over a library whose encoder needs no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine.request import Generation, Request
from kb import database
from kb.library import Library
from pages.elements import frame
from surrogates import schema, teaching
from tests.surrogates.conftest import WordEncoder

PRESS = "# Press\n\n## Maximum pressure\n\nThe maximum pressure of the press is 200 bar.\n"


def silent(request: Request) -> Generation:
    """No model: structure alone teaches."""
    return Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")


@pytest.fixture
def press(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """A library with one taught document; the pages open it with the same encoder."""
    encoder = WordEncoder()
    monkeypatch.setattr(frame, "Library", partial(Library, encoder=encoder))
    file = tmp_path / "press.md"
    file.write_text(PRESS, encoding="utf-8")
    with Library(home, encoder) as library:
        database.migrate(library.connection, "surrogates", schema.MIGRATIONS)
        library.add(file)
        teaching.teach(library, silent)
        yield library


@pytest.fixture
def opened(home: Path) -> Callable[[str], AppTest]:
    """Draws the page of a module of `pages`."""

    def page(name: str, at: str) -> None:
        import importlib
        from pathlib import Path

        importlib.import_module(f"pages.{name}").draw(Path(at))

    return lambda name: AppTest.from_function(page, args=(name, str(home)), default_timeout=60).run()
