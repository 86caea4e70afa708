"""Numbers with units, and codes: what two questions must have in common to be one question."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# dimension, factor to the dimension's base unit, offset added after the factor
_UNITS: dict[str, tuple[str, float, float]] = {}


def _define(dimension: str, **factors: float) -> None:
    for name, factor in factors.items():
        _UNITS[name] = (dimension, factor, 0.0)


_define("length", m=1, metre=1, meter=1, km=1e3, cm=1e-2, mm=1e-3, millimetre=1e-3, millimeter=1e-3, um=1e-6, µm=1e-6, micron=1e-6)
_define("length", nm=1e-9, inch=0.0254, inches=0.0254, ft=0.3048, foot=0.3048, feet=0.3048, centimetre=1e-2, centimeter=1e-2)
_define("mass", kg=1, kilogram=1, g=1e-3, gram=1e-3, mg=1e-6, t=1e3, tonne=1e3, lb=0.45359237, lbs=0.45359237, oz=0.028349523)
_define("time", s=1, sec=1, second=1, ms=1e-3, millisecond=1e-3, us=1e-6, µs=1e-6, usec=1e-6, microsecond=1e-6, min=60, minute=60)
_define("time", h=3600, hr=3600, hrs=3600, hour=3600, d=86400, day=86400, week=604800, month=2629746, year=31556952)
_define("pressure", Pa=1, kPa=1e3, MPa=1e6, GPa=1e9, bar=1e5, mbar=100, psi=6894.757, atm=101325)
_define("voltage", V=1, mV=1e-3, kV=1e3, VDC=1, VAC=1, volt=1)
_define("current", A=1, mA=1e-3, amp=1, ampere=1, milliamp=1e-3)
_define("power", W=1, kW=1e3, MW=1e6, mW=1e-3, watt=1, hp=745.7, kilowatt=1e3)
_define("energy", J=1, kJ=1e3, Wh=3600, kWh=3.6e6)
_define("resistance", ohm=1, kohm=1e3, Ω=1, kΩ=1e3)
_define("frequency", Hz=1, kHz=1e3, MHz=1e6, GHz=1e9, hertz=1)
_define("rotation", rpm=1)
_define("torque", Nm=1, ncm=1e-2)
_define("force", N=1, kN=1e3, newton=1)
_define("volume", l=1e-3, L=1e-3, litre=1e-3, liter=1e-3, ml=1e-6, mL=1e-6, gal=3.785411784e-3, gallon=3.785411784e-3, cc=1e-6)
_define("flow", lpm=1 / 60000, gpm=6.30902e-5)
_define("angle", deg=1, degree=1, degrees=1)
_define("share", percent=0.01)
_define("data", byte=1, kB=1e3, KB=1e3, MB=1e6, GB=1e9, TB=1e12)
_define("sound", dB=1)
_define("bits", baud=1)
_UNITS |= {
    "%": ("share", 0.01, 0.0),
    "mm/s": ("speed", 1e-3, 0.0),
    "m/s": ("speed", 1.0, 0.0),
    "mm/min": ("speed", 1e-3 / 60, 0.0),
    "m/min": ("speed", 1 / 60, 0.0),
    "mm/s^2": ("acceleration", 1e-3, 0.0),
    "km/h": ("speed", 1 / 3.6, 0.0),
    "l/min": ("flow", 1 / 60000, 0.0),
    "L/min": ("flow", 1 / 60000, 0.0),
    "l/h": ("flow", 1e-3 / 3600, 0.0),
    "m3/h": ("flow", 1 / 3600, 0.0),
    "1/min": ("rotation", 1.0, 0.0),
    "r/min": ("rotation", 1.0, 0.0),
    "cSt": ("viscosity", 1.0, 0.0),
    "mm2/s": ("viscosity", 1.0, 0.0),
    "N m": ("torque", 1.0, 0.0),
    "N·m": ("torque", 1.0, 0.0),
    "°": ("angle", 1.0, 0.0),
    "°C": ("temperature", 1.0, 273.15),
    "C": ("temperature", 1.0, 273.15),
    "degC": ("temperature", 1.0, 273.15),
    "celsius": ("temperature", 1.0, 273.15),
    "K": ("temperature", 1.0, 0.0),
    "°F": ("temperature", 5 / 9, 459.67 * 5 / 9),
    "F": ("temperature", 5 / 9, 459.67 * 5 / 9),
    "fahrenheit": ("temperature", 5 / 9, 459.67 * 5 / 9),
    '"': ("length", 0.0254, 0.0),
}
_LOWER = {name.casefold(): name for name in reversed(list(_UNITS)) if len(name) > 1}

_NUMBER = r"[-+−±]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[-+−±]?\d+(?:[.,]\d+)?|[-+−±]?\.\d+"  # noqa: RUF001 - manuals print the minus sign
_UNIT = "|".join(sorted((re.escape(name) + (r"(?![^\W\d_])" if name[-1].isalnum() else "") for name in _UNITS), key=len, reverse=True))
_WRITTEN = "|".join(sorted((re.escape(name) + r"s?(?![^\W\d_])" for name in _LOWER if len(name) > 2), key=len, reverse=True))
_QUANTITY = re.compile(rf"(?<![\w.])(?P<number>{_NUMBER})(?!\d)(?:[  -]?(?P<unit>{_UNIT})|[  -]?(?P<written>(?i:{_WRITTEN})))?")
# letters and digits in one token, perhaps joined by - . / _ or led by $ or #: E-17, M0420, G38.2, P200/B, $100, $X
_CODE = re.compile(r"(?<![\w.])(?:[$#]\d+(?:\.\d+)?|\$[A-Za-z]\w*|(?=[\w./+-]*\d)(?=[\w./+-]*[^\W\d_])[^\W_][\w./+-]*[\w+])(?!\w)")
_SPACED_CODE = re.compile(r"\b([A-Z]{1,3})[ -](\d{1,5}[A-Za-z]?)\b(?![.,]?\d|[-/]\w)")
_ORDINAL = re.compile(r"^\d+(?:st|nd|rd|th)$")
_SPELLED_NAMES = "two three four five six seven eight nine ten eleven twelve"
_SPELLED = {word: value for value, word in enumerate(_SPELLED_NAMES.split(), start=2)}
SPELLED_WORD = re.compile(rf"\b(?:{'|'.join(_SPELLED)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Signature:
    """The exact things that a text names: quantities as "dimension value" in base units, and codes without their hyphens."""

    quantities: frozenset[str]
    codes: frozenset[str]


@lru_cache(maxsize=16384)
def signature(text: str) -> Signature:
    """Read the quantities and codes of `text`.

    >>> signature("2.5 mm") == signature("0.0025 m")
    True
    """
    quantities, codes = _read(text)
    return Signature(frozenset(quantities.values()), frozenset(codes.values()))


@lru_cache(maxsize=4096)
def codes(text: str) -> frozenset[str]:
    """The codes of `text` alone, as `signature` has them, in half its time."""
    return frozenset(_read_codes(text)[0].values())


def facts(text: str) -> tuple[str, ...]:
    """The quantities and codes of `text` in the order in which it names them.

    >>> facts("M12 (HX 200): 98 Nm") == ("m12", "hx200", "torque 98")
    True
    """
    quantities, codes = _read(text)
    return tuple(fact for _, fact in sorted([*quantities.items(), *codes.items()]))


def _read(text: str) -> tuple[dict[int, str], dict[int, str]]:
    """Quantities and codes by where they begin."""
    codes, rest = _read_codes(text)
    quantities = {match.start(): _quantity(match) for match in _QUANTITY.finditer(rest)}
    quantities |= {match.start(): f"plain {_SPELLED[match.group().casefold()]}" for match in SPELLED_WORD.finditer(text)}
    return quantities, codes


def _read_codes(text: str) -> tuple[dict[int, str], str]:
    """Codes by where they begin, and the text with blanks in their place, so that they are not read again."""
    codes: dict[int, str] = {}
    rest = _SPACED_CODE.sub(lambda match: _take_spaced(match, codes), text)
    return codes, _CODE.sub(lambda match: _take_code(match, codes), rest)


def unsupported(claim: str, source: str) -> frozenset[str]:
    """Quantities and codes of `claim` that `source` does not hold, written for a person to read."""
    said, known = signature(claim), signature(source)
    return (said.quantities - known.quantities) | (said.codes - known.codes)


def _take_spaced(match: re.Match[str], codes: dict[int, str]) -> str:
    if match.group(1) in _UNITS and match.group(1) not in ("A", "E", "F", "C", "P", "M", "T"):
        return match.group()
    codes[match.start()] = (match.group(1) + match.group(2)).casefold()
    return " " * len(match.group())


def _take_code(match: re.Match[str], codes: dict[int, str]) -> str:
    token = match.group()
    bare = token.strip(".-/+_" if not token.endswith("+") else ".-/_")
    if bare in _UNITS or _ORDINAL.match(bare) or _QUANTITY.fullmatch(bare) or re.fullmatch(r"\d+(?:-\d+)+", bare):
        return token
    number_with_unit = _QUANTITY.match(bare)
    if number_with_unit and number_with_unit.group("unit") and re.fullmatch(r"[/-].*", bare[number_with_unit.end() :] or "/"):
        return token
    codes[match.start()] = re.sub(r"[-_\s]", "", bare).casefold()
    return " " * len(token)


def _quantity(match: re.Match[str]) -> str:
    value = _value(match.group("number"))
    name = match.group("unit") or _written_unit(match.group("written"))
    if name is None:
        return f"plain {value:.6g}"
    dimension, factor, offset = _UNITS[name]
    return f"{dimension} {value * factor + offset:.6g}"


def _written_unit(written: str | None) -> str | None:
    if written is None:
        return None
    lower = written.casefold()
    return _LOWER[lower] if lower in _LOWER else _LOWER[lower.removesuffix("s")]


def _value(number: str) -> float:
    plain = number.replace("−", "-").lstrip("+±")  # noqa: RUF001
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        return float(plain.replace(",", ""))
    return float(plain.replace(",", "."))
