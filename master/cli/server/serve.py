"""`license-master serve`: one master process, until it is stopped.

What runs a master is imported by the commands that do: the others, which ask one, start four times as fast without.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from master.cli.connection.own_settings import settings_from
from master.cli.output.failure import CommandFailed
from master.variables import PREFIX

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file with settings.", exists=True, dir_okay=False)
]
_PASSWORD = re.compile(r"^[^/?#]*//[^/?#@]*:[^@]*@|(?:^|[?&\s])(?:ssl)?password\s*=", re.IGNORECASE)


def without_password(url: str | None) -> str | None:
    """Return the URL that an option gave, unchanged.
    Raises typer.BadParameter if the URL holds a password; everybody on the machine can read a command's arguments."""
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
        callback=without_password,
    ),
]


@contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Hide packages from imports inside the `with` block, unless they are loaded already."""
    absent = [package for package in packages if sys.modules.setdefault(package, None) is None]  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]


def serve(
    file: SettingsFile = None,
    database_url: DatabaseUrl = None,
    listen: Annotated[str | None, typer.Option(help="Address of the gRPC services.")] = None,
    metrics_listen: Annotated[str | None, typer.Option(help="Address of the metrics page.")] = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help="Serve without certificates, to this machine only: for trying out.")
    ] = False,
) -> None:
    """Serve leases until stopped; SIGTERM lets running calls finish."""
    import uvloop

    gc.disable()  # until it serves: loading makes no cycles, and looking for some took a fifth of its time
    # With which structlog would render tracebacks and tell greenlets apart: a sixteenth of what a master takes.
    with _without("rich", "greenlet"):
        import structlog  # noqa: F401

    from licensemaster.daemon.logs.lines import logging_to_stderr
    from master.app import serve as run_master
    from master.domain.catalog.catalog_file import CatalogError
    from master.process.tasks import TaskLostError
    from master.store.backends.database import StorageError

    settings = settings_from(
        file, database_url=database_url, listen=listen, metrics_listen=metrics_listen, plaintext=plaintext or None
    )
    try:
        with logging_to_stderr():
            uvloop.run(run_master(settings))
    except (StorageError, CatalogError, TaskLostError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error
