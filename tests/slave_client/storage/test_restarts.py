"""The client after a restart or a crash: what it holds is on its disk, and what it returned is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from licensemaster.v1 import lease_pb2
from slave_client import NetworkSwitch, NoticeKind, SlaveClient, State
from tests.slave_client.conftest import RestartableMaster
from tests.slave_client.phones import PHONES, connected
from tests.support.limits import HANG_SECONDS
from tests.support.masters import wire_to


@asynccontextmanager
async def _started_offline(master: RestartableMaster, state_dir: Path) -> AsyncIterator[SlaveClient]:
    """A client on what an earlier one left, which reaches no master until the context ends."""
    line = NetworkSwitch()
    line.cut()
    async with SlaveClient(master.config(state_dir=state_dir), network=line) as client:
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        yield client
        line.restore()


async def test_a_restart_resumes_with_the_master(master: RestartableMaster, tmp_path: Path) -> None:
    first = SlaveClient(master.config(state_dir=tmp_path))
    await first.start()
    await first.acquire_many(PHONES[:3])
    await first.stop()
    assert first.state is State.STOPPED
    assert len(await master.holders("berlin")) == 3
    async with SlaveClient(master.config(state_dir=tmp_path)) as second:
        await connected(second)
        assert {held.want for held in second.held} == set(PHONES[:3])
        assert len(await master.holders("berlin")) == 3


async def test_a_restart_without_the_master_goes_on_offline(master: RestartableMaster, tmp_path: Path) -> None:
    first = SlaveClient(master.config(state_dir=tmp_path))
    await first.start()
    await first.acquire_many(PHONES[:3])
    await first.stop()
    line = NetworkSwitch()
    line.cut()
    async with SlaveClient(master.config(state_dir=tmp_path), network=line) as second:
        await second.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert (await second.acquire(PHONES[0])).granted
        assert not (await second.acquire(PHONES[4])).granted
        assert 0 < second.report().remaining_seconds <= 60
        line.restore()
        await connected(second)
        assert len(await master.holders("berlin")) == 3


async def test_a_crash_never_leaves_a_returned_seat_on_disk(master: RestartableMaster, tmp_path: Path) -> None:
    first = SlaveClient(master.config(state_dir=tmp_path, save_every_seconds=3600.0))
    await first.start()
    await first.acquire_many(PHONES[:3])
    await first.return_seat(PHONES[0])
    await first.crash()
    async with _started_offline(master, tmp_path) as second:
        assert {held.want for held in second.held} == set(PHONES[1:3])
        assert not (await second.acquire(PHONES[0])).granted


async def test_a_crash_leaves_on_disk_what_the_master_granted(master: RestartableMaster, tmp_path: Path) -> None:
    first = SlaveClient(master.config(state_dir=tmp_path, save_every_seconds=3600.0))
    await first.start()
    await first.acquire_many(PHONES[:3])
    await first.return_seats(PHONES[:2])  # the whole is written
    await first.acquire_many(PHONES[1:5])
    await first.crash()
    async with _started_offline(master, tmp_path) as second:
        assert {held.want for held in second.held} == set(PHONES[1:5])


@pytest.mark.parametrize("reopened", [False, True], ids=["first lease", "opened anew"])
async def test_a_crash_right_after_a_lease_was_opened_leaves_its_seats_on_disk(
    master: RestartableMaster, tmp_path: Path, reopened: bool
) -> None:
    first = SlaveClient(master.config(state_dir=tmp_path, save_every_seconds=3600.0))
    await first.start()
    await first.acquire_many(PHONES[:3])
    if reopened:
        over = asyncio.create_task(first.wait_for_state(State.EXPIRED, timeout_seconds=HANG_SECONDS))
        await asyncio.sleep(0)
        async with wire_to(master.address) as wire:
            request = lease_pb2.EndLeaseRequest(pbx=first.config.pbx, reason="by mistake", request_id="end-1")
            await wire.leases.EndLease(request)
        await over
        await connected(first)
    assert {held.want for held in first.held} == set(PHONES[:3])
    await first.crash()
    line = NetworkSwitch()
    line.cut()
    async with SlaveClient(master.config(state_dir=tmp_path), network=line) as second:
        await second.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert {held.want for held in second.held} == set(PHONES[:3])
        line.restore()
        await connected(second)
        assert len(await master.holders("berlin")) == 3


async def test_a_corrupt_state_directory_is_set_aside_and_told(master: RestartableMaster, tmp_path: Path) -> None:
    first = SlaveClient(master.config(state_dir=tmp_path))
    await first.start()
    await first.acquire(PHONES[0])
    await first.stop()
    (tmp_path / "lease").write_bytes(b"\0" * 100)
    received: list[str] = []
    async with SlaveClient(
        master.config(state_dir=tmp_path),
        on_notice=lambda notice: received.append(f"{notice.kind.name} {notice.message}"),
    ) as second:
        assert (await second.acquire(PHONES[0])).granted
    assert any(text.startswith("STATE_SET_ASIDE") and str(tmp_path / "lease") in text for text in received)


async def test_an_unwritable_state_directory_stops_nothing(master: RestartableMaster, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with SlaveClient(master.config(state_dir=tmp_path / "file" / "state")) as client:
        assert (await client.acquire(PHONES[0])).granted
        assert any(notice.kind is NoticeKind.STATE_NOT_SAVED for notice in client.notices)
