"""`license-master catalog`: what license types there are, and whether a catalog file is right."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from licensemaster.files.texts import FileError, read_text
from master.cli.connection.own_settings import catalog_named
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import stdout_console
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.catalog_file import CatalogError, read_catalog

app = typer.Typer(help="License types.", no_args_is_help=True)


@app.command()
def show(name: Annotated[str, typer.Argument(help="The catalog's name.")] = "innovaphone") -> None:
    """Show the license types of a catalog that comes with the program."""
    stdout_console().print(_table(catalog_named(name)))


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A catalog file.", exists=True, dir_okay=False)]) -> None:
    """Check a catalog file."""
    try:
        catalog = read_catalog(read_text(file), file=str(file))
    except (CatalogError, FileError) as error:
        raise CommandFailed(str(error)) from error
    typer.echo(f"{file}: {len(catalog.types)} license types, no mistake")


def _table(catalog: Catalog) -> Table:
    table = Table("type", "key", "metered", "held by", "needs", "includes", "rules", title=catalog.title)
    for license_type in catalog.types.values():
        table.add_row(
            license_type.display_name,
            license_type.key,
            license_type.metering.value,
            ", ".join(sorted(kind.name.lower() for kind in license_type.holders)),
            " and ".join(" or ".join(needed.any_of) for needed in license_type.requires),
            ", ".join((*license_type.includes, *license_type.includes_per_pbx)),
            " ".join(license_type.rules),
        )
    return table
