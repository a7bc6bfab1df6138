"""Whatever a program hands over in Python is of the type that is annotated, or refused by name, value and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from licensemaster.values import BadValueError
from licensemaster.values.given import check_fields, checked


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@checked
def called(
    text: str = "",
    *rest: int,
    number: float = 0.0,
    whole: int = 0,
    truth: bool = False,
    raw: bytes = b"",
    path: Path | None = None,
    colour: Colour = Colour.RED,
    texts: tuple[str, ...] = (),
    options: tuple[tuple[str, str | int], ...] = (),
    colours: Iterable[Colour] = (),
    callback: Callable[[str], None] | None = None,
    anything: Any = None,
) -> dict[str, Any]:
    return locals()


async def _async_callback(_text: str) -> None: ...


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("text", 4711, r"text: 4711 is no text; write text='4711'"),
        ("text", None, r"text: None is no text; write text='TEXT'"),
        ("text", b"secret", r"text: \(6 bytes\) is no text"),
        ("number", "2.5", r"number: '2.5' is no number; write number=2.5"),
        ("number", True, "number: True is no number"),
        ("number", float("nan"), "number: nan is no number"),
        ("number", float("inf"), "number: inf is no number"),
        ("number", 10**400, "number: 1000.* is no number"),
        ("whole", 2.5, r"whole: 2.5 is no whole number; write whole=100"),
        ("whole", "5", r"whole: '5' is no whole number; write whole=5"),
        ("whole", True, "whole: True is no whole number"),
        ("truth", "no", r"truth: 'no' is no bool; write truth=True"),
        ("raw", "text", r"raw: 'text' is no bytes; write raw=bytes.fromhex\('...'\)"),
        ("path", "/var/lib", r"path: '/var/lib' is no Path or None; write path=Path\('/var/lib'\)"),
        ("colour", "red", r"colour: 'red' is no Colour; write colour=Colour.RED"),
        ("texts", "one", r"texts: 'one' is no tuple of such as 'TEXT'; write texts=\('one',\)"),
        ("texts", ("a", 5), r"texts\[1\]: 5 is no text"),
        ("texts", 5, r"texts: 5 is no tuple"),
        ("options", (("a",),), r"options\[0\]: \('a',\) is no .*; write options=\(\('TEXT', 'TEXT'\),\)"),
        (
            "colours",
            Colour.RED,
            r"colours: <Colour.RED.* .*; write colours=\(Colour.RED,\)",
        ),
        ("colours", ["red"], r"colours\[0\]: 'red' is no Colour"),
        ("callback", "print", "callback: 'print' is no function"),
        ("callback", _async_callback, "callback: <function .* is no function that answers at once"),
    ],
)
def test_a_value_of_another_type(name: str, value: object, says: str) -> None:
    with pytest.raises(BadValueError, match=says):
        called(**{name: value})  # type: ignore[arg-type]


def test_places_are_looked_at_too() -> None:
    with pytest.raises(BadValueError, match="text: 5 is no text"):
        called(5)  # type: ignore[arg-type]
    with pytest.raises(BadValueError, match="rest: '3' is no whole number"):
        called("", 1, 2, "3")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
        called(unknown=1)  # type: ignore[call-arg]


def test_what_is_of_its_type_arrives() -> None:
    arrived = called(
        "a",
        1,
        2,
        number=1,
        path=Path("/"),
        texts=["a", "b"],  # type: ignore[arg-type]
        colours=iter([Colour.BLUE]),
        anything=called,
    )
    assert (arrived["text"], arrived["rest"], arrived["number"], arrived["path"]) == ("a", (1, 2), 1, Path("/"))
    assert (arrived["texts"], arrived["colours"]) == (("a", "b"), (Colour.BLUE,))


def test_fields_of_a_dataclass() -> None:
    @dataclass(frozen=True)
    class Made:
        texts: tuple[str, ...]

        def __post_init__(self) -> None:
            check_fields(self, KeyError)  # type: ignore[arg-type]

    assert Made(["a"]).texts == ("a",)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="texts: 'a' is no tuple"):
        Made("a")  # type: ignore[arg-type]
