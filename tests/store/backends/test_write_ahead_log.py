"""A write-ahead log that was spoilt while its master was down, and logs that crashes leave."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from master.cli.main import app
from master.launch import MasterProcess
from master.store.backends.problems import StorageError
from master.store.backends.sqlite import opened_file
from master.store.backends.write_ahead_log import damage_of_log
from tests.support.masters import wire_to
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project

_NO_LOG, _PAGES = "its beginning is that of no write-ahead log", "can be read"
_PAGE = 24 + 4096
"""The bytes of a page in a log, with its header."""
SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "begun with something else": (lambda log: b"\xff" * 8 + log[8:], _NO_LOG),
    "with another salt": (lambda log: log[:16] + bytes(8) + log[24:], _NO_LOG),
    "zeros": (lambda log: bytes(len(log)), _NO_LOG),
    "a text": (lambda log: b"a text\n" * 100, _NO_LOG),
    "emptied": (lambda log: b"", _PAGES),
    "cut in half": (lambda log: log[: len(log) // 2], _PAGES),
    "without its last byte": (lambda log: log[:-1], _PAGES),
    "zeros in the middle": (lambda log: log[: 32 + _PAGE] + bytes(_PAGE) + log[32 + 2 * _PAGE :], _PAGES),
    "a bit in the middle": (lambda log: log[:9_000] + bytes([log[9_000] ^ 1]) + log[9_001:], _PAGES),
    "a bit in the last page": (lambda log: log[:-9] + bytes([log[-9] ^ 1]) + log[-8:], _PAGES),
}
_WRITER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute(f"PRAGMA wal_autocheckpoint={sys.argv[2]}")
database.execute("CREATE TABLE IF NOT EXISTS t (number)")
number = 0
while True:
    database.execute("INSERT INTO t VALUES (?)", (number,))
    print(number, flush=True)
    number += 1
"""


async def test_a_log_that_was_spoilt_starts_no_master_and_is_left_as_it_is(sqlite_database_url: str) -> None:
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    log = file.with_name(f"{file.name}-wal")
    process = MasterProcess(sqlite_database_url)
    await process.start()
    async with wire_to(process.address) as wire:
        await wire.apply(project({"PBX-Port12": 5}))
        granted(await (await opened(wire, "berlin")).acquire(*seats("port", 5)))
    await process.kill()
    sound = log.read_bytes()
    for spoil, said in SPOILT.values():
        log.write_bytes(spoilt := spoil(sound))
        with pytest.raises(StorageError, match=f"the database is damaged: {log} was spoilt: .*{said}"):
            opened_file(file)
        assert log.read_bytes() == spoilt
    for command in ("check", "restored"):
        assert f"{log} was spoilt" in await asyncio.to_thread(_told_by, command, sqlite_database_url)
    with pytest.raises(RuntimeError, match="move it and its -shm away, then restore a backup"):
        await process.start()
    assert log.read_bytes() == spoilt
    log.write_bytes(sound)
    await process.start()
    await process.terminate()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT COUNT(*) FROM seat").fetchone() == (5,)


def _told_by(command: str, url: str) -> str:
    return str(CliRunner().invoke(app, ["db", command, "--database-url", url]).exception)


@pytest.mark.parametrize("pages_until_checkpoint", [5, 1000])
def test_what_a_crash_leaves_is_gone_on_from(tmp_path: Path, pages_until_checkpoint: int) -> None:
    """Killed at any moment, and with a transaction torn at its end: nothing that was committed is missing."""
    (folder := tmp_path / "50% of #1?").mkdir()
    file = folder / "t.db"
    log, index = f"{file}-wal", f"{file}-shm"
    for _ in range(10):
        arguments = [sys.executable, "-c", _WRITER, str(file), str(pages_until_checkpoint)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()  # before its first commit there is no log to be torn
            time.sleep(random.random() / 20)
            os.kill(writer.pid, signal.SIGKILL)
            last = (first + writer.stdout.read()).decode().split("\n")[-2]
        assert damage_of_log(log, index) is None
        with open(log, "ab") as torn:
            torn.write(os.urandom(random.randrange(5_000)))
        assert damage_of_log(log, index) is None
        with closing(sqlite3.connect(file)) as database:
            assert (int(last),) in database.execute("SELECT number FROM t")
        assert not Path(log).exists()


def test_an_index_that_is_older_than_its_log_says_nothing(tmp_path: Path) -> None:
    """As a loss of power may leave it; or no index at all, or half of one."""
    file = tmp_path / "t.db"
    log, index = Path(f"{file}-wal"), Path(f"{file}-shm")
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (number)")
        older = index.read_bytes()
        for checkpoint in (False, True):
            if checkpoint:
                database.execute("PRAGMA wal_checkpoint(RESTART)")
            database.execute("INSERT INTO t VALUES (1)")
            (tmp_path / "now-wal").write_bytes(log.read_bytes())
            for content in (older, b"", older[:100], bytes(len(older)), index.read_bytes()):
                (tmp_path / "now-shm").write_bytes(content)
                assert damage_of_log(str(tmp_path / "now-wal"), str(tmp_path / "now-shm")) is None
    assert damage_of_log(str(log), str(index)) is None  # closed, there is neither
