import pytest

from surrogates.risk import Judged, aurc, calibration_error, curve, reliability


def test_the_curve_goes_from_the_surest_to_all_that_may_be_answered() -> None:
    points = curve([Judged(0.9, True), Judged(0.9, False), Judged(0.5, True), Judged(0.0, False)])
    assert [(point.confidence, point.coverage, point.risk) for point in points] == [(0.9, 0.5, 0.5), (0.5, 0.75, pytest.approx(1 / 3))]


def test_confidences_that_mean_what_they_say_have_no_calibration_error() -> None:
    honest = [Judged(0.75, index < 75) for index in range(100)]
    assert calibration_error(honest) == pytest.approx(0.0)
    assert calibration_error([Judged(0.75, True)] * 10) == pytest.approx(0.25)
    assert calibration_error([Judged(0.0, False)]) is None


def test_the_last_bin_holds_full_confidence() -> None:
    (only,) = reliability([Judged(1.0, True)])
    assert (only.low, only.high, only.questions) == (0.9, 1.0, 1)


def test_no_questions_have_no_area() -> None:
    with pytest.raises(ValueError, match="no questions"):
        aurc([])
