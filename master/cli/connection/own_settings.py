"""The settings and catalogs of a master on this machine, for commands; what is wrong with them ends the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from master.cli.output.failure import CommandFailed
from master.variables import COMMANDS

if TYPE_CHECKING:
    from master.domain.catalog.catalog import Catalog
    from master.settings import Settings


@contextmanager
def settings_errors() -> Iterator[None]:
    """Turn what is wrong with settings into a failure of the command."""
    from licensemaster.daemon.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        raise CommandFailed(error.message, lines=error.lines, remedy=error.remedy) from error


def settings_from(file: Path | None, **values: object) -> Settings:
    """Read settings from file, environment and command line.
    Raises CommandFailed if a setting is unknown or out of bounds, and names the setting."""
    from licensemaster.daemon.settings import load_for_command
    from master.settings import Settings

    with settings_errors():
        return load_for_command(Settings, file, besides=COMMANDS, **values)


def catalog_named(name: str) -> Catalog:
    """Return a catalog of those that come along, and those that the settings name.
    Raises CommandFailed if none has the name, or a setting or a catalog is wrong, FileError if one cannot be read."""
    from master.catalogs import load_catalogs
    from master.domain.catalog.catalog_file import CatalogError

    try:
        catalogs = load_catalogs(settings_from(None))
    except CatalogError as error:
        raise CommandFailed(str(error)) from error
    if name not in catalogs:
        raise CommandFailed(
            f"there is no catalog {name!r}; there are {', '.join(sorted(catalogs))}",
            remedy="LICENSE_MASTER_CATALOG_FILES names further catalog files",
        )
    return catalogs[name]
