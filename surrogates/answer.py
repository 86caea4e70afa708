"""The answer to a question and what it stands on: the one shape that the router, the pages and the command lines share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Route = Literal["surrogate", "numeric", "engine", "declined"]


@dataclass(frozen=True)
class Citation:
    """A place in a document. `page` is 1-based, None where the kind has no pages; `quote` occurs word for word in the passage.

    `boxes` are [page, left, top, right, bottom] in points from the page's top left corner.
    """

    document: str
    document_id: int
    revision_id: int
    revision: int
    passage_id: int
    page: int | None
    heading: tuple[str, ...]
    quote: str
    boxes: tuple[tuple[float, ...], ...] = ()
    correction_id: int | None = None
    """The person's correction that is cited; then `document` says by whom and when, and the ids of places are 0."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Citation:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        return cls(**{**value, "heading": tuple(value["heading"]), "boxes": tuple(tuple(box) for box in value["boxes"])})


def by_place(citations: Sequence[Citation]) -> list[list[Citation]]:
    """The citations in order, those of one passage together: a passage that is quoted twice is one place."""
    places: dict[tuple[int, int, int | None], list[Citation]] = {}
    for citation in citations:
        places.setdefault((citation.revision_id, citation.passage_id, citation.correction_id), []).append(citation)
    return list(places.values())


@dataclass(frozen=True)
class Timings:
    """Seconds. `first_token` is None when no engine ran; `search` and `surrogate` None when that step was not taken."""

    total: float
    first_token: float | None = None
    surrogate: float | None = None
    search: float | None = None
    engine: float | None = None


@dataclass(frozen=True)
class Answer:
    """`confidence` is 0..1 for instant answers and None when the engine wrote the text.

    For a declined question `text` says why in one sentence and `citations` are the nearest passages, best first.
    `notes` are short sentences that the user should see beside the answer (a sentence replaced by its quote, a stopped answer).
    """

    text: str
    route: Route
    confidence: float | None
    citations: tuple[Citation, ...]
    seconds: Timings
    notes: tuple[str, ...] = ()
    answer_id: int | None = field(default=None)
    """Row of the bank that an instant answer came from."""
    matched_question: str | None = None
    """The bank's question, or the corrected one, that the user's was understood as."""
    teacher: str | None = None
    """The model that wrote or taught the answer, "document structure" where none did; None for a declined question and for a person's."""

    def to_json(self) -> dict[str, Any]:
        """JSON for the command line and the job row; the text stands under "answer"."""
        value = asdict(self)
        return {"answer": value.pop("text"), **value}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Answer:
        """The inverse of `to_json`."""
        fields = {**value, "text": value["answer"], "seconds": Timings(**value["seconds"]), "notes": tuple(value["notes"])}
        del fields["answer"]
        fields["citations"] = tuple(Citation.from_json(citation) for citation in value["citations"])
        return cls(**fields)
