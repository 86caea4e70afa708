"""Words that stand on opposite sides - max and min, on and off, install and remove - and whether two questions take the same side.

The tables are general English; the words of a line are one side, then the other.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from functools import lru_cache

from surrogates.wording import fold

# Which side is meant must be said by both questions or by neither.
_STRICT_PAIRS = """max maximum maximal highest upper greatest most | min minimum minimal lowest lower least smallest fewest
before prior preceding until | after following afterwards
including | excluding
above exceed exceeds exceeding | below beneath
high | low
inlet intake input incoming | outlet exhaust output outgoing
left lefthand | right righthand
import | export
upload | download
always | never"""

# A question may leave the side out, but not name the other one.
_OPPOSITES = """more | less fewer
higher | lower
faster | slower
longer | shorter
suction | discharge delivery
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
single | double multiple both all"""

_ACTION_PAIRS = """on enable enabled enabling activate activated engage | off disable disabled disabling deactivate deactivated disengage
start starting begin launch | stop stopping end halt quit
open opening | close closing shut
install installing mount fit attach insert assemble | remove removing uninstall dismount detach eject disassemble dismantle
add adding create creating | delete deleting remove removing uninstall erase erasing
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
lift | sink
heat heating | cool cooling
pressurise pressurize | depressurise depressurize
required mandatory | optional
safe | unsafe dangerous"""

# "on" is a state only after such a verb or at the end; elsewhere it is a preposition. "left on" is not the left side.
_SWITCHED_ON = re.compile(r"\b(?:turn|switch|power)\w*(?:\W+\w+){0,4}?\W+on\b|\bon\W*$", re.IGNORECASE)
_LEFT_OVER = re.compile(r"\b(?:be|is|are|was|were|been|have|has|had)\s+left\b|\bleft\s+(?:on|over|in|open)\b", re.IGNORECASE)
# "wired right", "right now", "the right way" name no side
_CORRECT = re.compile(
    r"\bright\b(?=\s*(?:[?.,;:!]|$|way\b|now\b|away\b|after\b|before\b|order\b|size\b|one\b|time\b|value\b|place\b))"
    r"|\b(?:all|wired|set|done|works?|working|working|connected|mounted)\s+right\b",
    re.IGNORECASE,
)
# "fade_end" names a setting
_IDENTIFIER = re.compile(r"\w+_\w+")
# "pull-off distance", "add-on board", "e-stop": part of a name
_COMPOUND = re.compile(r"\b(?!on-off\b)\w+-(?:off|on)\b|\b[a-z]-\w+", re.IGNORECASE)
_PHRASES = (
    ("get rid of", "remove"),
    ("take out", "remove"),
    ("take off", "remove"),
    ("put in", "install"),
    ("turn down", "decrease"),
    ("turn up", "increase"),
    ("shut down", "stop"),
)
# asks for a measure and names no side: "how long", where "how short" does
_MEASURED = re.compile(r"\bhow (?:long|old|high|hot|warm|full|late)\b")
_LISTED = re.compile(r"\bthe following\b", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[/,&]")
_JOINS = frozenset({"or", "and", "vs", "versus", "/", ",", "&"})
APART = 4
"""How far the two sides of "lock or unlock", "import contacts or export them" may stand from each other."""

Tokens = tuple[str, ...]
Pair = tuple[frozenset[str], ...]


def polarity_agrees(question: str, matched: str, evidence: str) -> bool:
    """Neither takes the other side of an antonym pair (on/off, max/min, install/remove, inlet/outlet ..)."""
    asked, known, shown = _tokens(question), _tokens(matched), frozenset(_tokens(evidence))
    said = frozenset((*asked, *known))
    return (
        all(_takes_the_side(pair, asked, known) for pair in _named(_STRICT_PAIRS, said))
        and not any(_is_opposite(pair, asked, known) for pair in _named(_OPPOSITES, said))
        and all(_action_agrees(pair, asked, known, shown) for pair in _named(_ACTION_PAIRS, said))
        and not ("off" in asked and "off" not in known and _says(matched, "on"))
    )


def sides_are_shown(question: str, shown: str) -> bool:
    """Whether a text speaks of the side (maximum, inlet, left, off ..) that a question about it names."""
    asked, said = frozenset(_tokens(question)), frozenset(_tokens(shown))
    pairs = (*_pairs(_STRICT_PAIRS), *_pairs(_OPPOSITES), *_pairs(_ACTION_PAIRS))
    return all(not side & asked or side & said for pair in pairs for side in (pair if pair in _pairs(_STRICT_PAIRS) else pair[1:]))


@dataclass(frozen=True)
class Sides:
    """Where a place of a document speaks of the sides that a question names.

    `said`: its sentence or headings name one of them. `silent`: nothing that is shown names a side. `only_other_shown`: what is shown names
    the other side alone. `unsaid_bound`, `unsaid_undoing`: nowhere is said a side that one does not take for granted (maximum, before,
    inlet), or the undoing of an action (off, remove). `contrary`: sentence or headings name the other side alone.
    """

    said: bool = False
    silent: bool = False
    only_other_shown: bool = False
    unsaid_bound: bool = False
    unsaid_undoing: bool = False
    contrary: bool = False


def sides(question: str, near: str, shown: str) -> Sides:
    """`near` is the sentence with its headings, `shown` all that is shown; a question that names both sides of a pair names none."""
    asked, close, said = (frozenset(_tokens(text)) for text in (_IDENTIFIER.sub(" ", question), near, shown))
    found = [
        _side(pair, table, asked, close, said) for table in (_STRICT_PAIRS, _OPPOSITES, _ACTION_PAIRS) for pair in _named(table, asked)
    ]
    return Sides(*(any(each) for each in zip(*map(astuple, filter(None, found)), strict=True)))


def _side(pair: Pair, table: str, asked: frozenset[str], close: frozenset[str], shown: frozenset[str]) -> Sides | None:
    named = [side for side in pair if side & asked]
    if len(named) != 1:
        return None
    own, other = named[0], frozenset().union(*(side for side in pair if side is not named[0]))
    said, unsaid = bool(own & close), not own & (close | shown)
    return Sides(
        said=said,
        silent=unsaid and not other & (close | shown),
        only_other_shown=unsaid and bool(other & shown),
        unsaid_bound=unsaid and table is _STRICT_PAIRS,
        unsaid_undoing=unsaid and table is _ACTION_PAIRS and own is not pair[0],
        contrary=not said and bool(other & close),
    )


def turned(question: str) -> str | None:
    """The question with its first word that has an opposite replaced by that; None where none has, or both sides are named already.

    >>> turned("What is the maximum pressure?"), turned("How do I lock or unlock the door?")
    ('What is the minimum pressure?', None)
    """
    said = frozenset(_tokens(question))
    for match in re.finditer(r"[A-Za-z][\w-]*", question):
        word = match.group().casefold()
        other = opposite(word) if word in said else None
        if other is not None and other not in said and not _names_both(word, said):
            other = other.capitalize() if match.group()[0].isupper() else other
            return question[: match.start()] + other + question[match.end() :]
    return None


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
def _pairs(table: str) -> tuple[Pair, ...]:
    return tuple(tuple(frozenset(side.split()) for side in line.split("|")) for line in table.splitlines())


def _named(table: str, said: frozenset[str]) -> list[Pair]:
    """The pairs that have a word of these; all others agree by saying nothing."""
    found = {pair: None for word in said for pair in _by_word(table).get(word, ())}
    return list(found)


@lru_cache(maxsize=8)
def _by_word(table: str) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {}
    for pair in _pairs(table):
        for word in frozenset().union(*pair):
            found.setdefault(word, []).append(pair)
    return found


def _names_both(word: str, said: frozenset[str]) -> bool:
    pairs = (pair for table in (_STRICT_PAIRS, _OPPOSITES, _ACTION_PAIRS) for pair in _pairs(table))
    return any(any(word in side for side in pair) and all(side & said for side in pair) for pair in pairs)


def _says(text: str, word: str) -> bool:
    return word in _TOKEN.findall(fold(text))


@lru_cache(maxsize=4096)
def _tokens(text: str) -> Tokens:
    """Words and marks in order; a word that looks like a side and is none is a dash."""
    none = set()
    if not _SWITCHED_ON.search(text):
        none.add("on")
    if _LEFT_OVER.search(text):
        none.add("left")
    if _LISTED.search(text):
        none.add("following")
    if _CORRECT.search(text):
        none.add("right")
    plain = _MEASURED.sub("how", _COMPOUND.sub(" - ", fold(text)))
    for phrase, meaning in _PHRASES:
        plain = re.sub(rf"\b{phrase}\b", meaning, plain)
    return tuple("-" if word in none else word for word in _TOKEN.findall(plain))


def _sides(pair: Pair, said: Tokens) -> tuple[bool, ...]:
    return tuple(not side.isdisjoint(said) for side in pair)


def _takes_the_side(pair: Pair, asked: Tokens, known: Tokens) -> bool:
    """Both on one side, both on none, or the known one offers both: "encrypt or decrypt a card" covers encrypting one."""
    mine, theirs = _sides(pair, asked), _sides(pair, known)
    if not all(theirs):
        return mine == theirs
    return any(mine) and (_are_offered(pair, known) or (all(mine) and _order(pair, asked) == _order(pair, known)))


def _are_offered(pair: Pair, known: Tokens) -> bool:
    """Whether the sides are joined ("on/off", "add, remove or"), and not parts of one thing ("the button that shows .. to hide ..")."""
    places = [[place for place, word in enumerate(known) if word in side] for side in pair]
    spans = (sorted((one, other)) for one in places[0] for other in places[1])
    return any(end - start <= APART and not _JOINS.isdisjoint(_between(known[start + 1 : end])) for start, end in spans)


def _between(words: Tokens) -> Tokens:
    """A comma joins only neighbours: "one side high, one side low" offers no choice."""
    return words if len(words) == 1 else tuple(word for word in words if word != ",")


def _order(pair: Pair, said: Tokens) -> tuple[int, ...]:
    return tuple(next(number for number, side in enumerate(pair) if word in side) for word in said if any(word in side for side in pair))


def _is_opposite(pair: Pair, asked: Tokens, known: Tokens) -> bool:
    return any(_sides(pair, asked)) and any(_sides(pair, known)) and not _takes_the_side(pair, asked, known)


def _action_agrees(pair: Pair, asked: Tokens, known: Tokens, shown: frozenset[str]) -> bool:
    if _takes_the_side(pair, asked, known):
        return True
    (_, asked_undo), (known_do, known_undo) = _sides(pair, asked), _sides(pair, known)
    if asked_undo and not known_undo:
        return not known_do and not pair[1].isdisjoint(shown)
    return not known_undo or (asked_undo and not known_do)
