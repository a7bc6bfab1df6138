"""`license-master db`: make, upgrade, check, back up and restore the database."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace  # noqa: TID251  # of settings, which are a data class
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensemaster.files.texts import opened
from master.cli.connection.account import account
from master.cli.connection.options import JsonOption
from master.cli.connection.own_settings import settings_from
from master.cli.output.changes import change_under_way, note_change, take_termination
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import json_time, print_json_object, stderr_console
from master.cli.server.serve import DatabaseUrl, SettingsFile

if TYPE_CHECKING:
    from master.settings import Settings
    from master.store.upkeep.backup import Progress

_GUIDE = "docs/backup.md has the whole of it, step by step"
_DAMAGED = "keep it as it is, and restore the newest backup that is sound: `license-master db restore FILE --force`"
_ON_A_SERVER = (
    "one moment:      pg_dump --format=custom --file=license-master.dump 'POSTGRESQL-URL'",
    "every moment:    pg_basebackup --pgdata=BASE --wal-method=stream, and archive the WAL",
)
_BACK_ON_A_SERVER = (
    "1. stop every master",
    "2. pg_restore --clean --if-exists --single-transaction --dbname='POSTGRESQL-URL' license-master.dump",
    "3. license-master db upgrade",
    "4. license-master db restored",
    "5. start the masters",
)

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command()
def upgrade(
    create: Annotated[
        bool, typer.Option("--create", help="Where there is no database yet, make one: an empty estate.")
    ] = False,
    file: SettingsFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Bring the database to the schema of this version."""
    from master.store.upkeep import schema

    settings = settings_from(file, database_url=database_url)
    with _as_command_failures(), change_under_way():
        before, after = schema.upgrade(
            settings.database_url, schema.IfAbsent.CREATE if create else schema.IfAbsent.REFUSE
        )
    typer.echo(f"the database is at revision {after}" + ("" if before == after else f" (was {before or 'empty'})"))


@app.command()
def check(file: SettingsFile = None, database_url: DatabaseUrl = None) -> None:
    """Check the schema, that every counter agrees with the seats it counts, and that the audit is as it was written.

    Of a SQLite database, also that the file is undamaged.
    """
    from master.store.backends.sqlite import existing_file, opened_file
    from master.store.backends.urls import SqliteUrl, parse_url

    settings = settings_from(file, database_url=database_url)
    with _as_command_failures():
        if isinstance(url := parse_url(settings.database_url), SqliteUrl):
            with closing(opened_file(source := existing_file(url))):
                _check_undamaged(source, remedy=_DAMAGED)
        _checked(settings.database_url)
    typer.echo("schema, counters and audit are right")


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; a new file.")],
    as_json: JsonOption = False,
    file: SettingsFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Copy a SQLite database while masters serve it, and check the copy. Of PostgreSQL, say which commands do."""
    from master.store.backends.database import StorageError
    from master.store.backends.sqlite import existing_file, opened_file
    from master.store.backends.urls import SqliteUrl, parse_url
    from master.store.upkeep import backup as copies
    from master.store.upkeep import schema

    settings = settings_from(file, database_url=database_url)
    with _as_command_failures():
        url = parse_url(settings.database_url)
        if not isinstance(url, SqliteUrl):
            raise CommandFailed("PostgreSQL is backed up by its own tools", lines=_ON_A_SERVER, remedy=_GUIDE)
        with (
            closing(opened_file(source := existing_file(url))),
            _shown_progress() as progress,
            copies.copied(source, target, progress=progress) as copy,
        ):
            _check_undamaged(copy, name=source, remedy=_DAMAGED)
            try:
                asyncio.run(_has_this_schema(_url_of(copy)))
            except StorageError:
                checked, projects = False, {}
            else:
                checked, projects = True, _checked(_url_of(copy))
    note_change()
    summary = {"file": str(target), "bytes": target.stat().st_size, "counters_and_audit_checked": checked}
    if as_json:
        print_json_object(
            {**summary, "projects": [{"project": f"projects/{name}", "seq": seq} for name, seq in projects.items()]}
        )
        return
    ends = ", ".join(f"{name} up to event {seq:,}" for name, seq in projects.items()) or "no project"
    schema_note = f"its schema is not that of this version ({schema.newest()}), so only the file itself was checked"
    typer.echo(f"{target}: {summary['bytes']:,} bytes; {f'{ends}; checked' if checked else schema_note}")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    force: Annotated[
        bool, typer.Option("--force", help="Although there is a database: it is kept beside, under another name.")
    ] = False,
    as_json: JsonOption = False,
    file: SettingsFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Put a backup in the place of a SQLite database that no master serves. Of PostgreSQL, say which commands do.

    Whatever was granted since the backup is unknown to it: the master that serves it learns first what is out.
    """
    from master.store.backends.sqlite import named_file
    from master.store.backends.urls import SqliteUrl, parse_url
    from master.store.upkeep import backup as copies
    from master.store.upkeep import schema

    settings = settings_from(file, database_url=database_url)
    aside: Path | None = None
    with _as_command_failures():
        url = parse_url(settings.database_url)
        if not isinstance(url, SqliteUrl):
            raise CommandFailed("PostgreSQL is restored by its own tools", lines=_BACK_ON_A_SERVER, remedy=_GUIDE)
        target = named_file(url)
        if target.exists():
            if not force:
                remedy = "--force keeps it beside, under another name, and puts the backup in its place"
                raise CommandFailed(f"{target} is a database already", remedy=remedy)
            aside = target.with_name(f"{target.name}.until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        _check_undamaged(source, remedy="take an older backup")
        with (
            change_under_way(),
            copies.kept_from_masters(target),
            _shown_progress() as progress,
            copies.copied(source, target, aside=aside, progress=progress) as copy,
        ):
            schema.upgrade(_url_of(copy))
            projects = _checked(_url_of(copy))
            ends = asyncio.run(_mark_restored(replace(settings, database_url=_url_of(copy))))
    if as_json:
        summary = {"file": str(target), "kept": str(aside) if aside else None}
        print_json_object(summary | {"projects": _learning_rows(ends, projects)})
        return
    typer.echo(f"{target} is restored")
    for name, until in ends.items():
        typer.echo(f"{name}, as of event {projects[name]:,}: {_learns(until)}")
    if aside:
        typer.echo(f"what was there is kept as {aside}")


@app.command()
def restored(as_json: JsonOption = False, file: SettingsFile = None, database_url: DatabaseUrl = None) -> None:
    """Say that the database was restored from a backup by other means, before any master serves it.

    Until every lease signed before has ended, nothing is granted beyond what PBXs prove by theirs.
    """
    settings = settings_from(file, database_url=database_url)
    with _as_command_failures(), change_under_way():
        ends = asyncio.run(_mark_restored(settings))
    if as_json:
        print_json_object({"projects": _learning_rows(ends, {})})
        return
    for name, until in ends.items():
        typer.echo(f"{name}: {_learns(until)}")


async def _mark_restored(settings: "Settings") -> dict[str, float]:
    from master.app import mark_restored

    return await mark_restored(settings, caller=f"license-master db ({account()})")


def _learning_rows(ends: dict[str, float], seqs: dict[str, int]) -> list[dict[str, object]]:
    return [
        {"project": f"projects/{name}", "learning_end_time": json_time(until)}
        | ({"seq": seqs[name]} if name in seqs else {})
        for name, until in ends.items()
    ]


def _learns(until: float) -> str:
    return f"learns until {_moment(until)}, and grants nothing until then beyond what PBXs prove"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


@contextmanager
def _as_command_failures() -> Iterator[None]:
    """Turn failures that a person can do something about into failures of the command."""
    from master.domain.catalog.catalog_file import CatalogError
    from master.store.backends.database import StorageError
    from master.store.upkeep.backup import BackupError

    take_termination()
    try:
        yield
    except (StorageError, BackupError, CatalogError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error


def _check_undamaged(file: Path, *, name: Path | None = None, remedy: str) -> None:
    from master.store.upkeep.backup import damage

    try:
        with opened(file):
            pass
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from error
    if damages := damage(file):
        raise CommandFailed(f"{name or file} is damaged, or no database", lines=damages[:10], remedy=remedy)


def _checked(database_url: str) -> dict[str, int]:
    """Check counters and audit, return the number of the last event by project; raises CommandFailed if wrong."""
    counters, chains, ends = asyncio.run(_mismatches(database_url))
    if counters:
        raise CommandFailed("the counters do not agree with the seats", lines=[*counters, *chains])
    if chains:
        raise CommandFailed("the audit is not what was written", lines=chains)
    return ends


async def _mismatches(database_url: str) -> tuple[list[str], list[str], dict[str, int]]:
    from master.service.monitoring.audit import Audit
    from master.store.backends.opening import open_database
    from master.store.upkeep import schema
    from master.store.upkeep.integrity import counter_mismatches

    database = open_database(database_url)
    try:
        await schema.check(database)
        counters = await database.read(counter_mismatches)
        walked = await Audit(database).verify_all()
        chains = [f"project {verified.project}: {verified.defect.message}" for verified in walked if verified.defect]
        return counters, chains, {verified.project: verified.end.seq for verified in walked}
    finally:
        await database.close()


async def _has_this_schema(database_url: str) -> None:
    from master.store.backends.opening import open_database
    from master.store.upkeep import schema

    database = open_database(database_url)
    try:
        await schema.check(database)
    finally:
        await database.close()


def _url_of(file: Path) -> str:
    return f"sqlite:///{file}"


@contextmanager
def _shown_progress() -> "Iterator[Progress]":
    """Show on a terminal how many pages are copied; yields the function that is told of progress."""
    from rich.progress import Progress as Bar

    with Bar(console=stderr_console(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("pages", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
