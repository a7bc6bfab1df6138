"""Curves as a picture: one panel for each subject, its points at equal distances, one line or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

_WIDTH, _HEIGHT, _MARGIN = 460, 220, 48
_COLUMNS = 2
_COLORS = ("#0969da", "#cf222e", "#1a7f37", "#8250df", "#9a6700", "#57606a")
_STYLE = """
svg { background: #ffffff; font: 12px sans-serif; fill: #24292f }
polyline { fill: none; stroke-width: 2 }
line { stroke: #8c959f }
.title { font-weight: bold }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over the same points."""

    title: str
    unit: str
    points: Sequence[str]
    """What stands below each point; empty for none."""
    lines: Mapping[str, Sequence[float]]
    """Values by name; the values of a single line are written beside its points."""


def draw(panels: Sequence[Panel], file: Path) -> None:
    """Write panels as an SVG."""
    rows = -(-len(panels) // _COLUMNS)
    svg = _element(None, "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH * _COLUMNS} {_HEIGHT * rows}")
    _element(svg, "style").text = _STYLE
    for number, panel in enumerate(panels):
        x, y = _WIDTH * (number % _COLUMNS), _HEIGHT * (number // _COLUMNS)
        _draw(_element(svg, "g", transform=f"translate({x} {y})"), panel)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(Xml.tostring(svg, encoding="unicode") + "\n", encoding="utf-8")


def _draw(group: Xml.Element, panel: Panel) -> None:
    bottom, right = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    highest = max(value for values in panel.lines.values() for value in values) or 1
    step = (right - _MARGIN) / max(len(panel.points) - 1, 1)
    height = (bottom - _MARGIN) / highest
    _text(group, panel.title, _WIDTH / 2, 20, {"class": "title"})
    _element(group, "line", x1=_MARGIN, y1=bottom, x2=right, y2=bottom)
    for number, (name, values) in enumerate(panel.lines.items()):
        color = _COLORS[number % len(_COLORS)]
        at = [(_MARGIN + step * place, bottom - height * value) for place, value in enumerate(values)]
        _element(group, "polyline", points=" ".join(f"{x:.0f},{y:.0f}" for x, y in at), stroke=color)
        if len(panel.lines) == 1:
            for (x, y), value in zip(at, values, strict=True):
                _element(group, "circle", cx=f"{x:.0f}", cy=f"{y:.0f}", r=3, fill=color)
                _text(group, f"{value:,.1f}", x, y - 8)
        else:
            _text(group, name, _MARGIN + (number + 0.5) * (right - _MARGIN) / len(panel.lines), 36, {"fill": color})
    for place, point in enumerate(panel.points):
        _text(group, point, _MARGIN + step * place, bottom + 18)
    _text(group, panel.unit, _MARGIN, bottom + 36)
    if len(panel.lines) > 1:
        _text(group, f"{highest:,.0f}", _MARGIN - 20, _MARGIN)


def _text(group: Xml.Element, text: str, x: float, y: float, more: Mapping[str, str] | None = None) -> None:
    attributes = {"x": f"{x:.0f}", "y": f"{y:.0f}", "text-anchor": "middle", **(more or {})}
    Xml.SubElement(group, "text", attributes).text = text


def _element(parent: Xml.Element | None, tag: str, **attributes: object) -> Xml.Element:
    written = {name: str(value) for name, value in attributes.items()}
    return Xml.Element(tag, written) if parent is None else Xml.SubElement(parent, tag, written)
