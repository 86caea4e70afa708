"""Plots of an evaluation, as Vega-Lite specifications with their values inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEIGHT = 280


def risk_coverage(points: Sequence[Mapping[str, float]], levels: Sequence[Mapping[str, Any]], chosen: int) -> dict[str, Any]:
    """Share wrong among the answered over the share answered; each level of the slider is a mark on the curve, the chosen one filled."""
    marks = [
        {"coverage": level["answered_share"], "risk": level["error"], "level": level["level"], "chosen": level["level"] == chosen}
        for level in levels
        if level["answered"] and level["error"] is not None
    ]
    shares = {"coverage": _share("coverage", "Answered at once"), "risk": _share("risk", "Wrong among them", fit=True)}
    line = {
        "data": {"values": [dict(point) for point in points]},
        "mark": {"type": "line", "interpolate": "step-after"},
        "encoding": {"x": shares["coverage"], "y": shares["risk"], "tooltip": _tooltip("coverage", "risk", "confidence")},
    }
    dots = {
        "data": {"values": marks},
        "mark": {"type": "point", "size": 120, "opacity": 1},
        "encoding": {
            "x": shares["coverage"],
            "y": shares["risk"],
            "fillOpacity": {"condition": {"test": "datum.chosen", "value": 1}, "value": 0},
            "fill": {"value": "#d97706"},
            "stroke": {"value": "#d97706"},
            "tooltip": [{"field": "level", "title": "Level"}, *_tooltip("coverage", "risk")],
        },
    }
    return {"height": HEIGHT, "layer": [line, dots]}


def reliability(bins: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What was said against what was true: dots on the diagonal are honest, below it too sure of themselves."""
    said, true = _share("confidence", "Confidence said"), _share("right", "Share right")
    dots = {
        "data": {"values": [dict(each) for each in bins]},
        "mark": {"type": "point", "filled": True, "opacity": 0.9},
        "encoding": {
            "x": said,
            "y": true,
            "size": {"field": "questions", "type": "quantitative", "title": "Questions", "legend": None, "scale": {"range": [40, 500]}},
            "tooltip": [{"field": "questions", "title": "Questions"}, *_tooltip("confidence", "right")],
        },
    }
    diagonal = {
        "data": {"values": [{"confidence": 0, "right": 0}, {"confidence": 1, "right": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "opacity": 0.5},
        "encoding": {"x": said, "y": true},
    }
    return {"height": HEIGHT, "layer": [diagonal, dots]}


def _share(field: str, title: str, *, fit: bool = False) -> dict[str, Any]:
    scale = {"zero": True, "nice": True} if fit else {"domain": [0, 1]}
    return {"field": field, "type": "quantitative", "title": title, "axis": {"format": "%"}, "scale": scale}


def _tooltip(*fields: str) -> list[dict[str, str]]:
    return [{"field": field, "type": "quantitative", "format": ".1%", "title": field.capitalize()} for field in fields]
