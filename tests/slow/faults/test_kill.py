"""SIGKILL under load: nothing acknowledged is lost, nothing doubled, no pool overdrawn.

TESTS_LONG=1 kills many more times.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from functools import partial

import grpc
import pytest

from licensemaster.v1 import lease_pb2
from tests.rules.allocation.test_waiting import queue, told
from tests.slow.faults.databases.storm import Ledger, Storm, retry_what_is_unsure, until_gone
from tests.support.databases.truth import held_by_pbx, mismatches, used
from tests.support.limits import LONG
from tests.support.masters import MasterProcess, Wire, master_process, wire_to
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.allocations import lay_down
from tests.support.projects.estates import project

KILLS = 60 if LONG else 6
RACES = 20 if LONG else 1
LASTING = 3600
"""For a lease that no pause of a busy machine ends."""
PBXS = {f"site-{number}": f"slave 12 {'ipva' if number == 0 else 'gateway'}" for number in range(8)}
PORTS, IPVAS = 150, 20


async def _opened(wire: Wire) -> list[Ledger]:
    await wire.apply(project({"PBX-Port12": PORTS, "PBX-IPVA12": IPVAS}, pbxs={"hq": "master 12 ipva", **PBXS}))
    return [Ledger(await opened(wire, name)) for name in PBXS]


async def _check(wire: Wire, database_url: str, ledgers: list[Ledger]) -> None:
    held = await held_by_pbx(wire)
    for ledger in ledgers:
        seats = held.get(ledger.pbx.name, set())
        ports = {holder for kind, holder in seats if kind == "port"}
        assert ledger.holds <= ports, "an acknowledged seat was lost"
        assert ports <= ledger.holds | ledger.unsure, "a seat is there that nobody asked for, or that was returned"
        is_vm = ledger.pbx.name.endswith("/site-0")
        assert {holder for kind, holder in seats if kind == "ipva"} == (ports if is_vm else set())
    total = sum(1 for seats in held.values() for kind, _ in seats if kind == "port")
    assert (await used(wire))["port"] == total <= PORTS
    assert await mismatches(database_url) == []


@pytest.mark.timeout(3600)
@pytest.mark.rule("D1", "E1")
async def test_what_was_acknowledged_survives_sigkill(database_url: str) -> None:
    rng = random.Random(7)
    async with master_process(database_url) as process:
        async with wire_to(process.address) as wire:
            ledgers = await _opened(wire)
        for _ in range(KILLS):
            async with wire_to(process.address) as wire:
                for ledger in ledgers:
                    ledger.pbx.wire = wire
                storm = Storm(enough=rng.randint(8, 120))
                await until_gone(storm, ledgers, partial(os.kill, process.pid, signal.SIGKILL))
            await process.kill()  # it is dead; this only forgets it
            await process.start()
            async with wire_to(process.address) as wire:
                await _check(wire, database_url, ledgers)
                for ledger in ledgers:
                    await retry_what_is_unsure(ledger, wire)
                    assert not ledger.unsure
                await _check(wire, database_url, ledgers)
        assert sum(ledger.refused for ledger in ledgers), "the pool must have been scarce for this to mean anything"


@pytest.mark.timeout(3600)
async def test_who_waits_keeps_its_place_over_sigkill(database_url: str) -> None:
    async with master_process(database_url) as process:
        async with wire_to(process.address) as wire:
            pbxs = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway"}
            await wire.apply(project({"PBX-Port12": 3}, pbxs=pbxs, ttl_seconds=LASTING, grace_seconds=LASTING))
            await lay_down(wire, queue())
            hq, berlin, rome = [await opened(wire, name) for name in ("hq", "berlin", "rome")]
            granted(await hq.acquire(*seats("port", 3)))
            refused(await berlin.acquire(*seats("port", 2, "desk"), wait=True))
            refused(await rome.acquire(seat("port", "late"), wait=True))
        for number, (gets, holder) in enumerate(((berlin, "desk-0"), (rome, "late"))):
            os.kill(process.pid, signal.SIGKILL)
            await process.kill()  # it is dead; this only forgets it
            await process.start()
            async with wire_to(process.address) as wire:
                hq.wire = berlin.wire = rome.wire = wire
                await hq.give_back(seat("port", f"phone-{number}"))
                watching = lease_pb2.WatchLeaseRequest(pbx=gets.name, epoch=gets.epoch)
                async for news in wire.leases.WatchLease(watching):
                    if any(notice.kind == lease_pb2.NOTICE_KIND_SEATS_HANDED_ON for notice in news.notices):
                        break
                assert (await told(gets))["HANDED_ON"] == [holder]
                assert (await used(wire))["port"] == 3
    assert await mismatches(database_url) == []


@pytest.mark.timeout(3600)
@pytest.mark.rule("A1")
async def test_masters_race_for_the_last_seats_and_one_is_killed(postgresql_database_url: str) -> None:
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(master_process(postgresql_database_url)) for _ in range(3)]
        first = await stack.enter_async_context(wire_to(processes[0].address))
        await first.apply(project({"PBX-Port12": PORTS, "PBX-IPVA12": IPVAS}, pbxs={"hq": "master 12 ipva", **PBXS}))
        for at in range(RACES):
            await _race(processes, postgresql_database_url, victim=1 + at % 2)
            await processes[1 + at % 2].start()


async def _race(processes: list[MasterProcess], database_url: str, *, victim: int) -> None:
    """Every PBX goes to one master; those of the one that is killed retry at a living one."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(wire_to(process.address)) for process in processes]
        ledgers = [Ledger(await opened(wires[0], name)) for name in PBXS if name != "site-0"]
        for at, ledger in enumerate(ledgers):
            ledger.pbx.wire = wires[at % len(wires)]
        storm = _LastSeats(kill_when_left=PORTS // 3)
        racing = [asyncio.create_task(storm.race(ledger, living=wires[0])) for ledger in ledgers]
        await storm.few_left.wait()
        os.kill(processes[victim].pid, signal.SIGKILL)
        await asyncio.gather(*racing)
        await processes[victim].kill()

        acknowledged = sum(len(ledger.holds) for ledger in ledgers)
        assert acknowledged == PORTS, "the last seat was given out, and not one more"
        assert (await used(wires[0]))["port"] == PORTS
        held = await held_by_pbx(wires[0])
        for ledger in ledgers:
            assert {holder for _, holder in held.get(ledger.pbx.name, set())} == ledger.holds
        assert await mismatches(database_url) == []
        for ledger in ledgers:
            ledger.pbx.wire = wires[0]
            assert (await ledger.pbx.close()).seats_returned == len(ledger.holds)


class _LastSeats:
    def __init__(self, *, kill_when_left: int) -> None:
        self._granted = 0
        self._kill_when_left = kill_when_left
        self.few_left = asyncio.Event()

    async def race(self, ledger: Ledger, *, living: Wire) -> None:
        """Acquire one by one until refused; where no answer comes, ask another master the same again."""
        for number in range(PORTS + 1):
            ledger.unsure.add(f"phone-{number}")
            before = len(ledger.holds)
            try:
                await retry_what_is_unsure(ledger, ledger.pbx.wire)
            except grpc.aio.AioRpcError:
                await retry_what_is_unsure(ledger, living)
            if ledger.refused:
                return
            self._granted += len(ledger.holds) - before
            if PORTS - self._granted <= self._kill_when_left:
                self.few_left.set()
