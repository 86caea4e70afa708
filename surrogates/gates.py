"""Gates that a bank question must pass before its answer may stand for the user's question. They fail closed.

Each gate is a pure predicate over the user's question, the bank's question and the evidence (the answer with the passage it rests
on); `refusal` names the first that says no. Sentence vectors put "max" next to "min" and P200 next to P300, so what must not be
confused is compared word by word here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from surrogates.quantities import signature
from surrogates.wording import Rarity, content, language, words

# Which side is meant must be said by both questions or by neither.
_STRICT_PAIRS = """max maximum maximal highest upper greatest most | min minimum minimal lowest lower least smallest fewest
before prior preceding | after following afterwards
with including | without excluding
above exceed exceeds exceeding | below beneath
more | less fewer
higher | lower
high | low
faster | slower
longer | shorter
inlet intake input incoming | outlet exhaust output outgoing
left lefthand | right righthand
import | export
upload | download
always | never"""

# A question may leave the side out, but not name the other one.
_OPPOSITES = """suction | discharge delivery
front | rear back
top upper | bottom lower
inner inside internal indoor | outer outside external outdoor
hot warm | cold
first | last
primary | secondary
positive | negative
forward clockwise | reverse backward backwards counterclockwise anticlockwise
vertical vertically | horizontal horizontally
new | old
receive receiving incoming | send sending outgoing
parallel | series
manual manually | automatic automatically auto
wired | wireless
early | late
day daily | week weekly | month monthly | year yearly annual annually
normal | abnormal faulty
short | long
male | female
static | dynamic
wet | dry
full | empty
single | double multiple both all every each"""

_ACTION_PAIRS = """on enable enabled enabling activate activated engage | off disable disabled disabling deactivate deactivated disengage
start starting begin launch | stop stopping end halt quit
open opening | close closing shut
install installing mount fit attach insert assemble | remove removing uninstall dismount detach eject disassemble dismantle
add adding create creating | delete deleting remove removing
connect connecting | disconnect disconnecting
increase increasing raise raising grow enlarge | decrease decreasing reduce reducing lower lowering shrink
lock locking tighten tightening fasten | unlock unlocking loosen loosening unfasten
show display unhide | hide
fill filling charge charging load loading | drain draining empty discharge discharging unload unloading
save keep | discard
mute silence | unmute
allow permit accept | forbid prohibit block deny reject refuse
encrypt | decrypt
pass succeed | fail
link pair | unlink unpair
zoom-in | zoom-out
lift | sink
heat heating | cool cooling
pressurise pressurize | depressurise depressurize
required mandatory | optional
safe | unsafe dangerous"""

# What one does with anything, and words that name no component and no special task.
_NAMES_NOTHING = """setup set open check show view see use access manage configure customize customise select choose make need do get
go look allow enable turn switch option feature another done reason kind sort particular example case again instead already currently
happened happening really correctly exactly usually normally properly simply certain various necessary important sign newest best good"""
# "on" is a state only after such a verb or at the end; elsewhere it is a preposition. "left on" is not the left side.
_SWITCHED_ON = re.compile(r"\b(?:turn|switch|power)\w*(?:\W+\w+){0,4}?\W+on\b|\bon\W*$", re.IGNORECASE)
_LEFT_OVER = re.compile(r"\b(?:be|is|are|was|were|been|have|has|had)\s+left\b|\bleft\s+(?:on|over|in|open)\b", re.IGNORECASE)
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


def polarity_agrees(question: str, matched: str, evidence: str) -> bool:
    """Neither takes the other side of an antonym pair (on/off, max/min, install/remove, inlet/outlet ..)."""
    asked, known, shown = _sided(question), _sided(matched), _sided(evidence)
    return (
        all(_takes_the_side(pair, asked, known) for pair in _pairs(_STRICT_PAIRS))
        and not any(_is_opposite(pair, asked, known) for pair in _pairs(_OPPOSITES))
        and all(_action_agrees(pair, asked, known, shown) for pair in _pairs(_ACTION_PAIRS))
    )


def sides_are_shown(question: str, shown: str) -> bool:
    """Whether a text speaks of the side (maximum, inlet, left, off ..) that a question about it names."""
    asked, said = _sided(question), _sided(shown)
    pairs = (*_pairs(_STRICT_PAIRS), *_pairs(_OPPOSITES), *_pairs(_ACTION_PAIRS))
    return all(not side & asked or side & said for pair in pairs for side in (pair if pair in _pairs(_STRICT_PAIRS) else pair[1:]))


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


@lru_cache(maxsize=4096)
def opposite(word: str) -> str | None:
    """A lower-case word that stands on the other side of the first pair with `word`; None when no pair has it.

    >>> opposite("maximum"), opposite("valve")
    ('minimum', None)
    """
    for table in (_STRICT_PAIRS, _OPPOSITES, _ACTION_PAIRS):
        for line in table.splitlines():
            sides = [side.split() for side in line.split("|")]
            for mine, other in zip(sides, [*sides[1:], sides[0]], strict=True):
                if word in mine:
                    return other[min(mine.index(word), len(other) - 1)]
    return None


@lru_cache(maxsize=8)
def _pairs(table: str) -> tuple[tuple[frozenset[str], ...], ...]:
    return tuple(tuple(frozenset(side.split()) for side in line.split("|")) for line in table.splitlines())


def _sides(pair: tuple[frozenset[str], ...], said: frozenset[str]) -> tuple[bool, ...]:
    return tuple(bool(side & said) for side in pair)


@lru_cache(maxsize=4096)
def _sided(text: str) -> frozenset[str]:
    """The words of a text, without those that look like a side and are none."""
    said = set(words(text))
    if not _SWITCHED_ON.search(text):
        said.discard("on")
    if _LEFT_OVER.search(text):
        said.discard("left")
    return frozenset(said)


def _takes_the_side(pair: tuple[frozenset[str], ...], asked: frozenset[str], known: frozenset[str]) -> bool:
    """Both on one side, both on none, or the known one on both: "encrypt or decrypt a card" covers encrypting one."""
    mine, theirs = _sides(pair, asked), _sides(pair, known)
    return mine == theirs or (all(theirs) and any(mine))


def _is_opposite(pair: tuple[frozenset[str], ...], asked: frozenset[str], known: frozenset[str]) -> bool:
    return any(_sides(pair, asked)) and any(_sides(pair, known)) and not _takes_the_side(pair, asked, known)


def _action_agrees(pair: tuple[frozenset[str], ...], asked: frozenset[str], known: frozenset[str], shown: frozenset[str]) -> bool:
    (_, asked_undo), (known_do, known_undo) = _sides(pair, asked), _sides(pair, known)
    if _takes_the_side(pair, asked, known):
        return True
    if asked_undo and not known_undo:
        return not known_do and bool(pair[1] & shown)
    return not known_undo or asked_undo


def _names_something(before: str) -> bool:
    """Whether a noun may stand in `before`; its last word does not count, being the verb that the pronoun belongs to."""
    said = before.split()
    return bool(content(" ".join(said[:-1])) or signature(before).codes)


def _is_negated(text: str) -> bool:
    return any(word in _NEGATIONS or word.endswith("n't") for word in words(text))


def _quantifiers(text: str) -> frozenset[str]:
    spaced = f" {' '.join(words(text))} "
    return frozenset(meaning for phrase, meaning in _QUANTIFIERS.items() if f" {phrase} " in spaced)
