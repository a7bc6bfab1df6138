"""Curves as a picture: one panel for each, its points at equal distances, as what grows does so tenfold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from bench.figures import Figure

_WIDTH, _HEIGHT, _MARGIN = 460, 220, 48
_COLUMNS = 2
_STYLE = """
svg { background: #ffffff; font: 12px sans-serif; fill: #24292f }
polyline { fill: none; stroke: #0969da; stroke-width: 2 }
circle { fill: #0969da }
line { stroke: #8c959f }
.title { font-weight: bold }
"""


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Write the curves among the figures as an SVG."""
    curves: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.curve:
            curves.setdefault(figure.curve, []).append(figure)
    rows = -(-len(curves) // _COLUMNS)
    svg = _element(None, "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH * _COLUMNS} {_HEIGHT * rows}")
    _element(svg, "style").text = _STYLE
    for number, (curve, points) in enumerate(curves.items()):
        x, y = _WIDTH * (number % _COLUMNS), _HEIGHT * (number // _COLUMNS)
        _panel(_element(svg, "g", transform=f"translate({x} {y})"), curve, points)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(Xml.tostring(svg, encoding="unicode") + "\n", encoding="utf-8")


def _panel(group: Xml.Element, curve: str, points: Sequence[Figure]) -> None:
    bottom, right = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    highest = max(point.value for point in points) or 1
    step = (right - _MARGIN) / max(len(points) - 1, 1)
    height = (bottom - _MARGIN) / highest
    at = [(_MARGIN + step * number, bottom - height * point.value) for number, point in enumerate(points)]
    _text(group, curve, _WIDTH / 2, 20, {"class": "title"})
    _element(group, "line", x1=_MARGIN, y1=bottom, x2=right, y2=bottom)
    _element(group, "polyline", points=" ".join(f"{x:.0f},{y:.0f}" for x, y in at))
    for (x, y), point in zip(at, points, strict=True):
        _element(group, "circle", cx=f"{x:.0f}", cy=f"{y:.0f}", r=3)
        _text(group, f"{point.value:,.1f}", x, y - 8)
        _text(group, f"{point.at:,}", x, bottom + 18)
    _text(group, points[0].unit, _MARGIN, bottom + 36)


def _text(group: Xml.Element, text: str, x: float, y: float, more: Mapping[str, str] | None = None) -> None:
    attributes = {"x": f"{x:.0f}", "y": f"{y:.0f}", "text-anchor": "middle", **(more or {})}
    Xml.SubElement(group, "text", attributes).text = text


def _element(parent: Xml.Element | None, tag: str, **attributes: object) -> Xml.Element:
    written = {name: str(value) for name, value in attributes.items()}
    return Xml.Element(tag, written) if parent is None else Xml.SubElement(parent, tag, written)
