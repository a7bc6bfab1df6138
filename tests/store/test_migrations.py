"""A database of an earlier version, with what was in it, brought to this one; the chain alone also back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from licensemaster.v1 import audit_pb2
from master.leasing.audit import Audit
from master.store import schema
from master.store.database import Database, StorageError, Tx, open_database
from master.store.sqlite import made_file
from master.store.urls import parse_url
from tests.rpc.failures import NAME
from tests.support.estates import project
from tests.support.masters import Clock, in_process_master, sqlite_url
from tests.support.pbx import granted, opened, seats
from tests.support.postgres import PostgresServer

EVENTS = 2_345
"""More than the migration reads at a time."""


def _at(url: str, revision: str, *, down: bool = False) -> None:
    """Bring a database to a revision that is not the newest."""

    def run(connection: object) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)

    if url.startswith("sqlite"):
        made_file(parse_url(url))
    schema._with_connection(parse_url(url), run)


def _fill(tx: Tx) -> None:
    """Two projects, whose events came in turn; one PBX is gone since."""
    tx.many(
        "INSERT INTO project (id, name, display_name, catalog, revision, applied_at, epoch_floor)"
        " VALUES (?1, ?2, '', 'innovaphone', 1, 0.0, 0)",
        [(1, "acme"), (2, "other"), (3, "silent")],
    )
    tx.many("INSERT INTO device (id, project_id, name, platform, model) VALUES (?1, 1, ?2, 'gateway', '')", [(1, "x")])
    tx.many(
        "INSERT INTO pbx (id, project_id, name, site, device_id, role, software_version, standby_for)"
        " VALUES (?1, 1, ?2, '', 1, 1, '12', '')",
        [(7, "berlin")],
    )
    tx.many(
        "INSERT INTO event (at, project_id, pbx_id, kind, caller, request_id, details)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [
            (
                1_800_000_000.123456 + number / 7,
                1 + number % 2,
                (None, 7, 8)[number % 3],
                "seats.acquired",
                "Jürgen (ipv4:10.0.0.1:5)",
                f"request-{number}" if number % 5 == 0 else None,
                json.dumps({"port": [f"phone-{number}", "😀"]}, ensure_ascii=False),
            )
            for number in range(EVENTS)
        ],
    )


@pytest.fixture(params=["sqlite", "postgresql"])
async def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of version 0.1 with events in it."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path)
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = await server.new_database()
    await asyncio.to_thread(_at, url, "0001")
    database = open_database(url)
    await database.transact(_fill)
    await database.close()
    return url


async def _in_database(url: str, work: object) -> object:
    database = open_database(url)
    try:
        return await work(database)  # type: ignore[operator]
    finally:
        await database.close()


async def test_events_of_version_0_1_are_chained(old_url: str) -> None:
    assert await asyncio.to_thread(schema.upgrade, old_url) == ("0001", schema.newest())

    async def look(database: Database) -> None:
        audit = Audit(database)
        found = {one.project: one for one in await audit.verify_all()}
        assert all(one.defect is None for one in found.values())
        assert {name: one.events for name, one in found.items()} == {
            "acme": EVENTS // 2 + 1, "other": EVENTS // 2, "silent": 0,
        }  # fmt: skip
        export = await audit.export("acme", since_seq=1)
        records = [record async for piece in export.pieces for record in piece]
        assert [record.details for record in records] == [
            json.dumps({"port": [f"phone-{number}", "😀"]}, ensure_ascii=False) for number in range(0, EVENTS, 2)
        ]
        for number, record in zip(range(0, EVENTS, 2), records, strict=True):
            assert record.time_us == round((1_800_000_000.123456 + number / 7) * 1_000_000)
            assert record.pbx == ("berlin" if number % 3 == 1 else "")
            assert record.request_id == (f"request-{number}" if number % 5 == 0 else "")
            assert (record.kind, record.caller, record.reason) == ("seats.acquired", "Jürgen (ipv4:10.0.0.1:5)", "")

    await _in_database(old_url, look)


async def test_an_upgraded_database_goes_on(old_url: str) -> None:
    await asyncio.to_thread(schema.upgrade, old_url)

    async def remove(database: Database) -> None:
        await database.transact(lambda tx: [tx.rows(f"DELETE FROM {table}") for table in ("pbx", "device")])

    await _in_database(old_url, remove)
    async with in_process_master(old_url, Clock()) as master:
        described = project({"PBX-Port12": 5})
        await master.wire.apply(described)
        berlin = await opened(master.wire, "berlin")
        granted(await berlin.acquire(*seats("port", 2)))
        answer = await master.wire.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(project=NAME))
        assert (answer.events, answer.HasField("defect")) == (EVENTS // 2 + 1 + 3, False)


async def test_an_upgrade_that_fails_changes_nothing(old_url: str) -> None:
    async def spoil(database: Database) -> None:
        await database.transact(lambda tx: tx.rows("CREATE TABLE audit_head (x int)"))

    async def count(database: Database) -> tuple[int, list[str]]:
        def look(tx: Tx) -> tuple[int, list[str]]:
            revision = tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
            return int(tx.rows("SELECT COUNT(at) FROM event")[0][0]), list(revision)

        return await database.read(look)

    await _in_database(old_url, spoil)
    with pytest.raises(StorageError, match="audit_head"):
        await asyncio.to_thread(schema.upgrade, old_url)
    assert await _in_database(old_url, count) == (EVENTS, ["0001"])


async def test_a_chain_can_be_taken_apart_again(old_url: str) -> None:
    async def events(database: Database) -> list[tuple[object, ...]]:
        statement = "SELECT at, project_id, kind, caller, request_id, details FROM event ORDER BY at, id"
        return [tuple(row) for row in await database.read(lambda tx: tx.rows(statement))]

    before = await _in_database(old_url, events)
    await asyncio.to_thread(_at, old_url, "0002")
    await asyncio.to_thread(lambda: _at(old_url, "0001", down=True))
    after = await _in_database(old_url, events)
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert [row[1:] for row in after] == [row[1:] for row in before]
    assert [round(row[0] * 1e6) for row in after] == [round(row[0] * 1e6) for row in before]
    await asyncio.to_thread(schema.upgrade, old_url)
