"""Folders of state are used by one at a time; whoever comes second is told who the first is, and does it no harm."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import signal
import threading
from collections.abc import Awaitable
from pathlib import Path

import pytest

from licensemaster.files.folder_lock import FolderLock
from slave_client import BlockingSlaveClient, FolderInUseError, HolderKind, SlaveClient, State, Want
from slave_client.storage.state_dir import StateDir
from tests.slave_client.conftest import RestartableMaster
from tests.support.folders import held_by_another
from tests.support.limits import HANG_SECONDS

ANNA = Want("port", HolderKind.USER, "anna")


@pytest.mark.parametrize("second", ["a client", "a blocking client", "of a copy"])
async def test_the_second_client_is_refused_and_the_first_goes_on(
    master: RestartableMaster, tmp_path: Path, second: str
) -> None:
    folder = tmp_path / "state"
    async with SlaveClient(master.config(state_dir=folder)) as first:
        assert (await first.acquire(ANNA)).granted
        epoch = first.report().epoch
        says = "in use by this process"
        if second == "of a copy":
            folder, says = tmp_path / "copy", "a copy of a folder in use by this process"
            shutil.copytree(tmp_path / "state", folder)
        config = master.config(state_dir=folder)
        if second == "a blocking client":
            starting: Awaitable[None] = asyncio.to_thread(BlockingSlaveClient(config).start)
        else:
            starting = SlaveClient(config).start()
        with pytest.raises(FolderInUseError, match=says) as refused:
            await starting
        assert (refused.value.folder, refused.value.process) == (folder, os.getpid())
        first.look_again()
        assert (await first.acquire(Want("port", HolderKind.USER, "otto"))).granted
        assert (first.state, first.report().epoch, len(first.held)) == (State.CONNECTED, epoch, 2)
    async with SlaveClient(config) as later:
        await later.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert later.state is State.CONNECTED


@pytest.mark.parametrize("ended", ["stop", "close"])
async def test_a_client_that_was_refused_the_folder_changes_nothing_in_it(
    master: RestartableMaster, tmp_path: Path, ended: str
) -> None:
    config = master.config(state_dir=tmp_path)
    async with SlaveClient(config) as first:
        assert (await first.acquire(ANNA)).granted
    kept = (tmp_path / "lease").read_bytes()
    lock = FolderLock.take(tmp_path)
    for was_started in (True, False):
        client = SlaveClient(config)
        if was_started:
            with pytest.raises(FolderInUseError):
                await client.start()
        await getattr(client, ended)()
        assert (tmp_path / "lease").read_bytes() == kept
    lock.release()


async def test_a_start_that_is_called_off_while_it_takes_the_folder_lets_go_of_it(
    master: RestartableMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on, claimed = threading.Event(), threading.Event(), threading.Event()
    claim = StateDir.claim

    def slow_claim(state_dir: StateDir) -> None:
        begun.set()
        may_go_on.wait(HANG_SECONDS)
        claim(state_dir)
        claimed.set()

    monkeypatch.setattr(StateDir, "claim", slow_claim)
    client = SlaveClient(master.config(state_dir=tmp_path))
    starting = asyncio.create_task(client.start())
    await asyncio.to_thread(begun.wait, HANG_SECONDS)
    starting.cancel()
    await asyncio.sleep(0)
    may_go_on.set()
    await asyncio.wait((starting,))
    await asyncio.to_thread(claimed.wait, HANG_SECONDS)
    FolderLock.take(tmp_path).release()
    assert client.state is State.STARTING


async def test_a_folder_that_another_process_has_is_free_when_that_is_killed(
    master: RestartableMaster, tmp_path: Path
) -> None:
    with held_by_another(tmp_path) as process:
        client = SlaveClient(master.config(state_dir=tmp_path))
        with pytest.raises(FolderInUseError, match=f"in use by process {process.pid}"):
            await client.start()
        process.send_signal(signal.SIGKILL)
        process.wait()
        await client.start()
        await client.stop()


def test_a_folder_that_can_only_be_read_is_locked_all_the_same(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    lock = FolderLock.take(tmp_path)
    with pytest.raises(FolderInUseError):
        FolderLock.take(tmp_path)
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
async def test_a_file_system_that_does_not_lock_is_told_as_that(
    master: RestartableMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As network file systems answer."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(FolderInUseError, match=r"its file system does not lock folders .* use a folder on a disk"):
        await SlaveClient(master.config(state_dir=tmp_path)).start()
