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


def test_too_many_words_said_nowhere_are_another_subject() -> None:
    assert gates.refusal("What is the capital of Mongolia?", "What is the purpose of the pump?", "The pump", RARITY) == "component"


def test_unexplained_share_must_be_a_share() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        gates.GateSettings(unexplained_share=1.5)
