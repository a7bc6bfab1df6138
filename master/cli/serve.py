"""`license-master serve`: one master process, until it is told to stop.

What runs a master is imported by the commands that do: the others, which ask one, start four times as fast without.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from master.cli.failure import CommandFailed

if TYPE_CHECKING:
    from master.settings import Settings

SettingsFile = Annotated[Path | None, typer.Option("--settings", help="TOML file with settings.", exists=True)]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", help="sqlite:///FILE or postgresql://USER@HOST/NAME.", show_default=False),
]


def settings_from(file: Path | None, **values: object) -> Settings:
    """Settings from file, environment and command line.

    Raises:
        CommandFailed: one is unknown or out of bounds; names it.
    """
    import pydantic

    from master.settings import load_settings

    try:
        return load_settings(file, **{key: value for key, value in values.items() if value is not None})
    except pydantic.ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['input']!r}: {one['msg']}" for one in error.errors()]
        raise CommandFailed("the settings are wrong:\n" + "\n".join(lines)) from error


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
    from master.domain.catalog_file import CatalogError
    from master.logs import configure_logs
    from master.store.database import StorageError

    settings = settings_from(
        file,
        database_url=database_url,
        listen=listen,
        metrics_listen=metrics_listen,
        plaintext=plaintext or None,
    )
    configure_logs()
    try:
        uvloop.run(run_master(settings))
    except (StorageError, CatalogError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error
