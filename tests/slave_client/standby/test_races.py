"""Takeovers, and standby leases, that come at the same time as something else."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, lease_pb2, standby_pb2
from slave_client import SlaveClient, State, TakeoverError
from slave_client.connection.client_state import ClientState
from slave_client.connection.clocks import SystemClock
from slave_client.standby.standby_leases import StandbyLeases
from slave_client.standby.takeover import Takeover
from slave_client.storage.state_dir import StateDir
from slave_client.storage.state_files import StateFiles
from slave_client.storage.state_writer import StateWriter
from slave_client.values.notices import NoticeBoard
from slave_client.values.states import Event
from tests.slave_client.conftest import RestartableMaster
from tests.slave_client.signing import ENDS, ISSUED
from tests.slave_client.standby.test_standby import BERLIN, PHONES, SPARE, pair
from tests.support.limits import HANG_SECONDS
from tests.support.waiting import until

__all__ = ["pair"]


async def test_a_takeover_that_is_asked_for_twice_at_once_is_one(pair: RestartableMaster, tmp_path: Path) -> None:
    async with (
        SlaveClient(pair.config(state_dir=tmp_path / "berlin")) as berlin,
        SlaveClient(pair.config("spare", state_dir=tmp_path / "spare")) as spare,
    ):
        await berlin.sync(PHONES)
        first, second = await asyncio.gather(*(spare.take_over(BERLIN, force=True) for _ in range(2)))
        assert first is second
        assert first.state is State.CONNECTED


async def test_a_standby_that_stops_ends_the_takeover_that_waits(pair: RestartableMaster, tmp_path: Path) -> None:
    async with (
        SlaveClient(pair.config(state_dir=tmp_path / "berlin")) as berlin,
        SlaveClient(pair.config("spare", state_dir=tmp_path / "spare")) as spare,
    ):
        await berlin.sync(PHONES)
        waiting = asyncio.create_task(spare.take_over(BERLIN, wait_seconds=HANG_SECONDS))
        refused = pair.running.metrics.takeovers.labels("refused")
        await until(lambda: refused._value.get() or waiting.done())
        await spare.stop()
        with pytest.raises(TakeoverError):
            await waiting
        with pytest.raises(TakeoverError, match="is leaving"):
            await spare.take_over(BERLIN)
        assert {held.want for held in berlin.held} == set(PHONES)


class _Disk:
    """A standby's directory, with what it relies on; `private` signs as the master."""

    def __init__(self, folder: Path) -> None:
        self.private = Ed25519PrivateKey.generate()
        self.state_dir, clock = StateDir(folder), SystemClock()
        writer = StateWriter(snapshot=lambda: None, problem=lambda _: None, every_seconds=3600.0, clock=clock)
        writer.begin(self.state_dir)
        self.leases = StandbyLeases(
            standby=SPARE,
            state_dir=self.state_dir,
            state_writer=writer,
            clock=clock,
            board=NoticeBoard(lambda _: None),
            trusted_keys=lambda: (self.private.public_key().public_bytes_raw(),),
        )

    async def receive(self, serial: int) -> None:
        terms = lease_pb2.StandbyLeaseTerms(
            standby=SPARE,
            primary=BERLIN,
            primary_epoch=1,
            serial=serial,
            issue_time=Timestamp(seconds=ISSUED),
            end_time=Timestamp(seconds=ENDS),
        )
        signed = documents.sign(document_pb2.DOCUMENT_KIND_STANDBY_LEASE, terms, self.private)
        await self.leases.receive([lease_pb2.StandbyLeaseOffer(primary=BERLIN, signed=signed)], sent=0.0)


async def test_a_standby_lease_that_comes_while_the_one_before_is_removed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is acknowledged, and only that, is on disk."""
    removed, may_go_on = threading.Event(), threading.Event()
    remove = StateFiles.remove

    def slow_remove(files: StateFiles, name: str) -> None:
        remove(files, name)
        removed.set()
        may_go_on.wait(HANG_SECONDS)

    disk = _Disk(tmp_path)
    await disk.receive(1)
    monkeypatch.setattr(StateFiles, "remove", slow_remove)
    discarding = asyncio.create_task(disk.leases.discard(BERLIN))
    await asyncio.to_thread(removed.wait, HANG_SECONDS)
    receiving = asyncio.create_task(disk.receive(2))
    await asyncio.sleep(0)
    threading.Timer(0.1, may_go_on.set).start()
    await asyncio.gather(discarding, receiving)
    (receipt,) = disk.leases.receipts()
    assert (receipt.serial, receipt.discarded) == (2, False)
    assert disk.state_dir.files.read("standby-berlin") is not None


async def test_a_takeover_that_is_granted_as_the_wait_ends_is_carried_out(tmp_path: Path) -> None:
    clock = SystemClock()
    own, carrying = (ClientState(clock, lambda *_: None, lambda _: None) for _ in range(2))
    takeover = Takeover(
        standby=None,  # type: ignore[arg-type]  # asks for nothing here
        primary=BERLIN,
        reason="",
        force=False,
        own=own,
        standby_leases=_Disk(tmp_path).leases,
    )
    problem = standby_pb2.StandbyProblem(message="may be alive")
    problem.retry_time.FromSeconds(1)
    takeover.refused([problem])
    carrying.judged.set()
    deciding = asyncio.create_task(takeover.decide(carrying, 0.0))
    await asyncio.sleep(0)
    takeover.problems, carrying.epoch = (), 7
    for _ in range(9):
        await asyncio.sleep(0)
    assert not deciding.done()
    carrying.happened(Event.OPENED, "the master answers")
    await deciding
