"""What one setting may be: a value as a file, a variable or an option gives it becomes one of the setting's type.

Decides: what pasting and secrets bring along, what a text means as a number or a list, and how a wrong value is told.
A type may be annotated with functions that have the last word, such as `Limits`: each is given the value, and returns
it in its normal form or raises ValueError. Leaves to others: which settings there are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_origin

from licensemaster.values import plain, setting
from licensemaster.values.toml_lines import FieldPath

_TRUTH: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


class WrongValueError(ValueError):
    """A value is none of its setting's; `at` is its place within the setting, () unless it stands in a list."""

    def __init__(self, at: FieldPath, value: object, reason: str) -> None:
        super().__init__(reason)
        self.at, self.value, self.reason = at, value, reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What a number may be: `Annotated[float, Limits(gt=0, le=3600)]`."""

    gt: float | None = None
    ge: float | None = None
    le: float | None = None

    def __call__(self, value: float) -> float:
        """The same value. Raises ValueError if it is out of bounds."""
        if self.gt is not None and not value > self.gt:
            raise ValueError(f"Input should be greater than {self.gt}")
        if self.ge is not None and not value >= self.ge:
            raise ValueError(f"Input should be greater than or equal to {self.ge}")
        if self.le is not None and not value <= self.le:
            raise ValueError(f"Input should be less than or equal to {self.le}")
        return value

    def __str__(self) -> str:
        words = {"more than": self.gt, "at least": self.ge, "at most": self.le}
        return ", ".join(f"{word} {bound:,}" for word, bound in words.items() if bound is not None)


def read_value(kind: Any, value: object, *, may_be_empty: bool = False) -> Any:
    """A value as its type has it: str, int, float, bool, Path, a tuple of these, one of these or None; what else a type
    is, its annotations make.
    Raises WrongValueError if it is none."""
    if is_optional := NoneType in get_args(kind):
        [kind] = (part for part in get_args(kind) if part is not NoneType)
    kind, *checks = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    try:
        if isinstance(value, str):
            value = setting(value)
        if is_optional and value in (None, ""):
            return None
        if value == "" and not may_be_empty:
            raise ValueError("must not be empty")
        if get_origin(kind) is tuple:
            return _read_list(get_args(kind)[0], value, may_be_empty=may_be_empty)
        value = _READERS[kind](value) if kind in _READERS else value
        for check in checks:
            value = check(value)
    except WrongValueError:
        raise
    except ValueError as error:
        raise WrongValueError((), value, str(error)) from error
    return value


def _read_list(kind: Any, value: object, *, may_be_empty: bool) -> tuple[Any, ...]:
    """The values of a list; a text has commas between them, as variables have no lists."""
    if isinstance(value, str):
        value = [part for part in map(setting, value.split(",")) if part]
        if not value and not may_be_empty:
            raise ValueError("must not be empty")
    if not isinstance(value, list | tuple):
        raise ValueError("Input should be a valid tuple")
    read = []
    for index, part in enumerate(value):
        try:
            read.append(read_value(kind, part))
        except WrongValueError as error:
            raise WrongValueError((index, *error.at), error.value, error.reason) from error
    return tuple(read)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("Input is not a valid path")
    return Path(value)


def _whole_number(value: object) -> int:
    if isinstance(value, str):
        with suppress(ValueError):
            return int(plain(value))
    elif isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0:
        return int(value)
    raise ValueError("Input should be a valid integer")


def _number(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            return float(plain(value) if isinstance(value, str) else value)
    raise ValueError("Input should be a valid number")


def _truth(value: object) -> bool:
    truth = _TRUTH.get(str(value).lower())
    if truth is None:
        raise ValueError("Input should be a valid boolean, such as true or false")
    return truth


_READERS: Final[dict[Any, Callable[[object], object]]] = {
    str: _text,
    Path: _path,
    int: _whole_number,
    float: _number,
    bool: _truth,
}
