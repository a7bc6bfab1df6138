"""Renewals in no hurry wait for each other, never for longer than they say, and nobody waits for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from licensemaster.v1 import lease_pb2
from master.launch import MasterProcess
from tests.rpc.failures import failure
from tests.support.masters import Clock, InProcess, in_process_master, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project
from tests.support.waiting import until


@pytest.fixture
async def master(sqlite_database_url: str) -> AsyncIterator[InProcess]:
    async with in_process_master(sqlite_database_url, Clock()) as master:
        await master.wire.apply(project({"PBX-Port12": 5}, pbxs=dict.fromkeys(("berlin", "paris"), "slave 12 gateway")))
        yield master


async def _renew(pbx: BarePbx, may_wait: str, timeout: float | None = None) -> lease_pb2.RenewLeaseResponse:
    request = lease_pb2.RenewLeaseRequest(pbx=pbx.name, epoch=pbx.epoch)
    return await pbx.wire.leases.RenewLease(request, timeout=timeout, metadata=(("may-wait-seconds", may_wait),))


async def _waiting(master: InProcess, pbx: BarePbx) -> asyncio.Task[lease_pb2.RenewLeaseResponse]:
    """A renewal that the master keeps back."""
    before = _kept_back(master)
    renewal = asyncio.create_task(_renew(pbx, "10"))
    await until(lambda: _kept_back(master) > before)
    return renewal


def _kept_back(master: InProcess) -> int:
    return len(master.running.server._unhurried_calls._waiting)


async def test_all_that_wait_are_served_when_the_first_is_due(master: InProcess) -> None:
    berlin, paris = [await opened(master.wire, name) for name in ("berlin", "paris")]
    started = time.monotonic()
    patient = await _waiting(master, berlin)
    await _renew(paris, "0.01")
    assert (await patient).lease.epoch == berlin.epoch
    assert time.monotonic() - started < 10


async def test_whoever_is_in_a_hurry_waits_for_nobody(master: InProcess) -> None:
    berlin, paris = [await opened(master.wire, name) for name in ("berlin", "paris")]
    patient = await _waiting(master, berlin)
    await paris.renew()
    granted(await paris.acquire(*seats("port", 2)))
    await _renew(paris, "0")
    assert not patient.done()
    patient.cancel()


async def test_when_many_wait_none_waits_longer(master: InProcess) -> None:
    berlin = await opened(master.wire, "berlin")
    started = time.monotonic()
    await asyncio.gather(*(_renew(berlin, "10") for _ in range(32)))
    assert time.monotonic() - started < 10


async def test_nobody_waits_for_who_gave_up(master: InProcess) -> None:
    berlin, paris = [await opened(master.wire, name) for name in ("berlin", "paris")]
    gone = await _waiting(master, berlin)
    gone.cancel()
    await _renew(paris, "0.01")
    assert _kept_back(master) == 0


async def test_a_renewal_is_answered_before_its_deadline(master: InProcess) -> None:
    berlin = await opened(master.wire, "berlin")
    assert (await _renew(berlin, "10", timeout=4)).lease.epoch == berlin.epoch


async def test_a_master_that_stops_answers_who_waits(sqlite_database_url: str) -> None:
    process = MasterProcess(sqlite_database_url)
    await process.start()
    async with wire_to(process.address) as wire:
        await wire.apply(project({"PBX-Port12": 5}))
        berlin = await opened(wire, "berlin")
        renewal = asyncio.create_task(_renew(berlin, "10"))
        granted(await berlin.acquire(*seats("port", 1)))  # so it has come
        await process.terminate()
        assert (await renewal).lease.epoch == berlin.epoch


@pytest.mark.parametrize("may_wait", ["-0.1", "10.1", "nan", "inf", "soon", ""])
async def test_a_time_that_nobody_can_wait_for_is_refused(master: InProcess, may_wait: str) -> None:
    seen = await failure(_renew(await opened(master.wire, "berlin"), may_wait))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "must be a number from 0 to 10" in seen.fields["may-wait-seconds"]
