"""A database of this version, with seats out, brought to later ones: step by step, whole or not at all."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import asyncpg
import pytest

from licensemaster.v1 import audit_pb2
from master.store.backends.database import Database, StorageError, StorageProblem, Tx
from master.store.upkeep import schema
from tests.rpc.failures import NAME
from tests.store import later
from tests.support.masters import Clock, in_process_master
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project


@pytest.fixture
async def lent(database_url: str) -> tuple[str, Clock]:
    """A database of this version in which a PBX holds two seats, and the clock that its leases go by."""
    clock = Clock()
    async with in_process_master(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 5}))
        granted(await (await opened(master.wire, "berlin")).acquire(*seats("port", 2)))
    return database_url, clock


def _state(tx: Tx) -> tuple[list[str], int, bool]:
    """Revisions, seats held, whether there is a table of notes."""
    revisions = [row[0] for row in tx.rows("SELECT version_num FROM alembic_version")]
    return revisions, tx.rows("SELECT COUNT(*) FROM seat")[0][0], "note" in schema.Look(tx.dialect, tx.rows).tables()


async def test_an_upgraded_database_goes_on(lent: tuple[str, Clock], database: Database, tmp_path: Path) -> None:
    url, clock = lent
    this = schema.newest()
    with later.version(later.chain(tmp_path / "chain", later.NOTES, later.COLUMN)) as newest:
        assert newest > this
        with pytest.raises(StorageError, match=f"at revision {this}, .* run `license-master db upgrade`") as refused:
            async with in_process_master(url, clock):
                pass
        assert refused.value.problem is StorageProblem.STORAGE_SCHEMA
        assert await asyncio.to_thread(schema.upgrade, url) == (this, newest)
        assert await asyncio.to_thread(schema.upgrade, url) == (newest, newest)
        notes, marked = await database.read(
            lambda tx: (
                [row[0] for row in tx.rows("SELECT text FROM note")],
                {row[0] == row[1] for row in tx.rows("SELECT holder, note FROM seat")},
            )
        )
        assert (notes, marked) == (["phone-0"], {True})
        async with in_process_master(url, clock) as master:
            berlin = await opened(master.wire, "berlin")
            granted(await berlin.acquire(*seats("port", 5)))
            answer = await master.wire.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(project=NAME))
            assert not answer.HasField("defect")


async def test_a_database_is_begun_at_the_newest_revision(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/lm.db"
    with later.version(later.chain(tmp_path / "chain", later.NOTES, later.COLUMN)) as newest:
        assert schema.upgrade(url, schema.IfAbsent.CREATE) == (None, newest)


async def test_an_upgrade_that_fails_changes_nothing(
    lent: tuple[str, Clock], database: Database, tmp_path: Path
) -> None:
    """Also what the revisions before the one that failed had done."""
    before = await database.read(_state)
    with (
        later.version(later.chain(tmp_path / "chain", later.NOTES, later.COLUMN, later.FAILS)),
        pytest.raises(StorageError, match="nowhere"),
    ):
        await asyncio.to_thread(schema.upgrade, lent[0])
    assert await database.read(_state) == before == ([schema.newest()], 2, False)


async def test_an_upgrade_that_is_killed_changes_nothing(
    lent: tuple[str, Clock], database: Database, tmp_path: Path
) -> None:
    """And it can be done again."""
    url, before = lent[0], await database.read(_state)
    killed = later.chain(tmp_path / "killed", later.NOTES, later.COLUMN + later.KILLED)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; from pathlib import Path; from master.store.upkeep import schema;"
        " schema.shipped = lambda _: Path(sys.argv[1]); schema.upgrade(sys.argv[2])",
        str(killed),
        url,
    )
    assert await process.wait() == -signal.SIGKILL
    assert await database.read(_state) == before == ([schema.newest()], 2, False)
    with later.version(later.chain(tmp_path / "whole", later.NOTES, later.COLUMN)) as newest:
        await asyncio.to_thread(schema.upgrade, url)
    assert await database.read(_state) == ([newest], 2, True)


async def test_an_upgrade_does_not_keep_masters_waiting_behind_a_table_that_others_use(
    postgresql_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pg_dump does, for as long as it takes."""
    monkeypatch.setattr(schema, "_LOCK_SECONDS", 0.1)
    dump, this = await asyncpg.connect(postgresql_database_url), schema.newest()
    with later.version(later.chain(tmp_path / "chain", later.COLUMN)) as newest:
        async with dump.transaction():
            await dump.fetch("SELECT * FROM seat")
            with pytest.raises(StorageError, match="try again once that is done") as refused:
                await asyncio.to_thread(schema.upgrade, postgresql_database_url)
            assert refused.value.problem is StorageProblem.STORAGE_LOCKED
        assert await asyncio.to_thread(schema.upgrade, postgresql_database_url) == (this, newest)
    await dump.close()


async def test_an_upgrade_that_halts_lets_go_of_the_tables(
    postgresql_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where its machine died in the middle."""
    monkeypatch.setattr(schema, "_IDLE_SECONDS", 0.1)
    with (
        later.version(later.chain(tmp_path / "chain", later.COLUMN + later.HALTED)),
        pytest.raises(StorageError) as failed,
    ):
        await asyncio.to_thread(schema.upgrade, postgresql_database_url)
    assert failed.value.problem is StorageProblem.STORAGE_UNAVAILABLE, "the server has ended it"
