"""`license-master db`: make, upgrade and check the database."""

import asyncio

import typer

from master.cli.failure import CommandFailed
from master.cli.serve import DatabaseUrl, SettingsFile, settings_from

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command()
def upgrade(file: SettingsFile = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database to the schema of this version; makes it where there is none."""
    from master.store import schema
    from master.store.database import StorageError

    settings = settings_from(file, database_url=database_url)
    try:
        before, after = schema.upgrade(settings.database_url)
    except (StorageError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error
    typer.echo(f"the database is at revision {after}" + ("" if before == after else f" (was {before or 'empty'})"))


@app.command()
def check(file: SettingsFile = None, database_url: DatabaseUrl = None) -> None:
    """Check the schema, and that every counter agrees with the seats it counts."""
    from master.store.database import StorageError

    settings = settings_from(file, database_url=database_url)
    try:
        found = asyncio.run(_mismatches(settings.database_url))
    except (StorageError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error
    if found:
        raise CommandFailed("the counters do not agree with the seats:\n" + "\n".join(found))
    typer.echo("schema and counters are right")


async def _mismatches(database_url: str) -> list[str]:
    from master.store import schema
    from master.store.database import open_database
    from master.store.integrity import counter_mismatches

    database = open_database(database_url)
    try:
        await schema.check(database)
        return await database.read(counter_mismatches)
    finally:
        await database.close()
