"""Settings of a long-running process: read once, from variables with a prefix or a TOML file, and described to people.

Decides: who counts more (arguments, then variables, then the file), what pasting and secrets bring along, and how what
is wrong is said. Leaves to others: which settings there are, each a field with its limits and a docstring.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints

from licensemaster.daemon.setting_values import Limits, WrongValueError, read_value
from licensemaster.files.texts import FileError, read_text
from licensemaster.values.bounded import OF_SETTINGS, read_toml
from licensemaster.values.similar import closest
from licensemaster.values.toml_lines import FieldPath, TomlLines


class SettingsError(Exception):
    """Settings are wrong: `lines` say which and where, one each, and never what may be a secret."""

    def __init__(self, message: str, *, lines: Iterable[str] = (), remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.lines, self.remedy = message, tuple(lines), remedy


class WrongSettingsError(ValueError):
    """Settings are unknown, missing or out of bounds: where each stands in a file, and what is wrong with it."""

    def __init__(self, problems: Iterable[tuple[FieldPath, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{_name(at)}\n  {reason}" for at, reason in self.problems))


class DaemonSettings:
    """What all have in common; each is a dataclass that no `repr` shows, with a docstring for every setting."""

    prefix: ClassVar[str]
    """What the names of variables begin with."""
    may_be_empty: ClassVar[frozenset[str]] = frozenset()
    """Texts and lists that may be set to nothing."""
    never_shown: ClassVar[frozenset[str]] = frozenset()
    """Secrets."""


Kind = TypeVar("Kind", bound=DaemonSettings)


def load(kind: type[Kind], file: Path | None, **values: object) -> Kind:
    """Settings from a file, the environment and `values`, the later ones first.
    Raises WrongSettingsError if a setting is unknown, missing or out of bounds, licensemaster.files.texts.FileError if
    the file cannot be read."""
    given = {**_in_file(file), **_in_variables(kind), **values}
    settings, types = settings_of(kind), get_type_hints(kind, include_extras=True)
    read, problems = dict[str, Any](), list[tuple[FieldPath, str]]()
    for name, field in settings.items():
        try:
            if name in given:
                read[name] = read_value(types[name], given[name], may_be_empty=name in kind.may_be_empty)
            elif field.default is MISSING:
                problems.append(((name,), "not set"))
        except WrongValueError as error:
            seen = "" if name in kind.never_shown else f"{error.value!r}: "
            problems.append(((name, *error.at), f"{seen}{error.reason}"))
    # The value of an unknown one is not told: it may be a secret under a misspelt name.
    problems += [((name,), f"no such setting{closest(name, settings)}") for name in given if name not in settings]
    if problems:
        raise WrongSettingsError(problems)
    return kind(**read)


def settings_of(kind: type[DaemonSettings]) -> Mapping[str, Field[Any]]:
    """The settings of a kind by name, in the order in which they stand there."""
    return {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # each kind is a dataclass


def _in_file(file: Path | None) -> dict[str, Any]:
    return {} if file is None else read_toml(read_text(file), OF_SETTINGS)


def _in_variables(kind: type[DaemonSettings]) -> dict[str, str]:
    settings = {f"{kind.prefix}{name.upper()}": name for name in settings_of(kind)}
    return {settings[name.upper()]: value for name, value in os.environ.items() if name.upper() in settings}


def load_for_command(kind: type[Kind], file: Path | None, *, besides: Collection[str] = (), **values: object) -> Kind:
    """The same for a command, whose `values` are None where nothing was said; `besides` are variables of our prefix
    that are no settings.
    Raises SettingsError if a setting is unknown or out of bounds, or the file cannot be read, and names it."""
    check_variables(kind, besides)
    try:
        return load(kind, file, **{key: value for key, value in values.items() if value is not None})
    except WrongSettingsError as error:
        lines = [
            f"{_place(kind.prefix, file, at, besides=values)}{_name(at)}: {reason}" for at, reason in error.problems
        ]
        raise SettingsError("the settings are wrong", lines=lines) from error
    except FileError as error:
        raise SettingsError(str(error)) from error
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        raise SettingsError(f"{file}: cannot be read as TOML: {error}") from error


def check_variables(kind: type[DaemonSettings], besides: Collection[str]) -> None:
    """Refuse variables of our prefix that are no settings, nor among `besides`: what they say would silently not count.
    Raises SettingsError if there are such variables; a line for each, with the closest name that somebody reads."""
    known = {*besides, *(f"{kind.prefix}{name.upper()}" for name in settings_of(kind))}
    lines = [
        f"{name}: no such setting{closest(name.upper(), known)}"
        for name in sorted(os.environ)
        if name.upper().startswith(kind.prefix) and name.upper() not in known
    ]
    if lines:
        raise SettingsError("the environment names what is no setting", lines=lines, remedy="correct or unset them")


def _name(at: FieldPath) -> str:
    return ".".join(map(str, at))


def _place(prefix: str, file: Path | None, at: FieldPath, *, besides: Mapping[str, object]) -> str:
    """Where in the file a setting stands; empty where the command line or a variable says it."""
    name = str(at[0])
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
    """All settings, in the order in which they stand there."""
    types, meanings = get_type_hints(kind, include_extras=True), _meanings(kind)
    for name, field in settings_of(kind).items():
        limits = next((str(part) for part in get_args(types[name]) if isinstance(part, Limits)), "")
        default = "" if field.default is MISSING else shown(field.default)
        yield Described(name, f"{kind.prefix}{name.upper()}", default, limits, meanings.get(name, ""))


def _meanings(kind: type[DaemonSettings]) -> dict[str, str]:
    """The docstring below each setting, which only its source has."""
    [definition] = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        setting.target.id: " ".join(text.split())
        for setting, below in pairwise(definition.body)
        if isinstance(setting, ast.AnnAssign) and isinstance(setting.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(text := below.value.value, str)
    }


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
        if row.name in settings.never_shown and value != row.default:
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
