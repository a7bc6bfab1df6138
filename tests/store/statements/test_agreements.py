"""The ledger's rows: kept as they were written, numbered once."""

from __future__ import annotations

from datetime import date

import pytest

from master.domain.agreements.ledger.entries import Entry, EntryKind
from master.domain.catalog.subjects import PROJECT, Subject
from master.store.backends.database import Database, Tx
from master.store.statements import agreements as store

_PROJECT = (
    "INSERT INTO project (id, name, display_name, catalog, revision, applied_at, epoch_floor)"
    " VALUES (1, 'acme', '', 'innovaphone', 1, 0, 0)"
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
        tx.rows(_PROJECT)
        store.append(tx, 1, written[:2])
        store.append(tx, 1, written[2:])

    await database.transact(write)
    actual = await database.read(
        lambda tx: (
            store.entries(tx, 1),
            store.entries(tx, 1, after=2),
            store.last_number(tx, 1),
            store.projects_with_entries(tx),
        )
    )
    assert actual == (written, written[2:], 3, ["acme"])
    assert await database.read(lambda tx: (store.entries(tx, 2), store.last_number(tx, 2))) == ([], 0)


async def test_a_number_is_taken_once(database: Database) -> None:
    def write(tx: Tx) -> None:
        tx.rows(_PROJECT)
        store.append(tx, 1, [entry(1)])

    await database.transact(write)
    with pytest.raises(Exception, match="agreement_entry"):
        await database.transact(lambda tx: store.append(tx, 1, [entry(1)]))
    assert len(await database.read(lambda tx: store.entries(tx, 1))) == 1
