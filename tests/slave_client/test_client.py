"""The client against a real master: seats, outages, fencing. Nobody waits for the wall clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from simulator import SiteSimulator
from slave_client import (
    BlockingSlaveClient,
    CallKind,
    Granted,
    HolderKind,
    NetworkSwitch,
    NoticeKind,
    Reason,
    Refused,
    Returned,
    SlaveClient,
    Source,
    State,
    Want,
)
from tests.slave_client.conftest import PORTS, RestartableMaster, client_config, estate
from tests.slave_client.phones import PHONES, connected, port
from tests.support.limits import HANG_SECONDS


@pytest.mark.rule("A1", "E1")
async def test_seats_are_acquired_and_returned(master: RestartableMaster) -> None:
    changes: list[object] = []
    async with SlaveClient(master.config(), on_seat=lambda want, change: changes.append(change)) as client:
        outcomes = await client.acquire_many(PHONES)
        assert all(isinstance(outcome, Granted) for outcome in outcomes)
        assert len(await master.holders("berlin")) == PORTS
        refused = await client.acquire(port("one-too-many"))
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.POOL_EXHAUSTED
        assert (refused.capacity, refused.in_use) == (PORTS, PORTS)
        assert refused.remedy.text
        assert client.call_allowed(kind=CallKind.NEW, holder="phone-0")
        assert not client.call_allowed(kind=CallKind.NEW, holder="one-too-many")
        assert client.call_allowed(kind=CallKind.EMERGENCY, holder="one-too-many")
        returned = await client.return_seat(PHONES[0])
        assert returned == Returned(want=PHONES[0], held=True)
        assert len(await master.holders("berlin")) == PORTS - 1
        assert client.report().seats_held == PORTS - 1
        assert await client.close() == PORTS - 1
        assert client.state is State.CLOSED
    assert client.state is State.CLOSED
    assert len(await master.holders("berlin")) == 0
    assert sum(isinstance(change, Granted) for change in changes) == PORTS


async def test_a_seat_that_is_held_is_granted_again_without_asking(master: RestartableMaster) -> None:
    async with SlaveClient(master.config()) as client:
        await client.acquire(PHONES[0])
        again = await client.acquire(PHONES[0])
        assert isinstance(again, Granted)
        assert (again.already_held, again.source) == (True, Source.LOCAL)


async def test_concurrent_acquires_each_get_their_own_answer(master: RestartableMaster) -> None:
    async with SlaveClient(master.config()) as client:
        outcomes = await asyncio.gather(*(client.acquire(port(f"p{number}")) for number in range(20)))
        assert sum(outcome.granted for outcome in outcomes) == PORTS


async def test_seats_may_come_one_by_one(master: RestartableMaster) -> None:
    """From whatever can be gone through once."""
    async with SlaveClient(master.config()) as client:
        assert [outcome.want for outcome in await client.acquire_many(iter(PHONES))] == PHONES
        assert [outcome.want for outcome in await client.return_seats(iter(PHONES))] == PHONES


@pytest.mark.parametrize("kind", [1, "USER", None])
def test_a_seat_of_no_kind_is_none(kind: Any) -> None:
    """A kind's number is equal to it; once acquired it could be neither kept nor given back, nor any seat beside it."""
    with pytest.raises(ValueError, match="is no HolderKind"):
        Want("port", kind, "phone-0")


async def test_a_bad_seat_does_not_fail_its_neighbours(master: RestartableMaster) -> None:
    async with SlaveClient(master.config()) as client:
        outcomes = await client.acquire_many([port("a"), Want("no-such-type", HolderKind.USER, "b"), port("c")])
        assert [outcome.granted for outcome in outcomes] == [True, False, True]


async def test_a_cancelled_acquire_leaves_nothing_behind(master: RestartableMaster) -> None:
    async with SlaveClient(master.config()) as client:
        await connected(client)
        cancelled = [asyncio.create_task(client.acquire(want)) for want in PHONES]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        await asyncio.wait(cancelled)
        outcomes = await client.acquire_many([port(f"other-{number}") for number in range(PORTS)])
        await client.return_seats(PHONES)
        outcomes = await client.acquire_many([port(f"other-{number}") for number in range(PORTS)])
        assert all(outcome.granted for outcome in outcomes)


async def test_sync_makes_held_what_is_wanted(master: RestartableMaster) -> None:
    async with SlaveClient(master.config()) as client:
        await client.acquire_many(PHONES[:3])
        synced = await client.sync([*PHONES[2:4]])
        assert [outcome.granted for outcome in synced.outcomes] == [True, True]
        assert synced.seats_returned == 2
        assert await master.holders("berlin") == {"phone-2", "phone-3"}
        assert {held.want for held in client.held} == set(PHONES[2:4])
        with pytest.raises(ValueError, match="twice"):
            await client.sync([PHONES[0], PHONES[0]])


@pytest.mark.rule("H5")
async def test_a_seat_that_others_depend_on_stays(master: RestartableMaster) -> None:
    await master.apply(estate(more={"PBX-myPBX12": 1, "PBX Video12": 1}))
    mypbx, video = Want("mypbx", HolderKind.USER, "alice"), Want("video", HolderKind.USER, "alice")
    async with SlaveClient(master.config()) as client:
        assert all(outcome.granted for outcome in await client.acquire_many([mypbx, video]))
        refused = await client.return_seat(mypbx)
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.STILL_REQUIRED
        assert {held.want for held in client.held} == {mypbx, video}
        assert all(isinstance(outcome, Returned) for outcome in await client.return_seats([video, mypbx]))


async def test_an_outage_is_survived_with_what_is_held(master: RestartableMaster) -> None:
    line = NetworkSwitch()
    async with SlaveClient(master.config(), network=line) as client:
        await client.acquire_many(PHONES)
        line.cut()
        client.look_again()
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        held = await client.acquire(PHONES[0])
        assert isinstance(held, Granted)
        refused = await client.acquire(port("newcomer"))
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.reason.source) == (Reason.OFFLINE, Source.LOCAL)
        assert client.call_allowed(kind=CallKind.EMERGENCY)
        returned = await client.return_seat(PHONES[0])
        assert returned == Returned(want=PHONES[0], held=True, source=Source.LOCAL)
        passed_on = await client.acquire(port("newcomer"))
        assert isinstance(passed_on, Granted)
        assert passed_on.source is Source.LOCAL
        assert await master.holders("berlin") == {want.holder for want in PHONES}
        line.restore()
        client.look_again()
        await connected(client)
        assert await master.holders("berlin") == {want.holder for want in PHONES[1:]} | {"newcomer"}


async def test_a_master_that_restarts_is_found_again(master: RestartableMaster) -> None:
    async with SlaveClient(master.config()) as client:
        await client.acquire_many(PHONES[:2])
        await master.stop()
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert (await client.return_seat(PHONES[0])) == Returned(want=PHONES[0], held=True, source=Source.LOCAL)
        await master.start()
        await connected(client)
        assert await master.holders("berlin") == {PHONES[1].holder}
        assert (await client.acquire(PHONES[2])).granted


async def test_while_a_master_that_hangs_is_waited_for_a_client_says_what_counts(
    master: RestartableMaster, tmp_path: Path
) -> None:
    async with SlaveClient(master.config(state_dir=tmp_path)) as client:
        await client.acquire_many(PHONES[:2])
        await client.stop()
    hung = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    address = f"127.0.0.1:{hung.sockets[0].getsockname()[1]}"
    async with hung, SlaveClient(client_config(address, state_dir=tmp_path)) as client:
        report = client.report()
        assert (report.state, report.seats_held) == (State.STARTING, 2)
        assert (
            report.why
            == "no master has answered since the start; what was kept from before counts until its signed end"
        )


async def test_a_second_address_takes_over(master: RestartableMaster) -> None:
    config = master.config(addresses=("127.0.0.1:1", master.address))
    async with SlaveClient(config) as client:
        assert (await client.acquire(PHONES[0])).granted
        assert client.report().master == master.address


async def test_without_a_master_a_fresh_site_is_refused_clearly() -> None:
    config = client_config("127.0.0.1:1", give_up_after_seconds=30.0)
    async with SlaveClient(config) as client:
        refused = await client.acquire(PHONES[0])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.NO_LEASE
        assert client.state is State.STARTING


async def test_an_unknown_pbx_is_told_so(master: RestartableMaster) -> None:
    noticed: asyncio.Queue[NoticeKind] = asyncio.Queue()
    config = master.config("atlantis")
    async with SlaveClient(config, on_notice=lambda notice: noticed.put_nowait(notice.kind)) as client:
        assert await noticed.get() is NoticeKind.MASTER_REFUSES
        refused = await client.acquire(PHONES[0])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.NO_LEASE


async def test_a_newer_opening_fences_the_older_for_good(master: RestartableMaster, tmp_path: Path) -> None:
    lost: list[object] = []
    older = SlaveClient(master.config(state_dir=tmp_path / "a"), on_seat=lambda want, change: lost.append(change))
    await older.start()
    await older.acquire(PHONES[0])
    newer = SlaveClient(master.config(state_dir=tmp_path / "b"))
    await newer.start()
    await connected(newer)
    await older.wait_for_state(State.FENCED, timeout_seconds=HANG_SECONDS)
    refused = await older.acquire(PHONES[1])
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.FENCED
    assert older.held == ()
    assert older.call_allowed(kind=CallKind.EMERGENCY)
    assert await older.close() == 0
    assert older.state is State.FENCED
    assert newer.state is State.CONNECTED
    assert any(notice.kind is NoticeKind.SEATS_FROM_BEFORE for notice in newer.notices)
    assert await newer.close() == 1


async def test_a_lease_by_a_stranger_is_not_used(master: RestartableMaster) -> None:
    noticed: asyncio.Queue[NoticeKind] = asyncio.Queue()
    config = master.config(trusted_keys=(b"\1" * 32,))
    async with SlaveClient(config, on_notice=lambda notice: noticed.put_nowait(notice.kind)) as client:
        assert await noticed.get() is NoticeKind.LEASE_NOT_TRUSTED
        assert not (await client.acquire(PHONES[0])).granted


@pytest.mark.rule("B10")
async def test_a_version_limit_is_told_and_held_seats_stay(master: RestartableMaster) -> None:
    noticed: asyncio.Queue[NoticeKind] = asyncio.Queue()
    async with SlaveClient(master.config(), on_notice=lambda notice: noticed.put_nowait(notice.kind)) as client:
        await client.acquire(PHONES[0])
        await master.apply(estate(ports_version=11))
        assert await noticed.get() is NoticeKind.VERSION_LIMIT
        refused = await client.acquire(PHONES[1])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.VERSION_LIMIT
        assert await master.holders("berlin") == {PHONES[0].holder}


async def test_a_failing_callback_harms_nobody(master: RestartableMaster) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a bug of the PBX maker")

    async with SlaveClient(master.config(), on_state=fail, on_seat=fail, on_notice=fail) as client:
        assert (await client.acquire(PHONES[0])).granted


async def test_leaving_by_an_exception_keeps_the_lease(master: RestartableMaster) -> None:
    client = SlaveClient(master.config())

    async def use() -> None:
        async with client:
            await client.acquire(PHONES[0])
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        await use()
    assert client.state is State.STOPPED
    assert len(await master.holders("berlin")) == 1


@pytest.mark.parametrize("ends_for_good", [True, False])
async def test_the_blocking_face_does_the_same(master: RestartableMaster, ends_for_good: bool) -> None:
    def use() -> None:
        with BlockingSlaveClient(master.config()) as client:
            assert client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS) is State.CONNECTED
            assert client.acquire(PHONES[0]).granted
            assert all(outcome.granted for outcome in client.acquire_many(PHONES))
            assert client.call_allowed(kind=CallKind.NEW, holder="phone-0")
            assert client.return_seat(PHONES[0]) == Returned(want=PHONES[0], held=True)
            assert client.sync(PHONES[:2]).seats_returned == 3
            assert client.state is State.CONNECTED
            assert len(client.held) == 2
            if ends_for_good:
                assert client.close() == 2
        assert client.report().state is (State.CLOSED if ends_for_good else State.STOPPED)
        with pytest.raises(RuntimeError, match="closed"):
            client.acquire(PHONES[0])

    await asyncio.to_thread(use)
    assert len(await master.holders("berlin")) == (0 if ends_for_good else 2)


async def test_a_simulated_site_lives_through_an_outage(master: RestartableMaster) -> None:
    site = SiteSimulator(master.config(), phones=PORTS + 2, seed=7)
    await site.start()
    outcomes = await site.register_all()
    assert sum(outcome.granted for outcome in outcomes) == site.counts.registered == PORTS
    assert site.counts.refused_total == 2
    site.drop_line()
    await site.client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
    for _ in range(50):
        await site.step()
        assert site.counts.registered <= PORTS
    assert site.may_call(PORTS + 1, CallKind.EMERGENCY)
    site.restore_line()
    await connected(site.client)
    registered = site.counts.registered
    assert len(await master.holders("berlin")) == registered == len(site.client.held)
    assert await site.close() == registered
    assert len(await master.holders("berlin")) == 0


async def test_simulated_phones_come_and_go_by_their_seed(master: RestartableMaster) -> None:
    async def history() -> list[str]:
        heard: list[str] = []
        site = SiteSimulator(master.config(), phones=3, seed=5, on_event=lambda event: heard.append(event.text))
        await site.start()
        await connected(site.client)
        heard.clear()
        for _ in range(20):
            await site.step()
        await site.rest()
        steps = list(heard)
        await site.close()
        return steps

    assert await history() == await history()
