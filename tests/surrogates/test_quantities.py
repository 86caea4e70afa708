import pytest

from surrogates.quantities import signature, unsupported


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2.5 mm", "0.0025 m"),
        ("2,5mm", "2.5 mm"),
        ("(.025mm)", "0.025 mm"),
        ("200 bar", "20 MPa"),
        ("24V supply", "24 volts supply"),
        ("80 °C", "176 °F"),
        ("1,000 rpm", "1000 1/min"),
        ("60%", "60 percent"),
        ("90 seconds", "1.5 min"),
        ("alarm E-17", "alarm E17"),
        ("alarm E 17", "alarm e-17"),
        ("two bolts", "2 bolts"),
        ("12 N m", "12 Nm"),
    ],
)
def test_the_same_thing_written_two_ways_has_one_signature(one: str, other: str) -> None:
    assert signature(one) == signature(other)
    assert signature(one).quantities or signature(one).codes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2.5 mm", "3.5 mm"),
        ("200 bar", "200 psi"),
        ("E-17", "E-18"),
        ("P200", "P300"),
        ("$100", "$101"),
        ("G38.2", "G38.3"),
        ("M0420", "M0421"),
        ("-10 °C", "10 °C"),
        ("5 minutes", "5 hours"),
        ("part 123-456", "part 123-457"),
        ("P-200/A", "P-200/B"),
        ("alarm 9", "alarm 8"),
    ],
)
def test_things_that_differ_have_different_signatures(one: str, other: str) -> None:
    assert signature(one) != signature(other)


def test_plain_words_have_an_empty_signature() -> None:
    assert signature("How do I connect the USB-C cable?") == signature("")


def test_what_a_source_lacks_is_named() -> None:
    assert unsupported("Tighten to 25 Nm after E-17.", "Tighten all bolts to 25 Nm.") == {"e17"}
    assert not unsupported("Set it to 0.0025 m.", "The gap is 2.5 mm.")
