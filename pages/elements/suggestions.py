"""Questions to start with, drawn from the headings of the library's own documents."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import PurePath

from surrogates.structure import clean_title, heading_questions

DOCUMENTS = 8
TASK = re.compile(r"^How do I \w+ (the|a|an)\b")
SHORT_TITLE = 5  # words


def suggestions(connection: sqlite3.Connection, collection_id: int | None, limit: int = 4) -> list[str]:
    """At most `limit` questions, taken in turn from the newest documents of the collection (None: of the library).

    A heading that names a task, "Replacing the filter", is asked as one; of others, "Storage", the document is asked what it says.
    """
    rows = connection.execute(
        "SELECT id, name FROM documents WHERE removed_at IS NULL AND (? IS NULL OR collection_id = ?) ORDER BY id DESC LIMIT ?",
        (collection_id, collection_id, DOCUMENTS),
    ).fetchall()
    by_document = [_tasks_and_topics(connection, row["id"], row["name"]) for row in rows]
    asked = [*_in_turn([tasks for tasks, _ in by_document]), *_in_turn([topics for _, topics in by_document])]
    return list(dict.fromkeys(asked))[:limit]


def _in_turn(groups: list[list[str]]) -> list[str]:
    """The first of each group, then the second of each, and so on."""
    longest = max((len(group) for group in groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


def _tasks_and_topics(connection: sqlite3.Connection, document_id: int, name: str) -> tuple[list[str], list[str]]:
    """Questions for a document's headings that name tasks, and for its others, each in the document's order."""
    rows = connection.execute("SELECT heading FROM passages WHERE document_id = ? GROUP BY heading ORDER BY min(ordinal)", (document_id,))
    headings = [heading for heading in (json.loads(row["heading"]) for row in rows) if len(heading) > 1]
    titles = [clean_title(heading[-1]) for heading in headings]
    tasks, topics = [], []
    for title in titles:
        asked = heading_questions(title)[:1]
        if asked and TASK.match(asked[0]):
            tasks += asked
        elif 0 < len(title.split()) <= SHORT_TITLE:
            topics.append(f"What does “{PurePath(name).stem}” say about {_lower(title)}?")
    return tasks, topics


def _lower(title: str) -> str:
    """A title within a sentence: abbreviations and codes keep their capitals."""
    return title if title[1:2].isupper() or any(character.isdigit() for character in title) else title[:1].lower() + title[1:]
