"""Full-text search: the user's words as a safe FTS5 query, with exact codes kept whole."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from kb.postings import COLUMNS

WORD = re.compile(r"\w+", re.UNICODE)
CODE = re.compile(r"(?<!\w)(?:[A-Za-z]{1,6}[-_./]?\d[\w./-]*|\d[\w./-]*[A-Za-z-][\w./-]*|\$\d+|\d+)(?!\w)")
NAMED_NUMBER = re.compile(r"(?<!\w)([^\W\d_]{3,})\s+(?:no\.?\s*|number\s+|code\s+)?#?(\d{1,5})(?![\w-])", re.IGNORECASE)
MAX_TERMS = 48
NEAR_WORDS = 6
COMMON_WORDS = (
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me my of on or our shall "
    "should so than that the their them then there these they this those to was we were what when where which while who why will with "
    "would you your der die das ein eine einen und ist sind wie was wo wann ich mein kann auf mit von zu im in den dem des für "
    "le la les un une des et est sont comment que qui où dans sur pour avec mon ma mes je"
)
STOP_WORDS = frozenset(COMMON_WORDS.split())


@dataclass(frozen=True)
class Terms:
    """What a question asks the index for. `codes` are phrases such as "E-17" or "alarm 9", as the user wrote them."""

    words: tuple[str, ...]
    codes: tuple[str, ...]


def terms(question: str) -> Terms:
    """Words (stop words only where there is nothing else) and codes of a question, each once, at most `MAX_TERMS`."""
    words = list(dict.fromkeys(match.group(0).casefold() for match in WORD.finditer(question)))
    telling = [word for word in words if word not in STOP_WORDS] or words
    named = [
        f"{match.group(1)} {match.group(2)}" for match in NAMED_NUMBER.finditer(question) if match.group(1).casefold() not in STOP_WORDS
    ]
    codes = [match.group(0).strip(".-/") for match in CODE.finditer(question) if not match.group(0).isdigit()]
    return Terms(tuple(telling[:MAX_TERMS]), tuple(dict.fromkeys(codes + named))[:8])


def rank(connection: sqlite3.Connection, query: str, collection_id: int | None, limit: int) -> list[tuple[int, float]]:
    """[(passage id, BM25 score)], best first; higher is better. `query` is FTS5 syntax, empty finds nothing."""
    if not query:
        return []
    # without a collection no row of the passages needs to be looked up: half of the time where thousands match
    joined, scope = ("", "") if collection_id is None else (" JOIN passages ON passages.id = passages_fts.rowid", " AND collection_id = ?")
    rows = connection.execute(
        f"SELECT passages_fts.rowid, bm25(passages_fts, ?, ?) AS score FROM passages_fts{joined}"
        f" WHERE passages_fts MATCH ?{scope} ORDER BY score, passages_fts.rowid LIMIT ?",
        (*(weight for _, weight in COLUMNS), query, *([] if collection_id is None else [collection_id]), limit),
    )
    return [(int(row[0]), -float(row[1])) for row in rows]


def any_word(words: tuple[str, ...]) -> str:
    """FTS5 query for passages with at least one of the words."""
    return " OR ".join(_phrase(word) for word in words)


def any_code(codes: tuple[str, ...]) -> str:
    """FTS5 query for passages that hold one of the codes: as a phrase, or a named number close to its name ("Alarm code in v1.1: 9")."""
    return " OR ".join(_near(code) if " " in code else _phrase(" ".join(WORD.findall(code))) for code in codes if WORD.search(code))


def _near(code: str) -> str:
    return f"NEAR({' '.join(map(_phrase, WORD.findall(code)))}, {NEAR_WORDS})"


def _phrase(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
