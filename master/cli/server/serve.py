"""`license-master serve`: one master process, until it is stopped.

What runs a master is imported by the commands that do: the others, which ask one, start four times as fast without.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensemaster.files.texts import FileError, read_text
from master.cli.output.failure import CommandFailed
from master.variables import PREFIX

if TYPE_CHECKING:
    from master.domain.catalog.toml_lines import FieldPath
    from master.settings import Settings

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file with settings.", exists=True, dir_okay=False)
]
_PASSWORD = re.compile(r"^[^/?#]*//[^/?#@]*:[^@]*@|(?:^|[?&\s])(?:ssl)?password\s*=", re.IGNORECASE)


def without_password(url: str | None) -> str | None:
    """The same URL, as an option gave it.

    Raises:
        typer.BadParameter: it holds a password; everybody on the machine can read what commands were called with.
    """
    if url is not None and _PASSWORD.search(url):
        raise typer.BadParameter(
            "holds a password, which the list of processes and the shell's history would show; give the URL in the"
            f" variable {PREFIX}DATABASE_URL, or as database_url in a file that is yours alone: --settings FILE"
        )
    return url


DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help=f"sqlite:///FILE or postgresql://USER@HOST/NAME; with a password in {PREFIX}DATABASE_URL only.",
        show_default=False,
        callback=without_password,
    ),
]


def settings_from(file: Path | None, **values: object) -> Settings:
    """Settings from file, environment and command line.

    Raises:
        CommandFailed: one is unknown or out of bounds; names it.
    """
    import pydantic

    from master.domain.catalog.similar import closest
    from master.settings import Settings, load_settings
    from master.variables import unknown_variables

    known = Settings.model_fields
    if lines := unknown_variables(os.environ, known):
        raise CommandFailed("the environment names what is no setting", lines=lines, remedy="correct or unset them")
    try:
        return load_settings(file, **{key: value for key, value in values.items() if value is not None})
    except pydantic.ValidationError as error:
        for one in error.errors():
            name, place = ".".join(map(str, one["loc"])), _place(file, one["loc"], besides=values)
            field = known.get(str(one["loc"][0])) if one["loc"] else None
            if field is None:  # its value may be a secret under a misspelt name
                lines.append(f"{place}{name}: no such setting{closest(name, known)}")
            else:
                lines.append(f"{place}{name}: {repr(one['input']) + ': ' if field.repr else ''}{_words(one['msg'])}")
        raise CommandFailed("the settings are wrong", lines=lines) from error
    except FileError as error:
        raise CommandFailed(str(error)) from error
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        raise CommandFailed(f"{file}: cannot be read as TOML: {error}") from error


def _place(file: Path | None, at: FieldPath, *, besides: Mapping[str, object]) -> str:
    """Where in the file a setting stands; empty where the command line or a variable says it."""
    from master.domain.catalog.toml_lines import TomlLines

    name = str(at[0]) if at else ""
    if file is None or besides.get(name) is not None or f"{PREFIX}{name}".upper() in map(str.upper, os.environ):
        return ""
    return f"{file}:{TomlLines(read_text(file)).line_of(at)}: "


def _words(said: str) -> str:
    return said.removeprefix("Value error, ")


def serve(
    file: SettingsFile = None,
    database_url: DatabaseUrl = None,
    listen: Annotated[str | None, typer.Option(help="Address of the gRPC services.", show_default=False)] = None,
    metrics_listen: Annotated[str | None, typer.Option(help="Address of the metrics page.", show_default=False)] = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help="Serve without certificates, to this machine only: for trying out.")
    ] = False,
) -> None:
    """Serve leases until stopped; SIGTERM lets running calls finish."""
    import uvloop

    from master.app import serve as run_master
    from master.domain.catalog.catalog_file import CatalogError
    from master.logs.lines import logging_to_stderr
    from master.process.tasks import TaskLostError
    from master.store.backends.database import StorageError

    settings = settings_from(
        file,
        database_url=database_url,
        listen=listen,
        metrics_listen=metrics_listen,
        plaintext=plaintext or None,
    )
    try:
        with logging_to_stderr():
            uvloop.run(run_master(settings))
    except (StorageError, CatalogError, TaskLostError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error
