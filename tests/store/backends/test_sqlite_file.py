"""A SQLite file that goes away, is replaced or overwritten under its master, and a second master of one file."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from typer.testing import CliRunner

from master.cli.main import app
from master.launch import MasterProcess
from master.store.backends.clock import write_nothing
from master.store.backends.database import StorageError, StorageProblem
from master.store.backends.opening import open_database
from master.store.backends.sqlite import _for_sqlite
from master.store.backends.sqlite_file import Use
from master.store.upkeep import schema
from tests.rpc.failures import failure
from tests.store import later
from tests.support.masters import Clock, InProcess, in_process_master, wire_to
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


def _deleted(file: Path) -> None:
    file.unlink()


def _moved(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def _moved_with_its_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


def _replaced(file: Path) -> None:
    shutil.copy(file, file.with_name("copy"))
    file.with_name("copy").rename(file)


def _overwritten_by_an_older_copy(file: Path) -> None:
    shutil.copyfile(file.with_name("older"), file)


def _restored_over_sqlite_itself(file: Path) -> None:
    with closing(sqlite3.connect(file.with_name("older"))) as older, closing(sqlite3.connect(file)) as now:
        older.backup(now)


def _emptied(file: Path) -> None:
    os.truncate(file, 0)


def _log_deleted(file: Path) -> None:
    file.with_name(file.name + "-wal").unlink()


def _log_replaced(file: Path) -> None:
    log = file.with_name(file.name + "-wal")
    shutil.copy(log, file.with_name("copy"))
    file.with_name("copy").rename(log)


def _log_cut_off(file: Path) -> None:
    os.truncate(f"{file}-wal", 0)


def _log_cut_in_half(file: Path) -> None:
    log = f"{file}-wal"
    os.truncate(log, os.path.getsize(log) // 2)


def _index_of_the_log_cut_off(file: Path) -> None:
    os.truncate(f"{file}-shm", 0)


ACTS = (
    _deleted,
    _moved,
    _moved_with_its_folder,
    _replaced,
    _overwritten_by_an_older_copy,
    _restored_over_sqlite_itself,
    _emptied,
    _log_deleted,
    _log_replaced,
    _index_of_the_log_cut_off,
)
_LOG_ACTS = (_log_cut_off, _log_cut_in_half)


async def test_commits_that_are_counted_leave_no_statements_behind(sqlite_database_url: str) -> None:
    database = open_database(sqlite_database_url)
    database.occupy(Use.SERVE)
    kept = []
    for _ in range(3):
        await database.transact(write_nothing)
        kept.append(_for_sqlite.cache_info().currsize)
    assert kept[0] == kept[-1]
    await database.close()


async def _told(master: InProcess, status: int) -> None:
    """Wait until health says so."""
    stub: Any = health_pb2_grpc.HealthStub(master.wire.channel)
    async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
        if answer.status == status:
            return


def _checkpointed(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__.strip("_"))
async def test_nothing_is_granted_into_a_file_that_is_gone(
    act: Callable[[Path], None], sqlite_database_url: str
) -> None:
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    with capture_logs() as logs:
        settings = {"database_health_interval_seconds": 0.05, "metrics_listen": "127.0.0.1:0"}
        async with in_process_master(sqlite_database_url, Clock(), **settings) as master:
            await master.wire.apply(project({"PBX-Port12": 5}))
            berlin = await opened(master.wire, "berlin")
            _checkpointed(file)  # a copy of the file alone is what somebody would put back
            shutil.copyfile(file, file.with_name("older"))
            granted(await berlin.acquire(*seats("port", 2)))
            _checkpointed(file)
            act(file)
            failed = await failure(berlin.acquire(*seats("port", 4)))
            assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_REPLACED")
            assert str(file) not in failed.message
            await _told(master, NOT_SERVING)
            metrics = master.running.metrics
            assert await asyncio.to_thread(metrics.registry.get_sample_value, "license_master_up") == 0
            problem = {"problem": "STORAGE_REPLACED"}
            assert metrics.registry.get_sample_value("license_master_storage_problem", problem) == 1
    assert [line["log_level"] for line in logs if "serves nobody" in line["event"]] == ["error"]


@pytest.mark.parametrize("act", _LOG_ACTS, ids=lambda act: act.__name__.strip("_"))
async def test_a_log_that_lost_commits_is_noticed(act: Callable[[Path], None], sqlite_database_url: str) -> None:
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    async with in_process_master(sqlite_database_url, Clock(), database_health_interval_seconds=0.05) as master:
        await master.wire.apply(project({"PBX-Port12": 5}))
        berlin = await opened(master.wire, "berlin")
        granted(await berlin.acquire(*seats("port", 2)))
        act(file)
        assert (await failure(berlin.acquire(*seats("port", 4)))).reason == "STORAGE_REPLACED"
        await _told(master, NOT_SERVING)


async def test_a_log_that_another_program_empties_into_the_file_lost_nothing(sqlite_database_url: str) -> None:
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    async with in_process_master(sqlite_database_url, Clock()) as master:
        await master.wire.apply(project({"PBX-Port12": 9}))
        berlin = await opened(master.wire, "berlin")
        for count in range(1, 10):
            await asyncio.to_thread(_checkpointed, file)
            granted(await berlin.acquire(*seats("port", count)))


@pytest.mark.parametrize("at", [0, 4096], ids=["its header", "what follows"])
async def test_a_file_found_damaged_grants_nothing_more(at: int, sqlite_database_url: str) -> None:
    """Also by connections that have all they need in memory, and whatever is put right meanwhile."""
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    async with in_process_master(sqlite_database_url, Clock(), database_health_interval_seconds=0.05) as master:
        await master.wire.apply(project({"PBX-Port12": 5}))
        berlin = await opened(master.wire, "berlin")
        granted(await berlin.acquire(*seats("port", 1)))
        _checkpointed(file)
        sound = _content(file)
        _overwritten(file, sound[:at] + b"\0" * 60 + sound[at + 60 : at + 100] + b"\xee" * (len(sound) - at - 100))
        with pytest.raises(StorageError):
            await master.running.database.ask(lambda tx: tx.rows("PRAGMA quick_check"))
        for _ in range(2):
            assert (await failure(berlin.acquire(*seats("port", 2)))).reason == "STORAGE_DAMAGED"
            await _told(master, NOT_SERVING)
            _overwritten(file, sound)


async def test_a_file_that_comes_back_is_served_again(sqlite_database_url: str) -> None:
    """A disk that was remounted, a move that was undone: it is the same file, and nothing was lost."""
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    async with in_process_master(sqlite_database_url, Clock(), database_health_interval_seconds=0.05) as master:
        await master.wire.apply(project({"PBX-Port12": 5}))
        berlin = await opened(master.wire, "berlin")
        os.rename(file, file.with_name("elsewhere"))
        await _told(master, NOT_SERVING)
        os.rename(file.with_name("elsewhere"), file)
        await _told(master, SERVING)
        granted(await berlin.acquire(*seats("port", 5)))


async def test_what_was_put_there_by_hand_is_not_spoilt(sqlite_database_url: str) -> None:
    """A backup copied over the file of a running master stays as it is, also when the master ends and starts again."""
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    process, backup = MasterProcess(sqlite_database_url), _content(file)
    await process.start()
    async with wire_to(process.address) as wire:
        await wire.apply(project({"PBX-Port12": 5}))
        _checkpointed(file)
        await wire.apply(project({"PBX-Port12": 6}))
    _overwritten(file, backup)
    await process.terminate()
    assert _content(file) == backup
    with pytest.raises(RuntimeError, match="holds changes to another content"):
        await process.start()
    for command in (["upgrade"], ["check"], ["restored"], ["backup", f"{file}.copy"]):
        assert "holds changes to another content" in await asyncio.to_thread(_refusal, sqlite_database_url, *command)
    assert _content(file) == backup
    for suffix in ("-wal", "-shm"):
        os.unlink(f"{file}{suffix}")
    await process.start()
    await process.kill()


async def test_one_master_at_a_time(sqlite_database_url: str, tmp_path: Path) -> None:
    """Also by another name of the file, and for commands that change it. A lock ends with its program, even killed."""
    file, copy = Path(sqlite_database_url.removeprefix("sqlite:///")), tmp_path / "copy"
    (tmp_path / "link.db").symlink_to(file)
    first = MasterProcess(sqlite_database_url)
    await first.start()
    for url in (sqlite_database_url, f"sqlite:///{tmp_path}/link.db"):
        with pytest.raises(RuntimeError, match=f"in use by process {first.pid}; stop the master"):
            await MasterProcess(url).start()
    assert await asyncio.to_thread(_refusal, sqlite_database_url, "backup", str(copy)) == ""
    for command in (["restored"], ["restore", "--force", str(copy)]):
        assert f"in use by process {first.pid}" in await asyncio.to_thread(_refusal, sqlite_database_url, *command)
    for command in (["check"], ["upgrade"], ["upgrade", "--create"]):
        assert await asyncio.to_thread(_refusal, sqlite_database_url, *command) == ""
    await first.kill()
    await first.start()
    await first.kill()


async def test_a_schema_does_not_change_under_a_master(sqlite_database_url: str, tmp_path: Path) -> None:
    serving = open_database(sqlite_database_url)
    serving.occupy(Use.SERVE)
    try:
        with (
            later.version(later.chain(tmp_path / "chain", later.NOTES)),
            pytest.raises(StorageError, match="in use by this process") as failed,
        ):
            await asyncio.to_thread(schema.upgrade, sqlite_database_url)
        assert failed.value.problem is StorageProblem.STORAGE_IN_USE
    finally:
        await serving.close()


def _refusal(url: str, *command: str) -> str:
    """What `license-master db` says in the end; nothing where it succeeds."""
    return str(CliRunner().invoke(app, ["db", *command, "--database-url", url]).exception or "")


def _content(file: Path) -> bytes:
    return file.read_bytes()


def _overwritten(file: Path, content: bytes) -> None:
    file.write_bytes(content)
