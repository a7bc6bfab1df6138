"""Seats that are asked for before there is a lease: they come with it, once, and none is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slave_client import Granted, HolderKind, NoticeKind, Reason, Refused, SeatChange, SlaveClient, State, Want
from tests.slave_client.conftest import PORTS, RestartableMaster, client_config
from tests.support.limits import HANG_SECONDS
from tests.support.network.relay import Relay
from tests.support.waiting import until

WANTS = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(2)]
METHODS = ("OpenLease", "AcquireSeats", "ReturnSeats", "SyncSeats")


def _calls(relay: Relay) -> list[int]:
    return [relay.answered[method] for method in METHODS]


async def test_whoever_asks_at_the_start_is_answered_with_the_opening(master: RestartableMaster, relay: Relay) -> None:
    received: list[tuple[Want, SeatChange]] = []
    async with SlaveClient(
        client_config(relay.address), on_seat=lambda want, change: received.append((want, change))
    ) as client:
        outcomes = await client.acquire_many(WANTS)
        assert [isinstance(outcome, Granted) and outcome.already_held for outcome in outcomes] == [False, False]
        assert _calls(relay) == [1, 0, 0, 0]
        assert [want for want, _ in received] == WANTS
        assert await master.holders("berlin") == {want.holder for want in WANTS}
        assert client.notices == ()
        await client.return_seats(WANTS)
    assert await master.holders("berlin") == set()


async def test_many_callers_at_once_are_answered_with_the_opening(relay: Relay) -> None:
    wants = [*WANTS, *(Want("port", HolderKind.USER, f"more-{number}") for number in range(PORTS))]
    async with SlaveClient(client_config(relay.address)) as client:
        outcomes = await asyncio.gather(*(client.acquire(want) for want in wants))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert [outcome.reason for outcome in refused] == [Reason.POOL_EXHAUSTED] * len(WANTS)
    assert _calls(relay) == [1, 0, 0, 0]


async def test_an_opening_whose_answer_is_lost_grants_once(master: RestartableMaster, relay: Relay) -> None:
    relay.lose_answer("OpenLease")
    config = client_config(relay.address, addresses=(relay.address, master.address))
    async with SlaveClient(config) as client:
        outcomes = await client.acquire_many(WANTS)
        assert [isinstance(outcome, Granted) and outcome.already_held for outcome in outcomes] == [False, False]
        assert await master.holders("berlin") == {want.holder for want in WANTS}
        assert {held.want for held in client.held} == set(WANTS)
        assert client.notices == ()
    assert _calls(relay) == [1, 0, 0, 0]


async def test_what_nobody_waits_for_any_more_is_given_back(master: RestartableMaster, relay: Relay) -> None:
    for give_up in ("before the answer", "with an attempt whose answer is lost"):
        waiting = relay.hold_answers("OpenLease")
        if give_up.startswith("with"):
            relay.lose_answer("OpenLease")
        async with SlaveClient(client_config(relay.address)) as client:
            asking = asyncio.create_task(client.acquire_many(WANTS))
            await waiting.wait()
            assert await master.holders("berlin") == {want.holder for want in WANTS}
            asking.cancel()
            relay.let_through("OpenLease")
            await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)

            async def none_left() -> bool:
                return await master.holders("berlin") == set()

            await until(none_left)
            assert client.held == ()


async def test_seats_from_before_are_left_to_whoever_knows_of_them(master: RestartableMaster) -> None:
    before, now = WANTS
    async with SlaveClient(client_config(master.address)) as client:
        await client.acquire(before)
    async with SlaveClient(client_config(master.address)) as client:  # it has no folder, and knows of nothing
        assert isinstance(await client.acquire(now), Granted)
        assert await master.holders("berlin") == {before.holder, now.holder}
        assert [notice.kind for notice in client.notices] == [NoticeKind.SEATS_FROM_BEFORE]
        await client.sync([now])
        assert await master.holders("berlin") == {now.holder}


@pytest.mark.parametrize("when", ["before there is a lease", "while no master answers"])
async def test_a_set_that_no_master_could_be_asked_for_takes_back_what_is_not_in_it(
    master: RestartableMaster, when: str
) -> None:
    async with SlaveClient(client_config(master.address)) as client:
        await client.acquire_many(WANTS)
    if when.startswith("before"):
        await master.stop()
    async with SlaveClient(client_config(master.address)) as client:  # it knows of nothing
        if when.startswith("while"):
            await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            await master.stop()
            await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert (await client.sync([])).outcomes == ()
        await master.start()

        async def none_left() -> bool:
            return await master.holders("berlin") == set()

        await until(none_left)
        assert client.notices == ()


async def test_what_is_remembered_and_what_is_new_come_together(master: RestartableMaster, tmp_path: Path) -> None:
    before, now = WANTS
    config = client_config(master.address, state_dir=tmp_path / "state")
    async with SlaveClient(config) as client:
        await client.acquire(before)
    async with SlaveClient(config) as client:
        outcomes = await client.acquire_many([before, now])
        assert [isinstance(outcome, Granted) and outcome.already_held for outcome in outcomes] == [True, False]
        assert await master.holders("berlin") == {before.holder, now.holder}
        assert {held.want for held in client.held} == {before, now}
