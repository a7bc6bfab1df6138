"""The ledger's rows: kept as they were written, numbered once; and a database of before, brought to it."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
from alembic import command
from sqlalchemy import Connection, text

from master.domain.agreements.entries import PROJECT, Entry, EntryKind, Subject
from master.store import agreements as store
from master.store import schema
from master.store.database import Database, Tx
from master.store.urls import parse_url

_PROJECT = (
    "INSERT INTO project (id, name, display_name, catalog, revision, applied_at, epoch_floor)"
    " VALUES (1, 'acme', '', 'innovaphone', 1, 0, 0)"
)
_LICENSE = (
    "INSERT INTO license (project_id, id, type, quantity, file, agreement_ends_at)"
    " VALUES (1, '{}', 'port', 1, 'f-1', {})"
)


def entry(number: int, **details: object) -> Entry:
    return Entry(
        number=number,
        order=number,
        given_reason="a slip",
        recorded_at=1_800_000_000.25,
        caller="anna",
        kind=EntryKind.TERM_ADDED if number % 2 else EntryKind.CREDITS_ADDED,
        day=date(9999, 12, 31),
        subject=Subject("license", "Zürich ☎") if number % 2 else PROJECT,
        policy="ssa",
        details=details,
        reason="weil's so ist",
        rules=("M1", "M6"),
    )


async def test_what_is_written_is_read_again(database: Database) -> None:
    written = [entry(1, begins="2026-01-01", counts={"user": 20}), entry(2, amount="10.50"), entry(3)]

    def write(tx: Tx) -> None:
        tx.connection.execute(text(_PROJECT))
        store.append(tx, 1, written[:2], request_id="one")
        store.append(tx, 1, written[2:], request_id="two")

    await database.transact(write)
    found = await database.read(
        lambda tx: (
            store.entries(tx, 1),
            store.entries(tx, 1, after=2),
            store.entries_of_request(tx, 1, "one"),
            store.last_number(tx, 1),
            store.projects_with_entries(tx),
        )
    )
    assert found == (written, written[2:], written[:2], 3, ["acme"])
    assert await database.read(lambda tx: (store.entries(tx, 2), store.last_number(tx, 2))) == ([], 0)


async def test_a_number_is_taken_once(database: Database) -> None:
    def write(tx: Tx) -> None:
        tx.connection.execute(text(_PROJECT))
        store.append(tx, 1, [entry(1)], request_id="one")

    await database.transact(write)
    with pytest.raises(Exception, match="agreement_entry"):
        await database.transact(lambda tx: store.append(tx, 1, [entry(1)], request_id="two"))
    assert len(await database.read(lambda tx: store.entries(tx, 1))) == 1


async def test_what_files_said_before_is_kept(database: Database, database_url: str) -> None:
    await asyncio.to_thread(_downgrade, database_url)

    def fill(tx: Tx) -> None:
        for statement in (
            _PROJECT,
            _LICENSE.format("covered", "1900000000.0"),
            _LICENSE.format("uncovered", "NULL"),
        ):
            tx.connection.execute(text(statement))

    await database.transact(fill)
    await asyncio.to_thread(schema.upgrade, database_url)
    rows = await database.read(
        lambda tx: tx.rows("SELECT id, agreement_ends_at, file_agreement_ends_at FROM license ORDER BY id")
    )
    assert [tuple(row) for row in rows] == [("covered", 1.9e9, 1.9e9), ("uncovered", None, None)]
    assert await database.read(lambda tx: store.projects_with_entries(tx)) == []


def _downgrade(database_url: str) -> None:
    def run(connection: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0008")

    schema._with_connection(parse_url(database_url), run)
