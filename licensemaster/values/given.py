"""Checks that arguments of other programs in Python have the annotated types; refuses by name, value and remedy.

Decides: what fits an annotation, and how an error says that something does not. Leaves to others: what may be in a
value of the right type. A program that mypy checks never sees such an error.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections import abc
from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from reprlib import Repr
from types import NoneType, UnionType
from typing import Any, Final, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from licensemaster.values.text import BadValueError

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
_Kinds = tuple[tuple[str, Any], ...]
_NOUNS: Final[dict[Any, str]] = {float: "number", int: "whole number", str: "text", NoneType: "None"}
_EXAMPLES: Final[dict[Any, str]] = {float: "2.5", int: "100", bool: "True", bytes: "bytes.fromhex('...')"}
_SHORT: Final = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class _OtherTypeError(Exception):
    """Raised for a value of another type; `place` is the value's position in the argument."""

    def __init__(self, value: object, kind: Any, place: str = "") -> None:
        super().__init__()
        self.value, self.kind, self.place = value, kind, place


def checked(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Wrap a function so that its arguments are checked first: BadValueError where one is not of its annotated type.

    What can be iterated over may be given for a tuple, an Iterable or a Sequence, and arrives as a tuple.
    """

    @functools.cache  # when it is first called, all that annotations name exists
    def kinds() -> tuple[_Kinds, tuple[str, Any], dict[str, Any]]:
        hints, places, rest = get_type_hints(function), list[tuple[str, Any]](), ("", Any)
        for each in inspect.signature(function).parameters.values():
            if each.kind is each.VAR_POSITIONAL:
                rest = each.name, hints[each.name]
            elif each.kind is not each.KEYWORD_ONLY:
                places.append((each.name, hints.get(each.name, Any)))
        return tuple(places), rest, hints

    @functools.wraps(function)
    def call(*given: Given.args, **named: Given.kwargs) -> Answer:
        places, rest, by_name = kinds()
        read = list[Any](given)
        for at, value in enumerate(given):
            name, kind = places[at] if at < len(places) else rest
            if kind is not Any and (type(value) is not kind or kind is float):  # all others are as they are to be
                read[at] = _given(name, kind, value)
        for name, value in named.items():
            kind = by_name.get(name, Any)
            if type(value) is not kind or kind is float:
                named[name] = _given(name, kind, value)
        return function(*read, **named)  # the same ones, in order

    return call


def check_fields(made: Any, error: type[ValueError] = BadValueError) -> None:
    """Check the types of a dataclass object's fields, as `checked` does for arguments; raises `error`."""
    for name, kind in _fields(made.__class__):
        value = getattr(made, name)
        if (read := _given(name, kind, value, error)) is not value:
            object.__setattr__(made, name, read)


@functools.cache
def _fields(kind: Any) -> _Kinds:
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in fields(kind) if field.init)


def _given(name: str, kind: Any, value: Any, error: type[ValueError] = BadValueError) -> Any:
    try:
        return _read(kind, value)
    except _OtherTypeError as other:
        seen = f"{name}{other.place}: {_shown(other.value)} is no {_noun(other.kind)}"
        raise error(f"{seen}; write {name}={_written(kind, value)}") from None


def _read(kind: Any, value: Any) -> Any:
    """Return the value in the form in which it is used; raises _OtherTypeError where it is of another type."""
    if kind is Any or (type(value) is kind and kind is not float):
        return value
    if (item := _item(kind)) is not None:
        if not isinstance(value, abc.Iterable) or isinstance(value, str | bytes | abc.Mapping):
            raise _OtherTypeError(value, kind)
        values = value if isinstance(value, tuple) else tuple(value)
        for at, each in enumerate(values):
            if type(each) is not item and not _fits(item, each):
                raise _OtherTypeError(each, item, f"[{at}]")
        return values
    if not _fits(kind, value):
        raise _OtherTypeError(value, kind)
    return value


def _item(kind: Any) -> Any:
    """Return the type of the items of a tuple, Iterable or Sequence; None for any other type."""
    origin, parts = get_origin(kind), get_args(kind)
    is_series = origin in (abc.Iterable, abc.Sequence) or (origin is tuple and parts[1:] == (...,))
    return parts[0] if is_series else None


def _fits(kind: Any, value: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(part, value) for part in parts)
    if origin is tuple:
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, parts, value))
    if origin is abc.Callable:
        return callable(value) and not inspect.iscoroutinefunction(value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int and isinstance(value, bool):
        return False
    is_looked_at = isinstance(kind, type) and not getattr(kind, "_is_protocol", False)
    return not is_looked_at or isinstance(value, kind)


def _noun(kind: Any) -> str:
    if (item := _item(kind)) is not None:
        return f"{'tuple' if get_origin(kind) is tuple else 'list'} of such as {_written(item, None)}"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_noun, get_args(kind)))
    if get_origin(kind) is abc.Callable:
        return "function that answers at once"
    return _NOUNS.get(kind) or str(kind.__name__)


def _shown(value: object) -> str:
    return f"({len(value)} bytes)" if isinstance(value, bytes) else _SHORT.repr(value)  # may be a secret


def _written(kind: Any, value: Any) -> str:
    """Return an example of what to write instead, made from the value where possible."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        kind, origin = parts[0], get_origin(parts[0])
        parts = get_args(kind)
    if (item := _item(kind)) is not None:
        return f"({_written(item, value)},)"
    if origin is tuple:
        return f"({', '.join(_written(part, None) for part in parts)})"
    if origin is abc.Callable:
        return "print"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"{kind.__name__}.{next(iter(kind)).name}"
    if kind is str:
        return repr(str(value)) if isinstance(value, str | int | float) or hasattr(value, "__fspath__") else "'TEXT'"
    if hasattr(kind, "__fspath__"):
        return f"{kind.__name__}({value if isinstance(value, str) else '/FOLDER'!r})"
    if kind in (int, float) and isinstance(value, str) and value.strip().isdecimal():
        return value.strip()
    return _EXAMPLES.get(kind) or f"{getattr(kind, '__name__', kind)}(...)"
