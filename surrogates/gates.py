"""Gates that a bank question must pass before its answer may stand for the user's question. They fail closed.

Each gate is a pure predicate over the user's question, the bank's question and the evidence (the answer with the passage it rests
on); `refusal` names the first that says no. Sentence vectors put "max" next to "min" and P200 next to P300, so what must not be
confused is compared word by word here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from surrogates.opposites import polarity_agrees, sides
from surrogates.quantities import SPELLED_WORD, codes, signature
from surrogates.units import is_row
from surrogates.wording import Rarity, content, language, stem, words

# What one does with anything, and words that name no component and no special task.
_NAMES_NOTHING = """setup set open check show view see use access manage configure customize customise select choose make need do get
go look allow enable turn switch option feature another done reason kind sort particular example case again instead already currently
happened happening really correctly exactly usually normally properly simply certain various necessary important sign newest best good"""
_NEGATIONS = frozenset({"not", "no", "never", "neither", "nor", "cannot", "none", "nothing", "without"})
# "can't" without its apostrophe, as people type it
_UNMARKED = frozenset("cant wont dont doesnt didnt isnt arent wasnt hasnt havent couldnt shouldnt wouldnt".split())  # noqa: SIM905
# "it fails" says what "it does not work" says
_FAILURES = frozenset("fail fails failed failing unable impossible refuses wrong broken faulty defective incorrect inaccurate".split())  # noqa: SIM905
_QUANTIFIERS = {
    "only": "only", "except": "except", "unless": "unless", "exactly": "exactly", "neither": "neither", "half": "half", "twice": "twice",
    "at least": "at least", "no less than": "at least", "not less than": "at least", "no fewer than": "at least",
    "at most": "at most", "up to": "at most", "no more than": "at most", "not more than": "at most",
    "more than": "more than", "over": "more than", "greater than": "more than", "higher than": "more than", "longer than": "more than",
    "less than": "less than", "under": "less than", "fewer than": "less than", "lower than": "less than", "shorter than": "less than",
}  # fmt: skip
# these bound a number, elsewhere they are places: "over 40 bar", "over the belt"
_BEFORE_NUMBERS = frozenset({"over", "under", "up to", "half", "twice"})
# letters that name one of several: the X axis, type B, Mark II; "a" and "i" are words
_DESIGNATORS = frozenset("bcdefghjklmnopqrstuvwxyz") | frozenset("ii iii iv vi vii viii ix xi xii".split())  # noqa: SIM905
# said of a place only where the question bounds a number: "only", "unless" and "exactly" are as often part of what is described
_UNSAID = frozenset({"only", "unless", "exactly"})
# "ctrl-c", "e-motor", "-p": no letter that names one of several
_PREFIXED = re.compile(r"\b\w+-[a-z]\b|\b[a-z]-\w+|(?<!\w)-[a-z]\b", re.IGNORECASE)
# asks what is not so, or must not be; "the pump does not start" tells a fault
_ORDER_NUMBER = re.compile(
    r"\b(?:(?:spare |replacement )?parts?|order(?:ing)?|article|item|catalog(?:ue)?|stock)[ -]?(?:no\b\.?|numbers?\b|codes?\b|id\b)",
    re.IGNORECASE,
)
_DENYING = re.compile(
    r"^\W*(?:how|when|what|which|where|who)\b(?:\s+\w+){0,3}?\s+(?:do|does|did|must|should|may|can|could|is|are|was|were|will|would|has|have)"
    r"(?:n['’]?t\b|(?:\s+[\w-]+){0,3}?\s+(?:not|never|no)\b)"  # noqa: RUF001
    r"|\b(?:must|should|may|shall)(?:n['’]?t\b|\s+(?:i |you |we |it |the \w+ )?(?:not|never)\b)",  # noqa: RUF001
    re.IGNORECASE,
)
_LATIN = re.compile(r"\b(?:e\.\s?g|i\.\s?e)\b\.?", re.IGNORECASE)
_MEASURED = re.compile(r"\d\s?[A-Za-zµΩ°]{1,2}(?:/[a-z]{1,3})?\b")
_HYPHENATED = re.compile(r"\b[^\W\d_]+(?:-[^\W\d_]+)+\b")
_SECOND_QUESTION = re.compile(
    r"\?\s*\S.*\?|;\s*\w+"
    r"|[,;]?\s+(?:and|or)\s+(?:also\s+)?(?:what|how|where|when|why|which|who|whose|is|are|does|do|can|should|will)\b",
    re.IGNORECASE,
)
_EXPLETIVE = re.compile(
    r"\b(?:is|was|would|will|does)\s+it\s+(?:possible|necessary|safe|ok|okay|normal|allowed|permitted|required|advisable|mean|take|matter"
    r"|make sense|be|worth|bad|fine|a\s+(?:good\s+idea|bad\s+idea|problem))\b"
    r"|\bit\s+(?:is|takes?|means?|possible)\b|\bthat\s+(?:is|are|can|has|have|was|were|do|does|i|you|we|the|there|works)\b",
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
_SUBJECT = re.compile(
    r"\b(?:do|does|did|can|could|will|would|must|should|may|is|are|was|were|has|have|why|when|where|how)\s+(?:it|they)\b"
    r"|^\W*(?:it|they)\b|\b(?:wont|won['’]t)\s+it\b",  # noqa: RUF001
    re.IGNORECASE,
)
NAMED_BESIDES = 3
"""Words that a question about "it" must name besides, so that a place can be told from others."""

Likeness = Callable[[str, str], float]
"""How near in meaning two texts are: a cosine of sentence vectors."""


@dataclass(frozen=True)
class GateSettings:
    """`distinctive_share`: a word that at most this share of the passages has, and not the evidence, names another component.

    `idle_from`, `vital_below`: cosine of the question with itself without a word, from which on the word names nothing, and below which
    it names what the question is about, however common it is in the library.
    `unexplained_share`: the largest idf-weighted share of the question that neither bank question nor evidence may leave unsaid.
    """

    distinctive_share: float = 0.08
    idle_from: float = 0.93
    vital_below: float = 0.8
    unexplained_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.unexplained_share <= 1.0:
            raise ValueError(f"unexplained_share is {self.unexplained_share}, expected 0 to 1")


def refusal(
    question: str, matched: str, evidence: str, rarity: Rarity, settings: GateSettings | None = None, likeness: Likeness | None = None
) -> str | None:
    """The name of the first gate that keeps `matched` from answering `question`; None when all let it pass.

    `evidence` is the answer, the passage it rests on and its headings in one text. `likeness` is asked only about a question that every
    other gate lets pass; without it, every word that the library uses elsewhere and not here names something.
    """
    verdicts = _verdicts(question, matched, evidence, rarity, settings or GateSettings(), likeness)
    return next((name for name, passes in verdicts if not passes), None)


def _verdicts(
    question: str, matched: str, evidence: str, rarity: Rarity, settings: GateSettings, likeness: Likeness | None
) -> Iterator[tuple[str, bool]]:
    yield "numbers", numbers_agree(question, matched)
    yield "codes", codes_agree(question, matched)
    yield "letters", letters_agree(question, matched)
    yield "negation", negation_agrees(question, matched)
    yield "polarity", polarity_agrees(question, matched, evidence)
    yield "quantifier", quantifiers_agree(question, matched)
    yield "two questions", is_one_question(question) or not is_one_question(matched)
    yield "pronoun", has_referents(question)
    yield "language", languages_agree(question, matched)
    yield "component", names_same_component(question, matched, evidence, rarity, settings, likeness)


def refusal_of_place(question: str, heading: str, unit: str, text: str) -> str | None:
    """The name of the first gate that keeps a place of a document from answering; None when all let it pass.

    `unit` is the sentence, item or row that answers, `heading` its headings, `text` what is shown with it. What the question names exactly
    must be said there; unlike a bank question, a place may say more than was asked.
    """
    verdicts = _place_verdicts(question, heading, unit, text)
    return next((name for name, passes in verdicts if not passes), None)


def _place_verdicts(question: str, heading: str, unit: str, text: str) -> Iterator[tuple[str, bool]]:
    near, said = f"{heading}\n{unit}", f"{heading}\n{text}"
    asked, held = signature(_without_spelled_numbers(question)), signature(near)
    yield "numbers", all(quantity in held.quantities or _is_written(quantity, unit) for quantity in asked.quantities)
    yield (
        "codes",
        all(any(code == other or code in other.split("/") for other in held.codes) or _is_spelled(code, near) for code in asked.codes),
    )
    yield "part", names_the_part(question, heading, unit)
    yield "letters", all(_stands_alone(letter, said) for letter in _letters(_PREFIXED.sub(" ", question), said))
    yield "negation", not _DENYING.search(question) or denies(near)
    yield "polarity", not sides(question, near, said).contrary
    yield "quantifier", frozenset(_quantifiers(question)) - _UNSAID <= frozenset(_quantifiers(near))
    yield "two questions", is_one_question(question)
    yield "pronoun", has_referents(question) or _speaks_of_the_product(question)
    yield "language", languages_agree(question, said)


def names_the_part(question: str, heading: str, unit: str) -> bool:
    """Whether a place that is asked for an order number says at least one word of the part: the number of another part is worse than none.

    >>> names_the_part("order number of the suction strainer", "Spare parts", "Part: Spring; No.: 4-1140")
    False
    """
    named_exactly = codes(question)
    words_asked = content(_ORDER_NUMBER.sub(" ", question))
    wanted = {word for word in words_asked if not any(code.startswith(word) for code in named_exactly)}
    named = content(unit if is_row(unit) else f"{heading}\n{unit}")
    return not _ORDER_NUMBER.search(question) or not wanted or bool(wanted & named)


def _is_written(quantity: str, unit: str) -> bool:
    """Whether a plain number stands in a name or before a unit that the question leaves out: pin-14, #5399, 24V, 8-bit."""
    dimension, value = quantity.split(" ")
    return dimension == "plain" and re.search(rf"(?<![\w.,]){re.escape(value)}(?!\d|[.,]\d)", unit) is not None


def _is_spelled(code: str, near: str) -> bool:
    """Whether a code stands in a longer name or with other joints: wsg50 in ipa325_wsg50, RC008T-2 in STK600-RC008T-2, 2 H."""
    parts = re.findall(r"\d+|[^\W\d_]+|[^\w\s]+", code)
    joined = r"[-_ .]?".join(map(re.escape, parts))
    return re.search(rf"(?<![^\W_]){joined}(?![^\W_]|\.\d)", near, re.IGNORECASE) is not None


def _stands_alone(letter: str, said: str) -> bool:
    """Whether a letter that names one of several stands in a text, with a number or a joint behind it or without: X, F10, E-axis."""
    return re.search(rf"(?<![^\W\d_]){letter}(?![^\W\d_])", said, re.IGNORECASE) is not None


def _speaks_of_the_product(question: str) -> bool:
    """Whether its only pronouns are subjects ("where does it keep settings") and it names enough else: a manual is about one thing."""
    rest = _SUBJECT.sub(" ", question)
    return rest != question and has_referents(rest) and len(content(rest)) >= NAMED_BESIDES


def refusal_of_twin(question: str, known: str, said: str, rarity: Rarity, likeness: Likeness | None = None) -> str | None:
    """The first gate that tells a question from one of the bank that it nearly repeats word for word; None when they mean the same.

    So near, what differs is what matters: every word that the library knows must be said by the bank's question or at its place, `said`,
    unless it is a single one without which the question means the same, or that only narrows it: whether the place answers that is the
    reader's to judge. Numbers, codes and letters are `refusal_of_place`'s to compare.
    """
    side = sides(question, known, f"{known}\n{said}")
    verdicts: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("negation", lambda: negation_agrees(question, known)),
        ("polarity", lambda: not side.contrary and not side.unsaid_bound),
        ("quantifier", lambda: quantifiers_agree(question, known)),
        ("component", lambda: not _names_another(question, known, said, rarity, likeness)),
    )
    return next((name for name, passes in verdicts if not passes()), None)


def _names_another(question: str, known: str, said: str, rarity: Rarity, likeness: Likeness | None) -> bool:
    unsaid = content(question) - content(_NAMES_NOTHING) - content(known) - content(said) - _joined(f"{known} {said}")
    weighty = [word for word in unsaid if rarity.knows(word)]
    if len(weighty) != 1 or likeness is None:
        return bool(weighty)
    narrows = content(known) - content(_NAMES_NOTHING) <= content(question)
    return not narrows and likeness(question, without(question, weighty[0])) < GateSettings().idle_from


def _without_spelled_numbers(question: str) -> str:
    """ "Two printers on one computer" names no quantity that a document would have to repeat."""
    return SPELLED_WORD.sub(" ", question)


def numbers_agree(question: str, matched: str) -> bool:
    """Both name the same quantities, whatever the unit: 2.5 mm is 0.0025 m, 200 bar is not 300 bar."""
    return signature(question).quantities == signature(matched).quantities


def codes_agree(question: str, matched: str) -> bool:
    """Both name the same codes, part numbers and models: E-17 is E17, P200 is not P300; M109/M190 covers either."""
    asked, known = signature(question).codes, signature(matched).codes
    return asked == known or (bool(asked) and any(asked < frozenset(code.split("/")) and known == {code} for code in known))


def letters_agree(question: str, matched: str) -> bool:
    """Both name the same letter where letters tell things apart: the X axis is not the Y axis, Mark II is not Mark III.

    A bank question that names several ("X, Y and Z") covers each; "e-stop" and "estop" are one.
    """
    asked, known = _letters(question, matched), _letters(matched, question)
    return asked == known or (bool(asked) and frozenset(asked) < frozenset(known) <= _listed(matched))


def says_the_same(question: str, matched: str) -> bool:
    """Both name, limit and deny the same in the same words, but for those that carry grammar."""
    agree = (numbers_agree, codes_agree, letters_agree, negation_agrees, quantifiers_agree)
    return (
        content(question) == content(matched) and all(gate(question, matched) for gate in agree) and polarity_agrees(question, matched, "")
    )


def negation_agrees(question: str, matched: str) -> bool:
    """Both deny or neither does; what fails is what does not work."""
    asked, known = _denials(question), _denials(matched)
    return asked == known or {asked, known} == {(1, False), (0, True)}


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


def names_same_component(
    question: str, matched: str, evidence: str, rarity: Rarity, settings: GateSettings, likeness: Likeness | None = None
) -> bool:
    """Whether what the question names is named by the bank question or its evidence.

    A weighty word that the library uses elsewhere but not here names another component, unless the question means the same without it
    ("put the mark on", "together with"); so does a common word without which the question means another thing. Too many words said
    nowhere here mean another subject. A single word that the library does not know at all may be the asker's own word for it.
    """
    here = content(matched) | content(evidence) | _joined(f"{matched} {evidence}")
    asked = content(question) - content(_NAMES_NOTHING) - _pieces(question, here)
    weights = {word: likeness(question, without(question, word)) for word in asked - here} if likeness else {}
    idle = frozenset(word for word, alike in weights.items() if alike >= settings.idle_from)
    elsewhere = [word for word in asked - here - idle if rarity.sets_apart(word, settings.distinctive_share)]
    vital = [word for word, alike in weights.items() if alike < settings.vital_below and rarity.knows(word)]
    return not elsewhere and not vital and 1.0 - rarity.share(asked - idle, here) <= settings.unexplained_share


def without(question: str, word: str) -> str:
    """The question without the words of one stem.

    >>> without("Where do I put the mark?", "mark")
    'Where do I put the'
    """
    return " ".join(said for said in question.split() if word not in content(said))


def _joined(text: str) -> frozenset[str]:
    """Stems of hyphenated words written as one: "BL-Touch" is "bltouch"."""
    return frozenset(stem("".join(words(part))) for part in _HYPHENATED.findall(text))


def _pieces(question: str, here: frozenset[str]) -> frozenset[str]:
    """What the question writes in pieces and the evidence as one word."""
    return frozenset(word for part in _HYPHENATED.findall(question) if _joined(part) <= here for word in content(part))


def _listed(text: str) -> frozenset[str]:
    """Letters that stand beside another one: "X, Y and Z"."""
    said = [word for word in words(text) if word not in ("and", "or")]
    return frozenset(letter for pair in pairwise(said) if _DESIGNATORS.issuperset(pair) for letter in pair)


def _names_something(before: str) -> bool:
    """Whether a noun may stand in `before`; its last word does not count, being the verb that the pronoun belongs to."""
    said = before.split()
    return bool(content(" ".join(said[:-1])) or signature(before).codes)


def denies(text: str) -> bool:
    """Whether it denies something, or speaks of failing."""
    times, fails = _denials(text)
    return times > 0 or fails


def _denials(text: str) -> tuple[int, bool]:
    """How often it denies in words, and whether it speaks of failing."""
    said = words(text)
    return sum(word in _NEGATIONS or word in _UNMARKED or word.endswith("n't") for word in said), not _FAILURES.isdisjoint(said)


@lru_cache(maxsize=4096)
def _quantifiers(text: str) -> tuple[str, ...]:
    """Meanings of the bounds that a text sets, sorted, as often as it sets them."""
    rest, found = f" {' '.join(words(text))} ", []
    for phrase in sorted(_QUANTIFIERS, key=len, reverse=True):
        follows = r"(?=\d)" if phrase in _BEFORE_NUMBERS else ""
        rest, times = re.subn(rf" {phrase} {follows}", " ", rest)
        found += [_QUANTIFIERS[phrase]] * times
    return tuple(sorted(found))


@lru_cache(maxsize=4096)
def _letters(text: str, other: str) -> tuple[str, ...]:
    """Standing letters and Roman numbers that name one of several, sorted; not units ("5 V"), nor what `other` spells as one word."""
    said = words(_MEASURED.sub(" ", _LATIN.sub(" ", text.replace("'", "").replace("\u2019", ""))))
    together = frozenset(words(other))
    follows = [*said[1:], ""]
    return tuple(sorted(word for word, after in zip(said, follows, strict=True) if word in _DESIGNATORS and word + after not in together))
