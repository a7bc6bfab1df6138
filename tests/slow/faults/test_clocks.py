"""Clocks that are wrong, and that are set while leases run: real masters on machines whose wall clock tests set."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from licensemaster.v1 import lease_pb2
from tests.rules.allocation.test_waiting import queue, told
from tests.support.databases.truth import all_events, used
from tests.support.limits import HANG_SECONDS
from tests.support.machine_clock import MachineClock
from tests.support.masters import MasterProcess, Wire, master_process, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seat, seats
from tests.support.projects.allocations import lay_down
from tests.support.projects.estates import project

HOUR = 3600.0
TTL, GRACE = 5, 0
LASTING = 600
"""Both for a lease that no pause of a busy machine ends, and well below the hour by which clocks are off."""
SETTINGS: dict[str, Any] = {
    "database_health_interval_seconds": 0.05,
    "expiry_interval_seconds": 0.05,
    "clock_allowance_seconds": 0,
}


@pytest.fixture
def machine_clock(tmp_path: Path) -> MachineClock:
    return MachineClock(tmp_path / "clock")


async def _metric(process: MasterProcess, name: str) -> float:
    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.metrics_port}/metrics") as response:
            return str(response.read().decode())

    page = await asyncio.to_thread(get)
    return next(family.samples[0].value for family in text_string_to_metric_families(page) if family.name == name)


async def _until(process: MasterProcess, name: str, holds: Callable[[float], bool]) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if holds(await _metric(process, name)):
                return
            await asyncio.sleep(0.05)


async def _until_reclaimed(wire: Wire) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if not (await used(wire))["port"]:
                return
            await asyncio.sleep(0.05)


async def _apply(wire: Wire, *, ttl_seconds: int, grace_seconds: int) -> None:
    """Have leases that are opened or renewed from now on last so long; ends signed before stand."""
    pbxs = {"berlin": "slave 12 gateway", "ulm": "slave 12 gateway"}
    await wire.apply(project({"PBX-Port12": 5}, pbxs=pbxs, ttl_seconds=ttl_seconds, grace_seconds=grace_seconds))


def _signed_end(lease: lease_pb2.Lease) -> float:
    return lease_pb2.LeaseTerms.FromString(lease.signed.payload).end_time.ToNanoseconds() / 1e9


async def _opened_and_silent(wire: Wire, name: str) -> tuple[float, float]:
    """Open a lease with a seat, then say nothing more: since when, by our own clock, and until when it is signed."""
    asked = time.monotonic()
    response = await BarePbx(wire, name).open("12", seat("port", name))
    granted(response.results)
    return asked, _signed_end(response.lease)


@pytest.mark.parametrize("off_seconds", [HOUR, -HOUR], ids=["an-hour-ahead", "an-hour-behind"])
async def test_a_master_whose_clock_is_off(
    postgresql_database_url: str, machine_clock: MachineClock, off_seconds: float
) -> None:
    """Two masters of one database, one on a machine with a wrong clock: it says so, and leases do not notice."""
    machine_clock.set_by(off_seconds)
    with machine_clock.in_force():
        wrong = MasterProcess(postgresql_database_url, **SETTINGS)
        await wrong.start()
    try:
        async with (
            master_process(postgresql_database_url, **SETTINGS) as right,
            wire_to(wrong.address) as wrong_wire,
            wire_to(right.address) as right_wire,
        ):
            await _apply(right_wire, ttl_seconds=LASTING, grace_seconds=LASTING)
            berlin = await opened(wrong_wire, "berlin")
            for wire in (wrong_wire, right_wire):
                berlin.wire = wire
                assert abs(_signed_end((await berlin.renew()).lease) - time.time()) < HOUR / 2
            await _apply(right_wire, ttl_seconds=TTL, grace_seconds=GRACE)
            asked, _ = await _opened_and_silent(wrong_wire, "ulm")
            await _until_reclaimed(wrong_wire)
            assert time.monotonic() - asked >= TTL + GRACE
            assert len(await all_events(right_wire, "lease.expired")) == 1
            assert await _metric(wrong, "license_master_clock_offset_seconds") == pytest.approx(off_seconds, abs=60)
            assert await _metric(right, "license_master_clock_offset_seconds") == pytest.approx(0, abs=60)
    finally:
        await wrong.kill()


async def test_a_clock_set_back_neither_revives_nor_stretches_leases(
    sqlite_database_url: str, machine_clock: MachineClock
) -> None:
    """The database's clock is the machine's own here; it is set back by an hour, then the master restarted."""
    with machine_clock.in_force():
        process = MasterProcess(sqlite_database_url, **SETTINGS)
        await process.start()
        try:
            async with wire_to(process.address) as wire:
                await _apply(wire, ttl_seconds=LASTING, grace_seconds=LASTING)
                hq = await opened(wire, "hq")
                before = _signed_end((await hq.renew()).lease)
                await _apply(wire, ttl_seconds=TTL, grace_seconds=GRACE)
                await _opened_and_silent(wire, "berlin")
                machine_clock.set_by(-HOUR)
                await _until(process, "license_master_clock_ahead_seconds", lambda ahead: ahead > HOUR / 2)
                assert await _metric(process, "license_master_lease_clock_timestamp_seconds") > time.time() - HOUR / 2
                assert _signed_end((await hq.renew()).lease) >= before
                asked, end = await _opened_and_silent(wire, "ulm")
                await _until_reclaimed(wire)
                assert time.monotonic() - asked >= TTL + GRACE
            await process.kill()
            await process.start()
            async with wire_to(process.address) as wire:
                await _until(process, "license_master_clock_ahead_seconds", lambda ahead: ahead > HOUR / 2)
                assert (await _opened_and_silent(wire, "berlin"))[1] > end
        finally:
            await process.kill()


async def test_a_clock_set_forward_ends_no_lease_early(sqlite_database_url: str, machine_clock: MachineClock) -> None:
    with machine_clock.in_force():
        process = MasterProcess(sqlite_database_url, **SETTINGS)
        await process.start()
        try:
            async with wire_to(process.address) as wire:
                await wire.apply(project({"PBX-Port12": 5}, ttl_seconds=60, grace_seconds=60))
                berlin = await opened(wire, "berlin")
                granted(await berlin.acquire(seat("port", "anna")))
                machine_clock.set_by(HOUR)
                await _until(process, "license_master_clock_stepped_seconds", lambda stepped: stepped > HOUR / 2)
                granted(await berlin.acquire(seat("port", "ben")))
                assert (await used(wire))["port"] == 2
                assert (await berlin.renew()).lease.epoch == berlin.epoch
                assert await all_events(wire, "lease.expired") == []
        finally:
            await process.kill()


async def test_a_clock_set_back_moves_nobody_who_waits(sqlite_database_url: str, machine_clock: MachineClock) -> None:
    with machine_clock.in_force():
        process = MasterProcess(sqlite_database_url, **SETTINGS)
        await process.start()
        try:
            async with wire_to(process.address) as wire:
                await _apply(wire, ttl_seconds=LASTING, grace_seconds=LASTING)
                await lay_down(wire, queue())
                hq, berlin, ulm = [await opened(wire, name) for name in ("hq", "berlin", "ulm")]
                granted(await hq.acquire(*seats("port", 5)))
                refused(await berlin.acquire(seat("port", "first"), wait=True))
                machine_clock.set_by(-HOUR)
                await _until(process, "license_master_clock_ahead_seconds", lambda ahead: ahead > HOUR / 2)
                (refusal,) = refused(await ulm.acquire(seat("port", "second"), wait=True))
                assert (refusal.place, refusal.waiting) == (2, 2), "it did not ask an hour before the other one"
                await hq.give_back(seat("port", "phone-0"))
                watching = lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch)
                async for news in wire.leases.WatchLease(watching):
                    if any(notice.kind == lease_pb2.NOTICE_KIND_SEATS_HANDED_ON for notice in news.notices):
                        break
                assert "HANDED_ON" not in await told(ulm)
        finally:
            await process.kill()
