"""From the headings of manuals to the task that they name: "Replacing the filter" and "Replace the filter" are "replace the filter"."""

from __future__ import annotations

from itertools import pairwise

# Verbs that manuals put at the head of a section, in their plain form.
_PLAIN = """
access activate add adjust align allow answer apply arrange assemble assign attach back balance block boot build bypass calculate
calibrate call cancel change charge check choose clean clear close collect commission compare complete compile configure confirm
connect control convert copy create customize customise cut deactivate decommission decrease delete deliver deploy detect
determine diagnose disable disassemble discharge disconnect dismantle dispose download drain draw drive edit eject empty enable
encrypt decrypt enter erase estimate exchange export extend fasten fill filter find fit fix flash flush format generate get grease
ground handle heat hide hold home identify import improve increase initialise initialize insert inspect install invert isolate
join jog keep launch level lift link load locate lock log loosen lower lubricate maintain make manage measure merge migrate modify
monitor mount move mute name navigate obtain open operate optimise optimize order organise organize pack pair park pause perform
place plan position power prepare press prevent print probe program protect purge raise read rebuild receive recharge reclaim
recognise recognize record recover recycle reduce refill refit register release reload relocate remove rename repair replace
report request reset resize resolve restart restore resume retrieve retry return review rotate run save scan schedule search
secure select send separate service set setup share shut silence solve sort specify start stop store straighten submit supply
switch swap synchronise synchronize take teach test tighten top track train transfer transport trim troubleshoot tune turn type
unblock uninstall unload unlock unmount unpack update upgrade upload use validate vent verify view warm wash wire withdraw write
zero zoom"""
PLAIN_VERBS = frozenset(_PLAIN.split())
# Names as often as verbs at the head of a section: a task only before a word that leads to an object ("Place the pump").
_ALSO = """
back balance block boot build call charge check control cut display drive exchange filter fit format grease ground handle heat
hold home level lift link load lock log mount name order pack park pause place plan position power probe program purge record
release report request reset resume return review save scan schedule service shut store supply switch swap test top track train
transfer transport tune turn type update upgrade wire zero zoom"""
_ALSO_NAMES = frozenset(_ALSO.split())
_LEADS_TO_OBJECT = frozenset({"the", "a", "an", "your", "all", "each", "to", "or", "and", "in", "on", "off", "out", "up", "from", "new"})
# After an "-ing" these make a name: filling pressure, operating temperature.
_PROPERTY = """pressure temperature time speed range height width length depth position point mode current voltage power force torque rate
frequency interval unit system panel plate bracket bolt screw ring table bench wheel tool tools line lines valve pump fan fluid water oil
distance angle area condition conditions hours instructions manual principle procedure"""
_PROPERTIES = frozenset(_PROPERTY.split())


def plain_form(word: str) -> str | None:
    """The plain verb of a lower-case word at the head of a task, None when it is no verb that manuals use so.

    >>> plain_form("replacing"), plain_form("setting"), plain_form("ceiling")
    ('replace', 'set', None)
    """
    if word in PLAIN_VERBS:
        return word
    if not word.endswith("ing"):
        return None
    root = word[:-3]
    forms = [root, root + "e", root[:-1] if root[-1:] == root[-2:-1] else root]
    return next((form for form in forms if form in PLAIN_VERBS), None)


def task(heading: str) -> str | None:
    """What one does in a section with this heading, lower case at its start: "Removing or adding a card" -> "remove or add a card"."""
    words = heading.split()
    if len(words) < 2:
        return None
    verb = plain_form(words[0].casefold())
    if verb is None or (words[0].casefold() in _ALSO_NAMES and words[1].casefold() not in _LEADS_TO_OBJECT):
        return None
    if words[0].casefold() != verb and words[1].casefold() in _PROPERTIES:
        return None
    rest = [_also_verb(word, before) for before, word in pairwise(words)]
    return " ".join([verb, *rest])


def _also_verb(word: str, before: str) -> str:
    joined = before.casefold() in ("or", "and", "&") or before.endswith(",")
    return (plain_form(word.casefold()) or word) if joined else word
