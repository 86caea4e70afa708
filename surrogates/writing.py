"""Questions that the engine writes about a passage: a few-shot prompt with invented examples, and the reading of what comes back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.request import Request, Segment

if TYPE_CHECKING:
    from kb.records import Passage

PROMPT_VERSION = "questions-1"
PASSAGE_CHARACTERS = 1_200
MAX_TOKENS = 90
# Two invented passages, from no manual, one that tells how and one that gives values.
EXAMPLES = """Text: Coffee machine > Descaling
The machine asks for descaling after about 200 cups. Fill the tank with one litre of water and the descaling liquid, press and hold \
the cup key for five seconds, and wait until the lamp goes out. Rinse the tank twice afterwards.
Three questions that this text answers:
1. How do I descale the coffee machine?
2. After how many cups does the coffee machine have to be descaled?
3. What do I have to do with the tank after descaling?

Text: Garden gate > Motor
The motor of the gate runs on 24 V and opens the gate in 12 seconds. If something blocks the gate, the motor stops and the gate goes \
back. The gate can be unlocked by hand with the key below the cover when the power fails.
Three questions that this text answers:
1. How can I open the gate by hand when there is no power?
2. What voltage does the gate motor need?
3. What happens if something is in the way of the gate?

"""
_NUMBERED = re.compile(r"^\s*\d[.)]\s*(?P<question>.+?\?)", re.MULTILINE)


def request(passage: Passage) -> Request:
    """Ask for three questions that the passage answers; greedy, so that a run can be repeated."""
    text = passage.text[:PASSAGE_CHARACTERS]
    asked = f"Text: {' > '.join(passage.heading[-2:])}\n{text}\nThree questions that this text answers:\n1."
    return Request((Segment(EXAMPLES, cache_key=PROMPT_VERSION), Segment(asked)), max_tokens=MAX_TOKENS, stop=("\n\n", "\nText:", "\n4."))


def questions(text: str) -> list[str]:
    """The questions in what the engine wrote after "1."; an unfinished last one is left out."""
    begun = text if re.match(r"\s*1[.)]", text) else f"1. {text}"  # a chat model numbers the first one again
    found = [" ".join(match.group("question").split()) for match in _NUMBERED.finditer(begun)]
    return list(dict.fromkeys(question.strip(" \"'") for question in found))
