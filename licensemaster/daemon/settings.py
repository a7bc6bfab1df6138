"""Settings of a long-running process: read once, from variables with a prefix or a TOML file, and described to people.

Decides: who counts more (arguments, then variables, then the file), what pasting and secrets bring along, and how what
is wrong is said. Leaves to others: which settings there are, each a field with its limits and a docstring.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from licensemaster.files.texts import FileError, read_text
from licensemaster.values import plain, setting
from licensemaster.values.bounded import OF_SETTINGS, read_toml
from licensemaster.values.similar import closest
from licensemaster.values.toml_lines import FieldPath, TomlLines

_LIMITS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


class SettingsError(Exception):
    """Settings are wrong: `lines` say which and where, one each, and never what may be a secret."""

    def __init__(self, message: str, *, lines: Iterable[str] = (), remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.lines, self.remedy = message, tuple(lines), remedy


class DaemonSettings(BaseModel):
    """What all have in common. A setting that `repr` hides is never shown."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    prefix: ClassVar[str]
    """What the names of variables begin with."""
    may_be_empty: ClassVar[frozenset[str]] = frozenset()
    """Texts and lists that may be set to nothing."""

    @field_validator("*", mode="before")
    @classmethod
    def _cleaned(cls, value: object, field: ValidationInfo) -> object:
        """A value without what came along when it was pasted, exported or kept as a secret; a list may be a text with
        commas in it, as variables have no lists."""
        name = str(field.field_name)
        kind, may_be_empty = cls.model_fields[name].annotation, name in cls.may_be_empty
        if isinstance(value, str) and get_origin(kind) is tuple:
            value = [part for part in map(setting, setting(value).split(",")) if part]
            if not value and not may_be_empty:
                raise ValueError("must not be empty")
        if isinstance(value, list | tuple):
            return [_text(part) if isinstance(part, str) else part for part in value]
        if not isinstance(value, str):
            return value
        if kind in (int, float):
            return plain(setting(value))
        if type(None) in get_args(kind):
            return setting(value) or None
        return setting(value) if may_be_empty else _text(value)


def _text(value: str) -> str:
    if not (bare := setting(value)):
        raise ValueError("must not be empty")
    return bare


Kind = TypeVar("Kind", bound=DaemonSettings)


def load(kind: type[Kind], file: Path | None, **values: object) -> Kind:
    """Settings from a file, the environment and `values`, the later ones first.

    Raises:
        pydantic.ValidationError: a setting is unknown or out of bounds.
        licensemaster.files.texts.FileError: the file cannot be read.
    """
    return kind.model_validate({**_in_file(file), **_in_variables(kind), **values})


def _in_file(file: Path | None) -> dict[str, Any]:
    return {} if file is None else read_toml(read_text(file), OF_SETTINGS)


def _in_variables(kind: type[DaemonSettings]) -> dict[str, str]:
    settings = {f"{kind.prefix}{name.upper()}": name for name in kind.model_fields}
    return {settings[name.upper()]: value for name, value in os.environ.items() if name.upper() in settings}


def load_for_command(kind: type[Kind], file: Path | None, *, besides: Collection[str] = (), **values: object) -> Kind:
    """The same for a command, whose `values` are None where nothing was said; `besides` are variables of our prefix
    that are no settings.

    Raises:
        SettingsError: a setting is unknown or out of bounds, or the file cannot be read; names it.
    """
    if lines := unknown_variables(os.environ, kind, besides):
        raise SettingsError("the environment names what is no setting", lines=lines, remedy="correct or unset them")
    try:
        return load(kind, file, **{key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        for problem in error.errors():
            name, place = ".".join(map(str, problem["loc"])), _place(kind.prefix, file, problem["loc"], besides=values)
            field = kind.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
            said = "not set" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
            if field is None and problem["loc"]:  # its value may be a secret under a misspelt name
                lines.append(f"{place}{name}: no such setting{closest(name, kind.model_fields)}")
            elif field is None:
                lines.append(said)
            else:
                seen = f"{problem['input']!r}: " if field.repr and problem["type"] != "missing" else ""
                lines.append(f"{place}{name}: {seen}{said}")
        raise SettingsError("the settings are wrong", lines=lines) from error
    except FileError as error:
        raise SettingsError(str(error)) from error
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        raise SettingsError(f"{file}: cannot be read as TOML: {error}") from error


def unknown_variables(given: Iterable[str], kind: type[DaemonSettings], besides: Collection[str]) -> list[str]:
    """Variables of our prefix that nobody reads, a line each, with the closest that somebody does."""
    known = {*besides, *(f"{kind.prefix}{name.upper()}" for name in kind.model_fields)}
    return [
        f"{name}: no such setting{closest(name.upper(), known)}"
        for name in sorted(given)
        if name.upper().startswith(kind.prefix) and name.upper() not in known
    ]


def _place(prefix: str, file: Path | None, at: FieldPath, *, besides: Mapping[str, object]) -> str:
    """Where in the file a setting stands; empty where the command line or a variable says it."""
    name = str(at[0]) if at else ""
    if file is None or besides.get(name) is not None or f"{prefix}{name}".upper() in map(str.upper, os.environ):
        return ""
    return f"{file}:{TomlLines(read_text(file)).line_of(at)}: "


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as people read of it."""

    name: str
    variable: str
    default: str
    limits: str
    meaning: str


def described(kind: type[DaemonSettings]) -> Iterator[Described]:
    """All settings, in the order of the model."""
    for name, field in kind.model_fields.items():
        bounds = [(key, getattr(bound, key)) for bound in field.metadata for key in _LIMITS if hasattr(bound, key)]
        limits = ", ".join(f"{_LIMITS[key]} {value:,}" for key, value in bounds)
        meaning = " ".join((field.description or "").split())
        default = "" if field.is_required() else shown(field.default)
        yield Described(name, f"{kind.prefix}{name.upper()}", default, limits, meaning)


def rows_of_page(kind: type[DaemonSettings]) -> str:
    """The rows of a Markdown table of all settings: name, default, limits, meaning."""
    return "\n".join(
        f"| `{row.name}` | {f'`{row.default}`' if row.default else ''} | {row.limits} |"
        f" {row.meaning.replace('|', chr(92) + '|')} |"
        for row in described(kind)
    )


def values_and_sources(
    settings: DaemonSettings, file: Path | None, *, options: Collection[str] = (), hidden: str
) -> Iterator[tuple[str, str, str]]:
    """What each setting is and who says so: a variable, the file, an option, or nobody ("default").

    `options` are the settings that the command line gave; `hidden` stands for what is never shown.
    """
    in_file = _in_file(file)
    for row in described(type(settings)):
        value = shown(getattr(settings, row.name))
        if not type(settings).model_fields[row.name].repr and value != row.default:
            value = hidden
        variable = next((name for name in os.environ if name.upper() == row.variable), None)
        source = variable or (str(file) if row.name in in_file else "default")
        yield row.name, value, f"--{row.name.replace('_', '-')}" if row.name in options else source


def shown(value: Any) -> str:
    """A setting's value as text, as it would be written."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
