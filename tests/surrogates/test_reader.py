"""Answers read in the passages of the live search: what is shown, and what must keep them back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.request import Generation, Request
from kb.library import Library
from surrogates import bank, gates, interaction, reader, reader_weights, teaching
from surrogates.pairs import Pair, Quote
from surrogates.prediction import Prediction
from surrogates.reader import HEAD_NAMES, distinct
from surrogates.surrogate import Surrogate
from surrogates.unit_features import NAMES
from surrogates.wording import Rarity

Add = Callable[[str, str], int]
PRESS = """# Press

## Pressures

The working pressure is 180 bar. The relief valve opens at 200 bar.

## Alarms

| Code | Meaning |
|---|---|
| E-17 | Oil level low. Fill up to the mark. |
| E-18 | Guard open. Close the guard. |
"""


def silent(request: Request) -> Generation:
    return Generation("", 0, 0, "stop", 0.0, 0.0, 0.0, 0.0, 0.0, 0, "exact")


def ask(library: Library, question: str) -> Prediction | None:
    return Surrogate(library).predict(question, library.search(question))


def test_the_weights_fit_the_features() -> None:
    weights = reader_weights.fitted()
    assert weights.ranker.shape == (len(NAMES),)
    assert weights.head.weights.shape == (len(HEAD_NAMES),)
    assert weights.plain.weights.shape == (len(HEAD_NAMES) - 1,)
    assert weights.verifier.tensors["middle"].shape == (2 * len(NAMES),)


def test_a_question_in_keywords_is_answered_from_its_passage(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    found = ask(word_library, "relief valve opens at")
    assert found is not None
    assert found.refused_by is None
    assert "200 bar" in found.text


@pytest.mark.parametrize(
    ("question", "unit", "expected"),
    [
        ("relief valve opening pressure", "The relief valve opens at 200 bar.", {"kind": 0, "exact": 0, "inexact": 0, "keyed": 0}),
        ("at how many bar does the relief valve open", "The relief valve opens at 200 bar.", {"kind": 1, "exact": 0, "inexact": 0}),
        ("what does E-17 mean", "Oil level low.", {"exact": 1, "inexact": 0, "keyed": 1}),
        ("what does E-17 mean", "Guard open.", {"exact": 0, "inexact": 1, "keyed": 0}),
        ("E-17 at 180 bar", "The working pressure is 180 bar.", {"exact": 0.5, "inexact": 0, "keyed": 0}),
    ],
)
def test_what_a_question_wants_exactly_is_looked_for_in_each_unit(
    word_library: Library, add: Add, question: str, unit: str, expected: dict[str, float]
) -> None:
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    reading = Surrogate(word_library).reading(question, word_library.search(question))
    assert reading is not None
    place = next(place for place in reading.places if unit in place.unit)
    assert {name: place.features[NAMES.index(name)] for name in expected} == expected


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("what does alarm E-17 mean", "Code: E-17"),
        ("E-17", "Code: E-17"),
        ("the screen shows error e17", "Code: E-17"),
        ("which parts of the barrel are E-17 and E-18 mixed up for", "E-17 is the temperature"),
    ],
)
def test_a_question_about_a_code_alone_is_answered_with_its_row(word_library: Library, add: Add, question: str, first: str) -> None:
    add("press.md", PRESS)
    add(
        "mixed.md",
        "# Barrel\n\n## Mixed up alarms\n\nE-17 is the temperature alarm of the nozzle, E-18 the alarm of a zone of the barrel.\n",
    )
    teaching.teach(word_library, silent)
    reading = Surrogate(word_library).reading(question, word_library.search(question))
    assert reading is not None
    ranked = reading.quotes()
    assert ranked[0].text.startswith(first)
    assert {(quote.passage.id, quote.start) for quote in ranked} == {(place.passage.id, place.span.start) for place in reading.places}


def test_a_row_is_shown_whole_and_alone(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    found = ask(word_library, "E-17 oil level")
    assert found is not None
    assert "Fill up to the mark." in found.text
    assert "E-18" not in found.text


def test_an_option_is_shown_with_what_leads_to_the_list_and_without_its_neighbours(word_library: Library, add: Add) -> None:
    add(
        "display.md",
        "# Display\n\n## Notes view\n\nNotes are listed by group. Open the drawer for these views:\n\n"
        "Archive: Keep finished notes out of the way.\n\nTrash: View deleted notes for up to 15 days.\n\nShared: Notes that others see.\n",
    )
    teaching.teach(word_library, silent)
    surrogate = Surrogate(word_library)
    question = "view deleted notes"
    found = surrogate.predict(question, word_library.search(question))
    assert found is not None
    assert found.text == "Notes are listed by group. Open the drawer for these views:\nTrash: View deleted notes for up to 15 days."
    assert all(source.quote in source.passage.text for source in found.sources)


def test_nothing_is_read_before_teaching(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    surrogate = Surrogate(word_library)
    assert surrogate.reading("relief valve", word_library.search("relief valve")) is None


def test_a_passage_that_was_not_read_stands_in_the_way_of_those_behind_it(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    add("addition.md", "# Relief valve\n\nThe relief valve opens at 250 bar since the conversion.\n")
    question = "the relief valve opens at since the conversion"
    found = ask(word_library, question)
    assert found is None or found.refused_by is not None or found.confidence < 0.5
    interaction.read(word_library)
    read = ask(word_library, question)
    assert read is not None
    assert "250 bar" in read.text


def test_what_was_removed_is_never_read_again(word_library: Library, add: Add) -> None:
    document = add("press.md", PRESS)
    add("other.md", "# Saw\n\nThe blade turns at 50 Hz.\n")
    teaching.teach(word_library, silent)
    surrogate = Surrogate(word_library)
    assert surrogate.predict("relief valve opens at", word_library.search("relief valve opens at")) is not None
    word_library.remove(document)
    found = surrogate.predict("relief valve opens at", word_library.search("relief valve opens at"))
    assert found is None or "200 bar" not in found.text


def test_two_manuals_with_other_numbers_are_not_answered_at_once(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    add("press two.md", PRESS.replace("200 bar", "250 bar"))
    teaching.teach(word_library, silent)
    found = ask(word_library, "relief valve opens at")
    assert found is not None
    assert found.refused_by == "ambiguous"


@pytest.mark.parametrize(
    ("question", "gate"),
    [
        ("what does E-19 mean", "codes"),
        ("relief valve at 300 bar", "numbers"),
        ("relief valve at 200 psi", "numbers"),
        ("minimum relief pressure", "polarity"),
        ("when must the valve not open", "negation"),
        ("valve that opens more than once", "quantifier"),
        ("valve of type B", "letters"),
        ("what is it", "pronoun"),
        ("what opens the valve? who closes it?", "two questions"),
        ("wie wird das ventil von mir mit dem gestell", "language"),
    ],
)
def test_what_the_question_names_must_be_said_at_the_place(question: str, gate: str) -> None:
    unit = "The maximum relief pressure is 200 bar, at which the valve opens and which is the limit for the press."
    assert gates.refusal_of_place(question, "Press > Alarms E-17", unit, unit) == gate


def test_a_place_may_say_more_than_was_asked() -> None:
    unit = "Do not open the valve above 200 bar; the maximum is 220 bar at 60 °C."
    assert gates.refusal_of_place("valve maximum pressure", "Press", unit, unit) is None


@pytest.mark.parametrize(
    ("question", "unit"),
    [
        ("pin 14 does what", "net spindle-enable parport.0.pin-14-out"),
        ("what is in 5399", "The variable #5399 holds -1."),
        ("24 supply short circuit proof", "The 24V output has no short-circuit protection."),
        ("driver for the wsg50", "git clone ipa325_wsg50.git"),
        ("offsets G54 to G59", "The work offsets G54-G59 are stored."),
        ("interval 6H and offset 2H", "Interval = 6H and Offset = 2 H means every six hours."),
        ("E axis rise time", "The E-line must rise within 1 us."),
        ("ctrl-c during the update", "Interrupting the update is safe."),
        ("settings for index only homing", "Index homing uses these settings."),
        ("does it look for settings on network drives", "Settings on network drives are found."),
        ("motor does not start, what now", "Check the fuse of the motor."),
        ("after the upgrade the printer is silent", "Install the driver of the printer again."),
        ("is it worth tuning the probe", "Tuning the probe rarely helps."),
    ],
)
def test_other_spellings_and_told_faults_are_no_reason_to_refuse(question: str, unit: str) -> None:
    assert gates.refusal_of_place(question, "Manual", unit, unit) is None


@pytest.mark.parametrize(
    ("question", "unit", "gate"),
    [
        ("pin 14 does what", "pin-114 and pin-14.5 are outputs", "numbers"),
        ("what is G54", "The offset G54.1 is set, and G540 too.", "codes"),
        ("what must not be opened", "Open the cover and the drain.", "negation"),
        ("can it be cleaned", "The filter can be cleaned.", "pronoun"),
        ("how to clean its big inlet filter", "Clean the big inlet filter with air.", "pronoun"),
        ("how is it removed", "It is removed with a key.", "pronoun"),
    ],
)
def test_what_only_looks_like_it_is_refused(question: str, unit: str, gate: str) -> None:
    assert gates.refusal_of_place(question, "Manual", unit, unit) == gate


def test_with_another_encoder_the_verifier_stays_out(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    reading = Surrogate(word_library).reading("relief valve opens at", word_library.search("relief valve opens at"))
    assert reading is not None
    assert reading.encoder != reading.weights.verifier.encoder
    assert reading.confidence() == reading.weights.plain.confidence(reading.head_features(0))


def test_copies_of_a_passage_count_once(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    add("copy.md", PRESS + "\nOne more line.\n")
    hits = word_library.search("relief valve opens at")
    texts = [hit.passage.text for hit in distinct(hits)]
    assert len(texts) == len(set(texts))


def test_an_answer_shows_whole_units_up_to_its_limit(word_library: Library, add: Add) -> None:
    add("long.md", "# Log\n\n" + " ".join(f"Entry {number} was closed by the night shift." for number in range(12)) + "\n")
    teaching.teach(word_library, silent)
    reading = Surrogate(word_library).reading("entry 5 night shift", word_library.search("entry 5 night shift"))
    assert reading is not None
    place = reading.places[0]
    start, end = reader.shown(place, limit=30)
    text = place.passage.text[start:end]
    assert place.unit in text
    assert len(text.split()) <= 30
    assert text.endswith(".")
    assert 0.0 <= reading.confidence() <= 1.0
    assert np.isfinite(place.features).all()


def test_what_a_person_confirmed_comes_before_what_is_read(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    passage = next(passage for passage in word_library.passages() if "200 bar" in passage.text)
    start = passage.text.index("The relief")
    pair = Pair(
        "How high may it go before it blows off?", "It blows off at 200 bar.", (Quote(passage.id, start, len(passage.text)),), "human"
    )
    vector = word_library.encoder.encode([pair.question])[0]
    bank.store(word_library.connection, [pair], vector[None], teacher="", prompt_version="", checked_seq=word_library.newest_seq())
    found = Surrogate(word_library).predict(pair.question, word_library.search("relief valve opens"))
    assert found is not None
    assert found.text == "It blows off at 200 bar."


@pytest.mark.parametrize(
    ("question", "gate"),
    [
        ("How do I unpair the device again?", "polarity"),
        ("How do I pair the device before the start?", "polarity"),
        ("How do I not pair the device again?", "negation"),
        ("How do I pair the headset again?", "component"),
    ],
)
def test_a_question_that_nearly_repeats_a_known_one_must_mean_the_same(question: str, gate: str) -> None:
    rarity = Rarity.of(["Pair the device.", "Unpair the headset.", "Charge it."])
    known, said = "How do I pair the device again?", "Pairing\nPair or unpair the device in the settings, 2 at a time."
    assert gates.refusal_of_twin(question, known, said, rarity) == gate
    assert gates.refusal_of_twin("How can I pair the device again?", known, said, rarity) is None


def test_a_word_without_which_a_question_means_the_same_names_nothing() -> None:
    rarity = Rarity.of(["Pair the device.", "Fast charging of the headset."])
    question, known, said = "How do I pair the device fast?", "How do I pair the device anew?", "Pair it in the settings."
    assert gates.refusal_of_twin(question, known, said, rarity, lambda *_: 0.9) == "component"
    assert gates.refusal_of_twin(question, known, said, rarity, lambda *_: 0.95) is None
    assert gates.refusal_of_twin(f"{question} by charging", known, said, rarity, lambda *_: 0.95) == "component"


def test_one_word_more_narrows_a_question_and_another_word_instead_names_another() -> None:
    rarity = Rarity.of(["The homing debounce of a probe.", "The typical motion of a pump."])
    known, said = "What is homing debounce?", "Homing\nSwitches bounce for 5 to 25 ms."
    assert gates.refusal_of_twin("typical homing debounce", known, said, rarity, lambda *_: 0.5) is None
    assert gates.refusal_of_twin("typical homing debounce of the pump", known, said, rarity, lambda *_: 0.5) == "component"
    assert gates.refusal_of_twin("homing motion", known, said, rarity, lambda *_: 0.5) == "component"
