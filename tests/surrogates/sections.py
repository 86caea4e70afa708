"""A section of a document, cut into passages as a test wants it."""

from __future__ import annotations

from kb.records import Passage


class Section:
    """The passages of one section in place of a library: what `complete` reads of one."""

    def __init__(self, *texts: str) -> None:
        self.passages = [
            Passage(id_, 1, "pump.md", 1, 1, "General", "list", ("Pump",), text, None, None, (), 0, len(text), "")
            for id_, text in enumerate(texts, start=1)
        ]

    def context(self, passage_id: int, around: int = 2) -> list[Passage]:
        return self.passages[max(passage_id - 1 - around, 0) : passage_id + around]
