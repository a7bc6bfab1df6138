"""`license-master settings`: which settings a master has, and what they are here.

`settings list --markdown` is docs/settings.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from licensemaster.files.texts import read_text
from licensemaster.values.bounded import OF_SETTINGS, read_toml
from master.cli.connection.options import JsonOption
from master.cli.output.rendering import add_row, print_json_object, stdout_console, table, visible, write_out
from master.cli.server.serve import DatabaseUrl, SettingsFile, settings_from
from master.variables import PREFIX

app = typer.Typer(help="What can be set of a master, and what is set here.", no_args_is_help=True)

_LIMITS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
_HIDDEN = "(not shown: it may hold a password)"
_PAGE = """\
# Settings

Of one master process. Each is a variable, its name in capitals behind `LICENSE_MASTER_`
(`LICENSE_MASTER_TTL_SECONDS=120`), or a key of a TOML file (`serve --settings FILE`: `ttl_seconds = 120`).
Options of `serve` count more than variables, variables more than the file. A name that is misspelt is refused.
`license-master settings show` says what each is here, and who says so.

This page is made by `license-master settings list --markdown`.

| setting | default | limits | meaning |
|---|---|---|---|
{rows}
"""


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as people read of it."""

    name: str
    variable: str
    default: str
    limits: str
    meaning: str


def described() -> Iterator[Described]:
    """All settings, in the order of the model."""
    from master.settings import Settings

    for name, field in Settings.model_fields.items():
        bounds = [(key, getattr(bound, key)) for bound in field.metadata for key in _LIMITS if hasattr(bound, key)]
        limits = ", ".join(f"{_LIMITS[key]} {value:,}" for key, value in bounds)
        meaning = " ".join((field.description or "").split())
        yield Described(name, f"{PREFIX}{name.upper()}", _text(field.default), limits, meaning)


@app.command("list")
def list_settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/settings.md.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List all settings with their defaults, limits and meanings."""
    if as_json:
        print_json_object({"settings": [asdict(setting) for setting in described()]})
    elif markdown:
        write_out(page())
    else:
        shown = table("Setting", "Default", "Limits", "Meaning")
        for setting in described():
            add_row(shown, visible(setting.name, "bold"), setting.default, setting.limits, setting.meaning)
        stdout_console().print(shown)


@app.command("show")
def show(file: SettingsFile = None, database_url: DatabaseUrl = None, as_json: JsonOption = False) -> None:
    """Show what each setting is here, and who says so: `serve` started here would go by it."""
    settings = settings_from(file, database_url=database_url)
    in_file = set(read_toml(read_text(file), OF_SETTINGS)) if file else set()
    rows = []
    for setting in described():
        value = _text(getattr(settings, setting.name))
        if not type(settings).model_fields[setting.name].repr and value != setting.default:
            value = _HIDDEN
        rows.append((setting.name, value, _said_by(setting, file, in_file, given=database_url is not None)))
    if as_json:
        print_json_object({"settings": [dict(zip(("name", "value", "from"), row, strict=True)) for row in rows]})
        return
    shown = table("Setting", "Value", "From")
    for name, value, source in rows:
        is_default = source == "default"
        add_row(shown, name, visible(value, "" if is_default else "bold"), visible(source, "dim" if is_default else ""))
    stdout_console().print(shown)


def page() -> str:
    """docs/settings.md."""
    rows = [
        f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else ''} | {setting.limits} |"
        f" {setting.meaning.replace('|', chr(92) + '|')} |"
        for setting in described()
    ]
    return _PAGE.format(rows="\n".join(rows))


def _said_by(setting: Described, file: Path | None, in_file: set[str], *, given: bool) -> str:
    if given and setting.name == "database_url":
        return "--database-url"
    variable = next((name for name in os.environ if name.upper() == setting.variable), None)
    return variable or (str(file) if setting.name in in_file else "default")


def _text(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
