import pytest

from surrogates import gates
from surrogates.wording import Rarity

LIBRARY = [
    "Replace the suction strainer of the pump every 500 hours.",
    "The gearbox is filled with oil of grade 220.",
    "The pump delivers 40 l/min.",
    "Switch the heater of the nozzle off before you clean the pump.",
    "The pump stands on four feet.",
    "Check the pump for leaks each week.",
    "The pump is painted blue.",
    "The motor of the pump has a fan.",
    "Store the pump in a dry place.",
    "The conveyor belt runs at constant speed.",
    "The pump has two seals.",
    "A guard covers the coupling of the pump.",
]
RARITY = Rarity.of(LIBRARY)


@pytest.mark.parametrize(
    ("asked", "known", "gate"),
    [
        ("What is the pressure of the P300?", "What is the pressure of the P200?", "codes"),
        ("What does alarm E-18 mean?", "What does alarm E-17 mean?", "codes"),
        ("What does error 9 mean?", "What does error 8 mean?", "numbers"),
        ("What is the torque for a 3.5 mm screw?", "What is the torque for a 2.5 mm screw?", "numbers"),
        ("Is 200 psi too much?", "Is 200 bar too much?", "numbers"),
        ("When must I not start the pump?", "When must I start the pump?", "negation"),
        ("What is the minimum pressure?", "What is the maximum pressure?", "polarity"),
        ("How do I disable the alarm?", "How do I enable the alarm?", "polarity"),
        ("How do I turn the heater off?", "How do I turn the heater on?", "polarity"),
        ("How do I remove the filter?", "How do I install the filter?", "polarity"),
        ("What is checked after start-up?", "What is checked before start-up?", "polarity"),
        ("Where is the inlet valve?", "Where is the outlet valve?", "polarity"),
        ("Which is the left cover?", "Which is the right cover?", "polarity"),
        ("How do I decrease the speed?", "How do I increase the speed?", "polarity"),
        ("May I run it with the guard?", "May I run it without the guard?", "negation"),
        ("What is the maximum pressure?", "What is the pressure?", "polarity"),
        ("Which oil only for winter?", "Which oil for winter?", "quantifier"),
        ("What is the oil grade and how do I change the oil?", "What is the oil grade?", "two questions"),
        ("How do I replace it?", "How do I replace the filter?", "pronoun"),
        ("What does this error mean?", "What does the oil error mean?", "pronoun"),
        ("Wie wechsle ich den Filter für die Pumpe?", "How do I change the filter of the pump?", "language"),
        ("How do I enable retraction on a slicer?", "How do I disable retraction on a slicer?", "polarity"),
        ("How do I clean the gearbox?", "How do I clean the pump?", "component"),
    ],
)
def test_a_question_that_needs_another_answer_is_refused(asked: str, known: str, gate: str) -> None:
    assert gates.refusal(asked, known, "Clean the pump with a dry cloth.", RARITY) == gate


@pytest.mark.parametrize(
    ("asked", "known", "evidence"),
    [
        ("How do I change the suction strainer?", "How do I replace the suction strainer?", LIBRARY[0]),
        ("how often should the strainer be replaced", "When is the suction strainer replaced?", LIBRARY[0]),
        ("What is the torque for a 0.0025 m screw?", "What is the torque for a 2.5 mm screw?", "2.5 mm screws: 3 Nm torque"),
        ("what's alarm E17", "What does alarm E-17 mean?", "E-17: oil level low (alarm)"),
        ("How do I turn on night mode?", "How do I use night mode?", "Night mode"),
        ("How do I turn off night mode?", "How do I use night mode?", "Tap to turn night mode on or off."),
        ("Is it possible to clean the pump?", "How do I clean the pump?", "Clean the pump"),
        ("When the pump is hot, can I touch it?", "When may I touch the hot pump?", "Do not touch the hot pump."),
        ("Will the heater stay on after a crash?", "Will the heater be left on after a crash?", "The heater is left on."),
        ("How do I encrypt the card?", "How do I encrypt or decrypt the card?", "Encrypt or decrypt the card"),
        ("What is the highest pressure?", "What is the maximum pressure?", "Maximum pressure: 200 bar"),
        ("Do I have to switch the heater off first?", "Must I first turn off the heater?", LIBRARY[3]),
    ],
)
def test_a_paraphrase_passes_every_gate(asked: str, known: str, evidence: str) -> None:
    assert gates.refusal(asked, known, evidence, RARITY) is None


def test_that_before_a_clause_stands_for_nothing() -> None:
    assert gates.has_referents("How do I tell the wizard that I want a pump?")
    assert gates.has_referents("is there a sheet that works out the period")
    assert not gates.has_referents("how does that work")


def test_too_many_words_said_nowhere_are_another_subject() -> None:
    assert gates.refusal("What is the capital of Mongolia?", "What is the purpose of the pump?", "The pump", RARITY) == "component"


def test_unexplained_share_must_be_a_share() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        gates.GateSettings(unexplained_share=1.5)


@pytest.mark.parametrize(
    ("asked", "known", "gate"),
    [
        ("How do I home the Y axis?", "How do I home the X axis?", "letters"),
        ("What is the torque of the Mark III?", "What is the torque of the Mark II?", "letters"),
        ("Which oil for the pump of type C?", "Which oil for the pump of type B?", "letters"),
        ("How do I home the axis?", "How do I home the Z axis?", "letters"),
        ("May it run above 5 bar for less than 5 minutes?", "May it run above 5 bar for more than 5 minutes?", "polarity"),
        ("Which pump is allowed over 40 bar?", "Which pump is allowed under 40 bar?", "quantifier"),
        ("What can fail up to 5 times?", "What can fail 5 times?", "quantifier"),
        ("Why doesnt the pump start?", "Why does the pump start?", "negation"),
        ("Why does the pump fail to start?", "Why does the pump start?", "negation"),
        ("What is not checked without a guard?", "What is checked without a guard?", "negation"),
        ("How do I cancel an M110?", "How do I cancel an M109/M190 request?", "codes"),
        ("pompe défectueuse: que faire avec la vanne du filtre et la pompe", "What do I do with the filter of the pump?", "language"),
        ("Как заменить фильтр насоса?", "How do I replace the filter of the pump?", "language"),
        ("Check the pump; clean the filter", "Check the pump?", "two questions"),
        ("What does it do?", "What does the pump do?", "pronoun"),
    ],
)
def test_one_of_several_a_bound_and_a_failure_are_not_confused(asked: str, known: str, gate: str) -> None:
    assert gates.refusal(asked, known, f"{known} Clean the pump with a dry cloth.", RARITY) == gate


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("Why does the X axis stall?", "When do the X, Y and Z axes stall, and why?"),
        ("How do I reset the estop?", "How do I reset the e-stop?"),
        ("The pump fails to start", "The pump doesn't start"),
        ("The pump cant be started", "The pump can't be started"),
        ("How do I cancel an M109?", "How do I cancel an M109/M190 request?"),
        ("Is 5 V enough for the pump?", "Is 5 volts enough for the pump?"),
        ("How do I check the bltouch?", "How do I check the BL-Touch?"),
    ],
)
def test_other_spellings_of_one_question_pass(asked: str, known: str) -> None:
    assert gates.refusal(asked, known, known, RARITY) is None


def test_a_word_that_changes_nothing_names_no_component() -> None:
    asked, known = "How do I store the pump in a dry speed?", "How do I store the pump in a dry place?"
    assert gates.refusal(asked, known, LIBRARY[8], RARITY) == "component"
    assert gates.refusal(asked, known, LIBRARY[8], RARITY, likeness=lambda one, other: 0.99) is None
    assert gates.refusal(asked, known, LIBRARY[8], RARITY, likeness=lambda one, other: 0.5) == "component"


def test_a_question_of_ten_thousand_characters_is_refused_not_answered() -> None:
    long = "What is the pressure of the pump when the valve of the line is open " * 150
    assert len(long) > 10_000
    assert gates.refusal(long, "What is the pressure of the pump?", LIBRARY[0], RARITY) is not None


def test_a_question_says_the_same_in_the_same_words_only() -> None:
    assert gates.says_the_same("how can I replace the filter of E-17", "How do I replace the filter of E17?")
    for other in (
        "How do I replace the filter of E18?",
        "How do I remove the filter of E17?",
        "How do I replace the filter of E17 before the start?",
        "How do I not replace the filter of E17?",
        "How do I replace the filter of E17 at 5 bar?",
    ):
        assert not gates.says_the_same(other, "How do I replace the filter of E17?")


@pytest.mark.parametrize(
    ("asked", "heading", "unit", "named"),
    [
        ("what is the spare part number of the suction strainer", "Spare parts", "Part: Spring; HX 200: 4-1140-07; Quantity: 1", False),
        ("what is the spare part number of the suction strainer", "Spare parts", "Part: Suction strainers; HX 200: 4-2000", True),
        ("order no. for a seal kit HX 200", "Spare parts", "Part: Spring; HX 200: 4-1140-07; Quantity: 1", False),
        ("ordering code of the seal kit", "Seal kit", "Ask for 4-2000.", True),
        ("ordering code of the seal kit", "Filters", "Ask for 4-2000.", False),
        ("part number", "Spare parts", "Part: Spring; HX 200: 4-1140-07; Quantity: 1", True),
        ("what does the spring cost", "Spare parts", "Part: Seal; Price: 4 EUR", True),
        ("number of parts in the order", "Spare parts", "Part: Seal; Price: 4 EUR", True),
    ],
)
def test_an_order_number_is_that_of_the_part_asked_for(asked: str, heading: str, unit: str, named: bool) -> None:
    assert gates.names_the_part(asked, heading, unit) is named
    assert (gates.refusal_of_place(asked, heading, unit, unit) == "part") is not named
