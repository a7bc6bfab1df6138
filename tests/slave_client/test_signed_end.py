"""What a client may use ends when its signed lease does, whatever its clocks and its master do."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from slave_client import CallKind, HolderKind, Lost, NetworkSwitch, NoticeKind, SeatChange, SlaveClient, State, Want
from slave_client.storage.state_dir import Identity, StateDir
from tests.slave_client.conftest import HeldClock, RestartableMaster, client_config, estate
from tests.slave_client.phones import PHONES, connected, port
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, master_process, wire_to
from tests.support.waiting import until


async def test_at_the_signed_end_seats_are_lost_and_then_acquired_again(master: RestartableMaster) -> None:
    time, line = HeldClock(master.clock), NetworkSwitch()
    changes: list[SeatChange] = []
    client = SlaveClient(master.config(), network=line, clock=time, on_seat=lambda want, change: changes.append(change))
    await client.start()
    await connected(client)
    await client.acquire_many(PHONES[:2])
    line.cut()
    client.look_again()
    await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
    time.advance(59)
    assert (await client.acquire(PHONES[0])).granted
    time.advance(2)
    assert client.state is State.EXPIRED
    assert not client.held
    assert [change.want for change in changes if isinstance(change, Lost)] == PHONES[:2]
    assert not client.call_allowed(kind=CallKind.NEW, holder="phone-0")
    assert client.call_allowed(kind=CallKind.EMERGENCY)
    await client.return_seat(PHONES[1])
    line.restore()
    client.look_again()
    await connected(client)
    assert [held.want for held in client.held] == PHONES[:1]
    assert await master.holders("berlin") == {"phone-0"}
    await client.stop()


async def test_the_clients_end_is_never_later_than_the_masters(master: RestartableMaster) -> None:
    time = HeldClock(master.clock)
    client = SlaveClient(master.config(), clock=time)
    await client.start()
    await connected(client)
    report = client.report()
    assert report.lease_end is not None
    assert master.clock() + report.remaining_seconds <= report.lease_end.timestamp()
    await client.stop()


@pytest.mark.parametrize("away", [10.0, 59.0, 61.0])
async def test_after_a_restart_the_signed_end_counts(master: RestartableMaster, tmp_path: Path, away: float) -> None:
    time, line = HeldClock(master.clock), NetworkSwitch()
    first = SlaveClient(master.config(state_dir=tmp_path), clock=time)
    await first.start()
    await connected(first)
    await first.acquire(PHONES[0])
    await first.stop()
    time.advance(away)
    line.cut()
    second = SlaveClient(master.config(state_dir=tmp_path), network=line, clock=time)
    await second.start()
    reached = await second.wait_for_state(State.OFFLINE, State.EXPIRED, timeout_seconds=HANG_SECONDS)
    assert reached is (State.OFFLINE if away < 60 else State.EXPIRED)
    assert second.report().remaining_seconds == pytest.approx(max(60 - away, 0))
    assert (await second.acquire(PHONES[0])).granted is (away < 60)
    await second.stop()


async def test_a_clock_set_back_gains_nothing(master: RestartableMaster, tmp_path: Path) -> None:
    time = HeldClock(master.clock)
    line = await _offline_and_stopped(master, tmp_path, time, after=40)
    master.clock.advance(-1_000_000)
    time.restart_machine()
    second = SlaveClient(master.config(state_dir=tmp_path), network=line, clock=time)
    await second.start()
    await second.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
    assert second.report().remaining_seconds <= 20
    assert [notice.kind for notice in second.notices] == [NoticeKind.CLOCK_SET_BACK]
    master.clock.advance(1_000_000)
    line.restore()
    second.look_again()
    await connected(second)
    assert second.notices == ()
    await second.stop()


async def _offline_and_stopped(
    master: RestartableMaster, state_dir: Path, time: HeldClock, *, after: float = 20
) -> NetworkSwitch:
    """A client with a seat that is cut off and then stopped, so many of its 60 s later; return its line."""
    line = NetworkSwitch()
    first = SlaveClient(master.config(state_dir=state_dir), clock=time, network=line)
    await first.start()
    await connected(first)
    await first.acquire(PHONES[0])
    line.cut()
    first.look_again()
    await first.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
    time.advance(after)
    await first.stop()
    return line


@pytest.mark.parametrize("jump", [-1e9, -86_400.0, -30.0, -5.0, 5.0, 300.0, 86_400.0, 1e9])
async def test_while_the_machine_runs_no_wall_clock_counts_after_a_restart(
    master: RestartableMaster, tmp_path: Path, jump: float
) -> None:
    time = HeldClock(master.clock)
    line = await _offline_and_stopped(master, tmp_path, time)
    time.advance(30)
    master.clock.advance(jump)
    async with SlaveClient(master.config(state_dir=tmp_path), network=line, clock=time) as second:
        await second.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert second.report().remaining_seconds == pytest.approx(10)
        assert second.notices == ()
        assert (await second.acquire(PHONES[0])).granted
        time.advance(10)
        assert not second.call_allowed(kind=CallKind.NEW, holder="phone-0")
        assert second.state is State.EXPIRED


async def test_a_clock_that_is_always_behind_stretches_no_lease(master: RestartableMaster, tmp_path: Path) -> None:
    """Whatever its wall clock shows, it shows how long the machine was off."""
    time = HeldClock(Clock(master.clock() - 1_000_000))
    line = await _offline_and_stopped(master, tmp_path, time)
    time.advance(30)
    time.restart_machine()
    async with SlaveClient(master.config(state_dir=tmp_path), network=line, clock=time) as second:
        await second.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert second.report().remaining_seconds == pytest.approx(10)


@pytest.mark.parametrize("away", [100.0, 700.0])
async def test_a_clock_that_is_put_right_after_the_start_counts(
    master: RestartableMaster, tmp_path: Path, away: float
) -> None:
    """As on a machine whose clock starts in the past until the network sets it."""
    await master.apply(estate(grace_seconds=570))
    time = HeldClock(master.clock)
    line = await _offline_and_stopped(master, tmp_path, time)
    time.advance(away)
    master.clock.advance(-1_000_000)
    time.restart_machine()
    for _ in range(2):  # another start of the program finds out no more
        client = SlaveClient(master.config(state_dir=tmp_path), network=line, clock=time)
        await client.start()
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert client.report().remaining_seconds == pytest.approx(580)
        await client.stop()
    async with SlaveClient(master.config(state_dir=tmp_path), network=line, clock=time) as client:
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        master.clock.advance(1_000_000)
        time.advance(60)
        await until(lambda: client.report().remaining_seconds == pytest.approx(max(520 - away, 0)))
        assert client.state is (State.OFFLINE if away < 520 else State.EXPIRED)
        assert client.notices == ()


async def test_more_seats_than_one_step_takes_are_settled_in_parts(master: RestartableMaster, tmp_path: Path) -> None:
    await master.apply(estate(more={"PBX-Port12": 10_100}))
    many = [port(f"p{number}") for number in range(10_010)]
    first = SlaveClient(master.config(state_dir=tmp_path))
    await first.start()
    assert all(outcome.granted for outcome in await first.acquire_many(many))
    await first.stop()
    async with SlaveClient(master.config(state_dir=tmp_path)) as second:
        await connected(second)
        assert len(second.held) == len(many)
        synced = await second.sync([*many[5:], port("one-more")])
        assert synced.seats_returned == 5
        assert all(outcome.granted for outcome in synced.outcomes)
        assert len(second.held) == len(many) - 4


async def test_a_master_killed_in_the_middle_loses_nothing_that_it_granted(sqlite_database_url: str) -> None:
    async with master_process(sqlite_database_url, clock_allowance_seconds=0) as process:
        async with wire_to(process.address) as wire:
            await wire.apply(estate())
        async with SlaveClient(client_config(process.address)) as client:
            await connected(client)
            under_way = asyncio.gather(*(client.acquire(want) for want in PHONES))
            await asyncio.sleep(0)
            await process.kill()
            granted = {outcome.want for outcome in await under_way if outcome.granted}
            await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
            assert {held.want for held in client.held} == granted
            await process.start()
            await connected(client)
            assert {held.want for held in client.held} == granted
            assert all(outcome.granted for outcome in await client.acquire_many(PHONES))


async def test_a_pbx_that_slept_past_its_end_uses_nothing_before_it_notices(
    master: RestartableMaster, tmp_path: Path
) -> None:
    time = HeldClock(master.clock)
    client = SlaveClient(master.config(state_dir=tmp_path), clock=time)
    await client.start()
    await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    want = Want("port", HolderKind.USER, "anna")
    assert (await client.acquire(want)).granted
    assert client.call_allowed(kind=CallKind.NEW, holder="anna")
    time.advance(client.report().remaining_seconds)  # nobody else has had a turn since
    assert not client.call_allowed(kind=CallKind.NEW, holder="anna")
    assert client.held == ()
    assert client.call_allowed(kind=CallKind.RUNNING, holder="anna")
    await client.crash()


async def test_a_lease_that_ends_while_it_is_written_down_is_not_relied_on(
    master: RestartableMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the machine sleeps between the master's answer and the disk's: seats without an end must not follow."""
    time, writing, may_go_on = HeldClock(master.clock), asyncio.Event(), threading.Event()
    loop, save_identity = asyncio.get_running_loop(), StateDir.save_identity

    def slow_save(state_dir: StateDir, identity: Identity) -> None:
        if identity.pinned_key:  # which the first lease brings
            loop.call_soon_threadsafe(writing.set)
            may_go_on.wait(HANG_SECONDS)
        save_identity(state_dir, identity)

    monkeypatch.setattr(StateDir, "save_identity", slow_save)
    async with SlaveClient(master.config(state_dir=tmp_path), clock=time) as client:
        await writing.wait()
        time.advance(client.report().remaining_seconds)
        assert client.state is State.EXPIRED
        may_go_on.set()
        await connected(client)
        assert client.report().remaining_seconds > 0
        assert (await client.acquire(PHONES[0])).granted
