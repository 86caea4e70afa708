"""What a question is about: its content words, how rare each is in the library, and the language it is in."""

from __future__ import annotations

import math
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from surrogates.quantities import codes

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# Words that carry the grammar of an English question; what is left names things and actions.
_FUNCTION_WORDS = """
a about above after again against all also am an and any anything are aren't as at be because been before being below between both
but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each either else ever every explain
describe few find for from further get gets getting give go goes going got had has have having he her here hers him his how i i'd
i'll i'm i've if in into is isn't it it's its itself just know let let's like made make makes many may me mean means meaning meant
might more most much must my myself need needs neither no nor not now of off ok okay on once one only onto or other our out over
own per please possible same shall she should so some something still such tell than that that's the their them then there these
they thing things this those through thus to too under until up upon us use used uses using very want was way we well were what
what's when where where's which while who whom whose why will with within without won't would yes yet you your yours happen
happens work works able
"""
_ENGLISH = "the is are what how do does can i to of in for my with when where which who why and a an should"
# The most frequent words of other languages, enough to tell a question's language; folded as `words` folds them.
_FOREIGN = {
    "de": "der die das und ist ein eine einen wie wird werden nicht mit auf fur ich kann von zu den dem im wo warum welche wenn beim",
    "fr": "le les des est une comment pour dans avec je puis quel quelle ou sur pas que qui du et la pourquoi quand",
    "es": "el los las es una como para con puedo que cual donde del por se la y cuando esta",
    "it": "il gli e una come per con posso che quale dove della del di la quando perche sono",
    "nl": "het een van hoe wat ik voor met niet kan de waar waarom welke wanneer zijn dit",
    "pt": "o os uma como para com posso que qual onde do da nao em e quando esta",
}
_VOCABULARIES = {name: frozenset(text.split()) for name, text in (("en", _ENGLISH), *_FOREIGN.items())}
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The English stem of one lower-case word: "pumps" and "pumping" are both "pump"."""
    return str(_stemmer().stemWord(word))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import snowballstemmer  # type: ignore[import-untyped]

    return snowballstemmer.stemmer("english")


def fold(text: str) -> str:
    """Lower case without diacritics and with plain apostrophes, as the full-text index sees it."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
    return "".join(character for character in decomposed if not unicodedata.combining(character)).lower()


def words(text: str) -> list[str]:
    """Every word in order, folded."""
    return WORD.findall(fold(text))


@lru_cache(maxsize=16384)
def content(text: str) -> frozenset[str]:
    """Stems of the words that name things and actions, and codes in one spelling ("E-17" is "e17"); numbers are left to `quantities`."""
    return frozenset(filter(None, map(_named, words(text)))) | codes(text)


@lru_cache(maxsize=65536)
def _named(word: str) -> str:
    """The stem of a word that names something, else nothing."""
    bare = "" if word in FUNCTION_WORDS else word.removesuffix("'s")
    return stem(bare) if len(bare) > 1 and not any(character.isdigit() for character in bare) else ""


@lru_cache(maxsize=4096)
def language(text: str) -> str | None:
    """The language that function words of `text` speak for ("en", "de" ..), "other script" if it is not Latin, None if unclear.

    It takes two: the same word again and single letters say nothing: a table may be full of "per", "Y" and "DEM".
    """
    letters = [character for character in text if character.isalpha()]
    if letters and sum(character > "\u024f" for character in letters) > len(letters) / 2:
        return "other script"
    said = {word for word in words(text) if len(word) > 1}
    counts = {name: len(said & vocabulary) for name, vocabulary in _VOCABULARIES.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] >= 2 else None


@dataclass(frozen=True)
class Rarity:
    """How much a word distinguishes: inverse document frequency over the library's passages, by stem."""

    passages: int
    frequency: Counter[str] = field(repr=False)
    _weights: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Rarity:
        """Count the stems of each text once."""
        frequency: Counter[str] = Counter()
        total = 0
        for text in texts:
            frequency.update(content(text))
            total += 1
        return cls(total, frequency)

    @classmethod
    def of_library(cls, connection: sqlite3.Connection) -> Rarity:
        """Count from the full-text index, which has counted every passage and its headings already."""
        connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.passage_words USING fts5vocab('main', 'passages_fts', 'row')")
        total = int(connection.execute("SELECT count(*) FROM passages").fetchone()[0])
        frequency: Counter[str] = Counter()
        for word, passages in connection.execute("SELECT term, doc FROM passage_words"):
            frequency[stem(word)] += passages
        return cls(total, Counter({word: min(count, total) for word, count in frequency.items()}))

    def idf(self, word: str) -> float:
        """ln((n + 1) / (df + 0.5)), at least 0.1; a word that the library lacks weighs most."""
        if word not in self._weights:
            self._weights[word] = max(0.1, math.log((self.passages + 1) / (self.frequency.get(word, 0) + 0.5)))
        return self._weights[word]

    def knows(self, word: str) -> bool:
        """Whether any passage has the word."""
        return word in self.frequency

    def sets_apart(self, word: str, share: float) -> bool:
        """Whether the library has the word, but in at most `share` of its passages."""
        return 0 < self.frequency.get(word, 0) <= max(1.0, share * self.passages)

    def share(self, wanted: frozenset[str], present: frozenset[str]) -> float:
        """How much of `wanted`, weighed by idf, is `present`: 0..1, and 1 when nothing is wanted."""
        total = sum(self.idf(word) for word in wanted)
        return 1.0 if total == 0 else sum(self.idf(word) for word in wanted & present) / total
