"""A client waits for seats: it hears its place, gets its seat over the stream, and keeps its place when masters go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from licensemaster.v1 import allocation_pb2
from slave_client import (
    Awaited,
    BlockingSlaveClient,
    Granted,
    HolderKind,
    Reason,
    Refused,
    SeatChange,
    SlaveClient,
    State,
    Want,
)
from tests.slave_client.conftest import PORTS, RestartableMaster, estate
from tests.support.limits import HANG_SECONDS
from tests.support.masters import wire_to
from tests.support.network.relay import Relay, relay_to
from tests.support.projects.allocations import Policy, lay_down
from tests.support.waiting import until

HELD = [Want("port", HolderKind.USER, f"held-{number}") for number in range(PORTS)]
FIRST, SECOND = (Want("port", HolderKind.USER, name) for name in ("first", "second"))


class Site:
    """A PBX and what it hears of its seats."""

    def __init__(self, client: SlaveClient, changes: asyncio.Queue[SeatChange]) -> None:
        self.client = client
        self._changes = changes

    async def hears(self, want: Want) -> SeatChange:
        """The next change that is about a seat."""
        async with asyncio.timeout(HANG_SECONDS):
            while (change := await self._changes.get()).want != want:
                pass
            return change


@asynccontextmanager
async def site(master: RestartableMaster, pbx: str, *, over: Relay | None = None) -> AsyncIterator[Site]:
    changes: asyncio.Queue[SeatChange] = asyncio.Queue()
    config = master.config(pbx, addresses=(master.address if over is None else over.address,))
    async with SlaveClient(config, on_seat=lambda want, change: changes.put_nowait(change)) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        yield Site(client, changes)


@pytest.fixture
async def queued(master: RestartableMaster) -> RestartableMaster:
    """A master whose ports may be waited for."""
    async with wire_to(master.address) as wire:
        await lay_down(wire, Policy(license_type="port", queue=allocation_pb2.QueuePolicy(length_max=10)))
    return master


def awaits(outcome: object, place: int) -> bool:
    return isinstance(outcome, Refused) and outcome.reason is Reason.WAITING and outcome.place == place


async def test_a_seat_is_granted_over_the_stream(queued: RestartableMaster) -> None:
    async with site(queued, "berlin") as berlin, site(queued, "rome") as rome:
        await berlin.client.acquire_many(HELD)
        assert awaits(await rome.client.acquire(FIRST, wait=True), 1)
        assert awaits(await rome.client.acquire(SECOND, wait=True), 2)
        assert await rome.hears(FIRST)
        await berlin.client.return_seat(HELD[0])
        change = await rome.hears(FIRST)
        assert isinstance(change, Granted)
        assert rome.client.held_seat(FIRST.key) is not None
        await until(lambda: _is(rome.client.awaited, (Awaited(want=SECOND, place=1),)))
        await rome.client.return_seat(SECOND)
        assert rome.client.awaited == ()
        await berlin.client.return_seat(HELD[1])
        assert isinstance(await berlin.client.acquire(HELD[1]), Granted), "who gave up is not waited on"


@pytest.mark.parametrize("types", [("port", "fax"), ("PBX-Port", "PBX-Fax")], ids=["keys", "printed"])
async def test_who_waits_for_two_types_gets_the_one_that_comes_first(
    master: RestartableMaster, types: tuple[str, str]
) -> None:
    """While it waits for the other one still, each at its own place."""
    port, fax = (Want(name, HolderKind.USER, "first") for name in types)
    before, taken = Want(types[0], HolderKind.USER, "before"), Want("fax", HolderKind.USER, "held")
    await master.apply(estate(more={"PBX-Fax12": 1}))
    async with wire_to(master.address) as wire:
        queue = allocation_pb2.QueuePolicy(length_max=10)
        await lay_down(wire, *(Policy(license_type=name, queue=queue) for name in ("port", "fax")))
    async with site(master, "berlin") as berlin, site(master, "rome") as rome:
        await berlin.client.acquire_many([*HELD, taken])
        await rome.client.acquire_many([before, port, fax], wait=True)
        for held, gets in zip(HELD, (before, port), strict=False):
            await berlin.client.return_seat(held)
            async with asyncio.timeout(HANG_SECONDS):
                while not isinstance(await rome.hears(gets), Granted):
                    assert Awaited(want=fax, place=1) in rome.client.awaited
        assert rome.client.awaited == (Awaited(want=fax, place=1),)


async def test_who_waits_for_very_many_seats_gets_what_is_handed_on(queued: RestartableMaster) -> None:
    """More than the master names in a notice."""
    async with wire_to(queued.address) as wire:
        await lay_down(wire, Policy(license_type="port", queue=allocation_pb2.QueuePolicy(length_max=4_000)))
    wants = [Want("port", HolderKind.USER, f"late-{number}") for number in range(1_500)]
    async with site(queued, "berlin") as berlin, site(queued, "rome") as rome:
        await berlin.client.acquire_many(HELD)
        assert {outcome.granted for outcome in await rome.client.acquire_many(wants, wait=True)} == {False}
        await berlin.client.return_seat(HELD[0])
        await until(lambda: _is([held.want for held in rome.client.held], wants[:1]))


async def test_a_place_that_is_asked_for_again_is_no_news(queued: RestartableMaster) -> None:
    """What the stream says of what is waited for was written before the PBX waited."""
    async with relay_to(queued.address) as relay, site(queued, "berlin") as berlin:
        await berlin.client.acquire_many(HELD)
        on_the_way = relay.hold_answers("WatchLease")
        async with site(queued, "rome", over=relay) as rome:
            await on_the_way.wait()
            assert awaits(await rome.client.acquire(FIRST, wait=True), 1)
            relay.let_through("WatchLease")
            await until(lambda: _is(relay.answered["AcquireSeats"], 2))
            await berlin.client.return_seat(HELD[0])
            assert [type(await rome.hears(FIRST)) for _ in range(2)] == [Refused, Granted]


async def test_the_place_is_kept_while_the_master_is_away(queued: RestartableMaster) -> None:
    async with site(queued, "berlin") as berlin, site(queued, "rome") as rome:
        await berlin.client.acquire_many(HELD)
        await rome.client.acquire_many([FIRST, SECOND], wait=True)
        await queued.stop()
        await rome.client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        await berlin.client.return_seat(HELD[0])
        await rome.client.return_seat(FIRST)
        await queued.start()
        assert isinstance(await rome.hears(SECOND), Refused)
        async with asyncio.timeout(HANG_SECONDS):
            while not isinstance(await rome.hears(SECOND), Granted):
                pass
        assert await queued.holders("rome") == {"second"}, "what was given up meanwhile is nobody's"


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
async def test_the_place_is_kept_over_a_restart_of_the_pbx(
    queued: RestartableMaster, tmp_path: Path, crash: bool
) -> None:
    config, lease = queued.config("rome", state_dir=tmp_path), tmp_path / "lease"
    async with site(queued, "berlin") as berlin:
        await berlin.client.acquire_many(HELD)
        before = SlaveClient(config)
        await before.start()
        assert awaits(await before.acquire(FIRST, wait=True), 1)
        await until(lambda: _is(lease.is_file() and b'"first"' in lease.read_bytes(), True))
        assert awaits(await berlin.client.acquire(SECOND, wait=True), 2)
        await (before.crash() if crash else before.stop())
        async with SlaveClient(config) as rome:
            await rome.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert rome.awaited == (Awaited(want=FIRST, place=1),)
            await berlin.client.return_seat(HELD[0])
            await until(lambda: _is(rome.held_seat(FIRST.key) is not None, True))
            assert [seat.want for seat in berlin.client.awaited] == [SECOND]


async def test_what_may_not_be_waited_for_any_longer_is_refused(queued: RestartableMaster) -> None:
    async with site(queued, "berlin") as berlin, site(queued, "rome") as rome:
        await berlin.client.acquire_many(HELD)
        await rome.client.acquire(FIRST, wait=True)
        await rome.hears(FIRST)
        async with wire_to(queued.address) as wire:
            await lay_down(wire)
        change = await rome.hears(FIRST)
        assert isinstance(change, Refused)
        assert change.reason is Reason.POOL_EXHAUSTED
        assert rome.client.awaited == ()


async def test_a_caller_who_goes_away_does_not_wait(queued: RestartableMaster) -> None:
    async with site(queued, "berlin") as berlin, site(queued, "rome") as rome:
        await berlin.client.acquire_many(HELD)
        asking = asyncio.ensure_future(rome.client.acquire(FIRST, wait=True))
        await asyncio.sleep(0)
        asking.cancel()
        outcome = await rome.client.acquire(SECOND, wait=True)
        await until(lambda: _is(tuple(seat.want for seat in rome.client.awaited), (SECOND,)))
        assert isinstance(outcome, Refused)


async def test_the_blocking_client_waits_as_well(queued: RestartableMaster) -> None:
    def wait() -> object:
        with BlockingSlaveClient(queued.config("rome")) as client:
            client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            return client.acquire(FIRST, wait=True)

    async with site(queued, "berlin") as berlin:
        await berlin.client.acquire_many(HELD)
        assert awaits(await asyncio.to_thread(wait), 1)


async def _is(value: object, expected: object) -> bool:
    return value == expected
