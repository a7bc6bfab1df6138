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
    """Check the schema, that every counter agrees with the seats it counts, and that the audit is as it was written."""
    from master.store.database import StorageError

    settings = settings_from(file, database_url=database_url)
    try:
        counters, chains = asyncio.run(_mismatches(settings.database_url))
    except (StorageError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error
    if counters:
        raise CommandFailed("the counters do not agree with the seats", lines=[*counters, *chains])
    if chains:
        raise CommandFailed("the audit is not what was written", lines=chains)
    typer.echo("schema, counters and audit are right")


async def _mismatches(database_url: str) -> tuple[list[str], list[str]]:
    from master.leasing.audit import Audit
    from master.store import schema
    from master.store.database import open_database
    from master.store.integrity import counter_mismatches

    database = open_database(database_url)
    try:
        await schema.check(database)
        counters = await database.read(counter_mismatches)
        walked = await Audit(database).verify_all()
        return counters, [f"project {one.project}: {one.defect.message}" for one in walked if one.defect]
    finally:
        await database.close()
