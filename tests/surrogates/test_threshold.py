import random

import pytest

from surrogates.threshold import FLOORS, Label, certificates, count, p_value, sequence_test


def labels(right: int, wrong_at: tuple[float, ...] = (), provenance: str = "human") -> list[Label]:
    """`right` correct labels spread over 0.5 to 1, and wrong ones at given confidences."""
    good = [Label(0.5 + 0.5 * (index + 1) / right, True, provenance) for index in range(right)]  # type: ignore[arg-type]
    return good + [Label(confidence, False, provenance) for confidence in wrong_at]  # type: ignore[arg-type]


@pytest.mark.parametrize(("answered", "wrong"), [(45, 0), (77, 1)])
def test_the_labels_needed_for_five_per_cent_are_those_of_the_binomial_test(answered: int, wrong: int) -> None:
    assert p_value(wrong, answered, 0.05) <= 0.1 < p_value(wrong, answered - 1, 0.05)


def test_the_sequence_goes_on_until_errors_stop_it() -> None:
    passed = sequence_test(labels(200, (0.55, 0.551, 0.552, 0.553, 0.554, 0.52, 0.521, 0.522, 0.523)), 0.02, 0.1)
    assert passed is not None
    confidence, answered, wrong = passed
    assert 0.5 < confidence <= 0.56
    assert wrong <= 2
    assert answered > 100


def test_too_few_labels_pass_nothing() -> None:
    assert sequence_test(labels(20), 0.05, 0.1) is None


def test_an_early_error_stops_the_test() -> None:
    assert sequence_test(labels(45, (0.999,)), 0.05, 0.1) is None


def test_labels_on_one_passage_count_once_and_are_wrong_if_any_is() -> None:
    held = [Label(0.9, True, "human", 7), Label(0.8, False, "human", 7), Label(0.9, True, "human", 8), Label(0.9, True, "human")]
    assert count(held, 0.85) == (3, 0)
    assert count(held, 0.75) == (3, 1)


def test_repeated_questions_on_one_passage_never_make_up_for_others() -> None:
    assert sequence_test([Label(0.9, True, "human", 1)] * 500, 0.2, 0.1) is None


def test_without_labels_the_floors_hold_and_nothing_is_certified() -> None:
    found = certificates([])
    assert [certificate.accept_at for certificate in found] == list(FLOORS)
    assert {certificate.kind for certificate in found} == {"none"}


def test_the_teachers_labels_give_agreement_and_never_go_below_the_floor() -> None:
    found = certificates(labels(900, provenance="teacher"), "model")
    assert {certificate.kind for certificate in found} == {"agreement"}
    assert all(certificate.accept_at >= floor for certificate, floor in zip(found, FLOORS, strict=True))
    assert all("not certified" in certificate.sentence() for certificate in found)


def test_a_surer_level_never_accepts_at_less() -> None:
    chance = random.Random(1)
    for _ in range(20):
        mixed = [Label(confidence := chance.random(), chance.random() < confidence, "teacher") for _ in range(400)]
        accepted = [certificate.accept_at for certificate in certificates(mixed)]
        assert accepted == sorted(accepted)


def test_the_certified_error_holds_in_repeated_trials() -> None:
    chance, breaches = random.Random(7), 0
    for _ in range(100):
        drawn = [Label(confidence := chance.random(), chance.random() < 0.7 + 0.3 * confidence, "human") for _ in range(400)]
        passed = sequence_test(drawn, 0.10, 0.1)
        if passed is not None:
            accept = passed[0]
            true_error = 0.3 * (1 - (1 + accept) / 2)
            breaches += true_error > 0.10
    assert breaches <= 16
