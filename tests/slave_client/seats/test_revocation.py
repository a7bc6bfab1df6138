"""What an operator takes away is lost, given up on disk, and given back, whatever breaks in between (rule L5)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from simulator import SiteSimulator
from slave_client import (
    CallKind,
    Granted,
    HolderKind,
    LossCause,
    Lost,
    NetworkSwitch,
    NoticeKind,
    Reason,
    Refused,
    SeatChange,
    SlaveClient,
    State,
    Synced,
    Want,
)
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster, client_config, estate
from tests.slave_client.operating import Operator, operator_of
from tests.support.limits import HANG_SECONDS
from tests.support.masters import master_process
from tests.support.network.relay import Relay, relay_to
from tests.support.waiting import until

MORE = 3
OLD = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(PORTS)]
NEW = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(PORTS, PORTS + MORE)]
"""The last that are acquired, and so the first that are taken away."""


class Heard:
    """What a PBX hears of its seats and notices."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[SeatChange] = asyncio.Queue()
        self.notices: asyncio.Queue[NoticeKind] = asyncio.Queue()

    def client(self, master: RestartableMaster, time: HeldClock, **changes: object) -> SlaveClient:
        line = changes.pop("line", None)
        assert line is None or isinstance(line, NetworkSwitch)
        return SlaveClient(
            master.config(**changes),  # type: ignore[arg-type]
            network=line,
            clock=time,
            on_seat=lambda want, change: self.changes.put_nowait(change),
            on_notice=lambda notice: self.notices.put_nowait(notice.kind),
        )

    async def lost(self, count: int = MORE) -> list[Lost]:
        """The next seats that are lost, and whose they were."""
        losts: list[Lost] = []
        async with asyncio.timeout(HANG_SECONDS):
            while len(losts) < count:
                change = await self.changes.get()
                losts += [change] if isinstance(change, Lost) else []
        return losts

    async def noticed(self, kind: NoticeKind) -> None:
        async with asyncio.timeout(HANG_SECONDS):
            while await self.notices.get() is not kind:
                pass


@pytest.fixture
def time_held(master: RestartableMaster) -> HeldClock:
    """Nothing is renewed because of the time that a test takes."""
    return HeldClock(master.clock)


@pytest.fixture
async def operator(master: RestartableMaster, tmp_path: Path) -> Operator:
    return await operator_of(master.address, tmp_path, now=master.clock(), ports=MORE)


async def acquired(client: SlaveClient, time: HeldClock) -> None:
    """All ports are in use, NEW the newest of them."""
    await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    for wants in (OLD, NEW):
        outcomes = await client.acquire_many(wants)
        assert all(outcome.granted for outcome in outcomes), outcomes
        time.advance(1)


def held(client: SlaveClient) -> set[Want]:
    return {seat.want for seat in client.held}


async def agrees(client: SlaveClient, operator: Operator) -> None:
    """Wait until the master counts just what the client uses."""

    async def do_agree() -> bool:
        return await operator.holders() == {want.holder for want in held(client)}

    await until(do_agree)


@pytest.mark.rule("L5")
async def test_a_connected_pbx_is_told_at_once_and_gives_back(
    master: RestartableMaster, operator: Operator, time_held: HeldClock
) -> None:
    heard = Heard()
    async with heard.client(master, time_held) as client:
        await acquired(client, time_held)
        assert (await operator.revoke()).seats_revoked == MORE
        lost = await heard.lost()
        assert {change.want for change in lost} == set(NEW)
        assert {change.cause for change in lost} == {LossCause.REVOKED}
        assert all("3 seats were taken away" in change.message for change in lost)
        assert held(client) == set(OLD)
        assert client.state is State.CONNECTED
        await agrees(client, operator)
        holder = NEW[0].holder
        assert not client.call_allowed(kind=CallKind.NEW, holder=holder)
        assert client.call_allowed(kind=CallKind.RUNNING, holder=holder)
        assert client.call_allowed(kind=CallKind.EMERGENCY, holder=holder)
        refused = await client.acquire(NEW[0])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.POOL_EXHAUSTED  # not REVOKED: it is like any other by now
        await client.return_seat(OLD[0])
        assert (await client.acquire(NEW[0])).granted

        await until(lambda: NoticeKind.SEATS_REVOKED not in {notice.kind for notice in client.notices})


async def test_licenses_that_leave_are_told(
    master: RestartableMaster, operator: Operator, time_held: HeldClock
) -> None:
    heard = Heard()
    async with heard.client(master, time_held) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await operator.revoke()
        await heard.noticed(NoticeKind.LICENSES_LEAVING)
        (leaving,) = [notice for notice in client.notices if notice.kind is NoticeKind.LICENSES_LEAVING]
        assert [(license.license, license.quantity) for license in leaving.licenses] == [("more", MORE)]


@pytest.mark.rule("L5")
async def test_a_pbx_that_was_away_learns_on_its_return(
    master: RestartableMaster, operator: Operator, time_held: HeldClock
) -> None:
    heard, line = Heard(), NetworkSwitch()
    async with heard.client(master, time_held, line=line) as client:
        await acquired(client, time_held)
        line.cut()
        client.look_again()
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        newcomer = Want("port", HolderKind.USER, "newcomer")
        await client.return_seats(NEW[:2])
        assert (await client.acquire(newcomer)).granted  # passed on: the master counts it as one of NEW
        assert (await operator.revoke()).seats_revoked == MORE
        assert held(client) == {*OLD, NEW[2], newcomer}  # it may, until it hears; all of them are counted
        line.restore()
        client.look_again()
        assert {change.want for change in await heard.lost(2)} == {NEW[2], newcomer}
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert held(client) == set(OLD)
        await agrees(client, operator)


async def test_a_restarted_pbx_learns_when_it_opens(
    master: RestartableMaster, operator: Operator, time_held: HeldClock, tmp_path: Path
) -> None:
    first = Heard().client(master, time_held, state_dir=tmp_path / "state")
    await first.start()
    await acquired(first, time_held)
    await first.stop()
    await operator.revoke()
    heard = Heard()
    async with heard.client(master, time_held, state_dir=tmp_path / "state") as second:
        assert {change.want for change in await heard.lost()} == set(NEW)
        await second.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert held(second) == set(OLD)
        await agrees(second, operator)


async def test_seats_that_the_pbx_forgot_are_given_back_and_no_others(
    master: RestartableMaster, operator: Operator, time_held: HeldClock
) -> None:
    first = Heard().client(master, time_held)
    await first.start()
    await acquired(first, time_held)
    await first.crash()
    await operator.revoke()
    async with Heard().client(master, time_held) as second:

        async def are_back() -> bool:
            return await operator.holders() == {want.holder for want in OLD}

        await until(are_back)
        assert held(second) == set()


async def test_a_seat_taken_away_while_it_is_acquired_is_lost_right_after(
    master: RestartableMaster, operator: Operator, time_held: HeldClock, relay: Relay
) -> None:
    heard = Heard()
    async with heard.client(master, time_held, addresses=(relay.address,)) as client:
        await client.acquire_many(OLD)
        time_held.advance(1)
        waiting = relay.hold_answers("AcquireSeats")
        under_way = asyncio.create_task(client.acquire_many(NEW))
        await waiting.wait()  # granted by the master
        await operator.revoke()
        await heard.noticed(NoticeKind.SEATS_REVOKED)
        relay.let_through("AcquireSeats")
        assert [type(outcome) for outcome in await under_way] == [Granted] * MORE
        assert {change.want for change in await heard.lost()} == set(NEW)
        await agrees(client, operator)
        assert held(client) == set(OLD)


async def test_a_set_that_is_settled_before_the_news_comes_has_none_of_it(
    master: RestartableMaster, operator: Operator, time_held: HeldClock, relay: Relay
) -> None:
    relay.hold_answers("WatchLease")
    async with Heard().client(master, time_held, addresses=(relay.address,)) as client:
        await acquired(client, time_held)
        await operator.revoke()
        synced = await client.sync([*OLD, *NEW])
        assert isinstance(synced, Synced)
        refused = [outcome for outcome in synced.outcomes if isinstance(outcome, Refused)]
        assert {outcome.want for outcome in refused} == set(NEW)
        assert {outcome.reason for outcome in refused} == {Reason.REVOKED}
        assert held(client) == set(OLD)
        await agrees(client, operator)
        relay.let_through("WatchLease")


async def test_a_seat_refused_as_revoked_is_given_back_before_the_news_comes(
    master: RestartableMaster, operator: Operator, time_held: HeldClock, relay: Relay
) -> None:
    heard = Heard()
    relay.hold_answers("WatchLease")
    async with heard.client(master, time_held, addresses=(relay.address,)) as client:
        await acquired(client, time_held)
        await operator.revoke()
        asked_anew = replace(NEW[0], user="somebody")
        refused = await client.acquire(asked_anew)
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.REVOKED
        (lost,) = await heard.lost(1)
        assert (lost.want, lost.cause) == (NEW[0], LossCause.REVOKED)

        async def is_back() -> bool:
            return NEW[0].holder not in await operator.holders()

        await until(is_back)
        assert NEW[0] not in held(client)
        assert held(client) >= set(OLD)  # the others go as soon as the next renewal tells of them
        relay.let_through("WatchLease")


async def test_a_lost_answer_is_made_up_for(
    master: RestartableMaster, operator: Operator, time_held: HeldClock, relay: Relay
) -> None:
    heard = Heard()
    async with heard.client(master, time_held, addresses=(relay.address,)) as client:
        await acquired(client, time_held)
        relay.lose_answer("ReturnSeats")
        await operator.revoke()
        await heard.lost()
        await agrees(client, operator)
        assert held(client) == set(OLD)
        assert heard.changes.empty()


async def test_a_pbx_killed_before_it_could_give_back_does_not_use_them_again(
    master: RestartableMaster, operator: Operator, time_held: HeldClock, relay: Relay, tmp_path: Path
) -> None:
    heard, line = Heard(), NetworkSwitch()
    first = heard.client(master, time_held, addresses=(relay.address,), state_dir=tmp_path / "state")
    await first.start()
    await acquired(first, time_held)
    on_the_way = relay.hold_requests("ReturnSeats")
    await operator.revoke()
    await heard.lost()
    await on_the_way.wait()
    await first.crash()
    line.cut()
    async with heard.client(master, time_held, line=line, state_dir=tmp_path / "state") as second:
        await second.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert held(second) == set(OLD)
        refused = await second.acquire(NEW[0])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.OFFLINE
        assert len(await operator.holders()) == PORTS + MORE
        line.restore()
        second.look_again()
        await second.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await agrees(second, operator)
        assert held(second) == set(OLD)


async def test_a_master_killed_before_it_could_hear_hears_later(sqlite_database_url: str, tmp_path: Path) -> None:
    changes: asyncio.Queue[SeatChange] = asyncio.Queue()
    async with master_process(sqlite_database_url, clock_allowance_seconds=0) as process:
        operator = await operator_of(process.address, tmp_path, now=time.time() - 1, ports=MORE, apply=True)
        async with relay_to(process.address) as relay:
            client = SlaveClient(client_config(relay.address), on_seat=lambda want, change: changes.put_nowait(change))
            async with client:
                await client.acquire_many([*OLD, *NEW])
                on_the_way = relay.hold_requests("ReturnSeats")
                await operator.revoke()
                await on_the_way.wait()
                await process.kill()
                relay.let_through("ReturnSeats")
                client.look_again()
                await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
                assert len(held(client)) == PORTS
                await process.start()
                client.look_again()
                await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
                await agrees(client, operator)
                assert len(held(client)) == PORTS
    lost = [change for change in (changes.get_nowait() for _ in range(changes.qsize())) if isinstance(change, Lost)]
    assert len({change.want for change in lost}) == len(lost) == MORE


@pytest.mark.rule("L8")
async def test_a_type_that_the_pbx_spells_otherwise_is_found(
    master: RestartableMaster, operator: Operator, time_held: HeldClock
) -> None:
    await master.apply(estate(more={"PBX-myPBX12": PORTS + MORE}))
    heard = Heard()
    old, new = ([replace(want, license_type="PBX-Port") for want in wants] for wants in (OLD, NEW))
    beside = [Want("mypbx", HolderKind.USER, want.holder) for want in new]
    async with heard.client(master, time_held) as client:
        await client.acquire_many([*old, *beside])
        time_held.advance(1)
        assert all(outcome.granted for outcome in await client.acquire_many(new))
        await operator.revoke()
        assert {change.want for change in await heard.lost()} == set(new)
        assert held(client) == {*old, *beside}

        async def are_back() -> bool:
            return await operator.holders() == {want.holder for want in old}

        await until(are_back)


async def test_more_seats_than_one_notice_names_follow(
    master: RestartableMaster, tmp_path: Path, time_held: HeldClock
) -> None:
    many = 1100
    operator = await operator_of(master.address, tmp_path, now=master.clock(), ports=many)
    heard = Heard()
    async with heard.client(master, time_held) as client:
        await client.acquire_many(OLD)
        time_held.advance(1)
        await client.acquire_many([Want("port", HolderKind.USER, f"p{number}") for number in range(many)])
        assert len(client.held) == many + PORTS
        assert (await operator.revoke()).seats_revoked == many
        await heard.lost(many)
        assert held(client) == set(OLD)
        await agrees(client, operator)


@pytest.mark.rule("L5")
async def test_a_simulated_site_loses_them_and_carries_on(master: RestartableMaster, operator: Operator) -> None:
    site = SiteSimulator(master.config(), phones=PORTS + MORE, seed=3)
    await site.start()
    await site.register_all()
    assert site.counts.registered == PORTS + MORE
    await operator.revoke()

    await until(lambda: site.counts.lost_total == MORE)
    assert site.counts.registered == PORTS
    await agrees(site.client, operator)
    for _ in range(30):
        await site.step()
        assert site.counts.registered <= PORTS
    assert site.counts.registered == len(site.client.held)
    await site.close()
