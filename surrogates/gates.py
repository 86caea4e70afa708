"""Gates that a bank question must pass before its answer may stand for the user's question. They fail closed.

Each gate is a pure predicate over the user's question, the bank's question and the evidence (the answer with the passage it rests
on); `refusal` names the first that says no. Sentence vectors put "max" next to "min" and P200 next to P300, so what must not be
confused is compared word by word here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from surrogates.opposites import polarity_agrees
from surrogates.quantities import signature
from surrogates.wording import Rarity, content, language, words

# What one does with anything, and words that name no component and no special task.
_NAMES_NOTHING = """setup set open check show view see use access manage configure customize customise select choose make need do get
go look allow enable turn switch option feature another done reason kind sort particular example case again instead already currently
happened happening really correctly exactly usually normally properly simply certain various necessary important sign newest best good"""
_NEGATIONS = frozenset({"not", "no", "never", "neither", "nor", "cannot", "none", "nothing", "without"})
_QUANTIFIERS = {"only": "only", "except": "except", "unless": "unless", "at least": "at least", "at most": "at most", "up to": "at most"}
_SECOND_QUESTION = re.compile(
    r"\?\s*\S.*\?|;\s*\w+"
    r"|[,;]?\s+(?:and|or)\s+(?:also\s+)?(?:what|how|where|when|why|which|who|whose|is|are|does|do|can|should|will)\b",
    re.IGNORECASE,
)
_EXPLETIVE = re.compile(
    r"\b(?:is|was|would|will|does)\s+it\s+(?:possible|necessary|safe|ok|okay|normal|allowed|required|mean|take|matter|make sense|be)\b"
    r"|\bit\s+(?:is|takes?|means?|possible)\b|\bthat\s+(?:is|are|can|has|have|was|were|do|does)\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"\b(?:it|its|they|them|their|theirs|he|she|him|her|this|that|these|those)\b", re.IGNORECASE)
_POINTED_AT = re.compile(
    r"\b(?:this|that|these|those)\s+(?:error|alarm|code|message|step|one|ones|part|value|setting|option|fault|problem|issue|thing)s?\b(?!\s*[\w-]*\d)",
    re.IGNORECASE,
)
_DETERMINED = re.compile(
    r"\b(?:this|that|these|those)\s+(?!error|alarm|is\b|are\b|do\b|does\b|was\b|in\b|on\b|for\b|work)[a-z]{3,}", re.IGNORECASE
)


@dataclass(frozen=True)
class GateSettings:
    """`distinctive_share`: a word that at most this share of the passages has, and not the evidence, names another component.

    `unexplained_share`: the largest idf-weighted share of the question that neither bank question nor evidence may leave unsaid.
    """

    distinctive_share: float = 0.08
    unexplained_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.unexplained_share <= 1.0:
            raise ValueError(f"unexplained_share is {self.unexplained_share}, expected 0 to 1")


def refusal(question: str, matched: str, evidence: str, rarity: Rarity, settings: GateSettings | None = None) -> str | None:
    """The name of the first gate that keeps `matched` from answering `question`; None when all let it pass.

    `evidence` is the answer, the passage it rests on and its headings in one text.
    """
    verdicts = _verdicts(question, matched, evidence, rarity, settings or GateSettings())
    return next((name for name, passes in verdicts if not passes), None)


def _verdicts(question: str, matched: str, evidence: str, rarity: Rarity, settings: GateSettings) -> Iterator[tuple[str, bool]]:
    yield "numbers", numbers_agree(question, matched)
    yield "codes", codes_agree(question, matched)
    yield "negation", negation_agrees(question, matched)
    yield "polarity", polarity_agrees(question, matched, evidence)
    yield "quantifier", quantifiers_agree(question, matched)
    yield "two questions", is_one_question(question) or not is_one_question(matched)
    yield "pronoun", has_referents(question)
    yield "language", languages_agree(question, matched)
    yield "component", names_same_component(question, matched, evidence, rarity, settings)


def numbers_agree(question: str, matched: str) -> bool:
    """Both name the same quantities, whatever the unit: 2.5 mm is 0.0025 m, 200 bar is not 300 bar."""
    return signature(question).quantities == signature(matched).quantities


def codes_agree(question: str, matched: str) -> bool:
    """Both name the same codes, part numbers and models: E-17 is E17, P200 is not P300."""
    return signature(question).codes == signature(matched).codes


def negation_agrees(question: str, matched: str) -> bool:
    """Both deny or neither does."""
    return _is_negated(question) == _is_negated(matched)


def quantifiers_agree(question: str, matched: str) -> bool:
    """Both limit in the same words: only, except, unless, at least, at most."""
    return _quantifiers(question) == _quantifiers(matched)


def is_one_question(question: str) -> bool:
    """Whether it asks one thing: no second question mark, no "and how ..", no semicolon that goes on."""
    return _SECOND_QUESTION.search(question) is None


def has_referents(question: str) -> bool:
    """Whether each pronoun has something before it in the question to stand for."""
    if _POINTED_AT.search(question):
        return False
    bare = _DETERMINED.sub(" one ", _EXPLETIVE.sub(" ", question))
    return all(_names_something(bare[: match.start()]) for match in _PRONOUN.finditer(bare))


def languages_agree(question: str, matched: str) -> bool:
    """False when both show their language and it differs, or the question's script is another."""
    asked, known = language(question), language(matched)
    return asked is None or known is None or asked == known


def names_same_component(question: str, matched: str, evidence: str, rarity: Rarity, settings: GateSettings) -> bool:
    """Whether what the question names is named by the bank question or its evidence.

    A weighty word that the library uses elsewhere but not here names another component; too many words said nowhere
    here mean another subject. A single word that the library does not know at all may be the asker's own word for it.
    """
    asked, here = content(question), content(matched) | content(evidence)
    elsewhere = [word for word in asked - here - content(_NAMES_NOTHING) if rarity.sets_apart(word, settings.distinctive_share)]
    return not elsewhere and 1.0 - rarity.share(asked, here) <= settings.unexplained_share


def _names_something(before: str) -> bool:
    """Whether a noun may stand in `before`; its last word does not count, being the verb that the pronoun belongs to."""
    said = before.split()
    return bool(content(" ".join(said[:-1])) or signature(before).codes)


def _is_negated(text: str) -> bool:
    return any(word in _NEGATIONS or word.endswith("n't") for word in words(text))


def _quantifiers(text: str) -> frozenset[str]:
    spaced = f" {' '.join(words(text))} "
    return frozenset(meaning for phrase, meaning in _QUANTIFIERS.items() if f" {phrase} " in spaced)
