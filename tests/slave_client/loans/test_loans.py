"""A PBX goes on with what it borrowed when its lease is over: so many seats and no more, until the loan's end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from licensemaster.v1 import lease_pb2
from slave_client import CallKind, HolderKind, NoticeKind, Reason, Refused, SlaveClient, Source, State, Want
from tests.slave_client.conftest import PORTS, RestartableMaster
from tests.slave_client.loans.lending import DAY, allow_loans, hears_of, lend, sail, take_back
from tests.slave_client.loans.ship import Ship, given_up
from tests.slave_client.phones import PHONES, connected, port
from tests.support.folders import fill, tiny_disk
from tests.support.limits import HANG_SECONDS
from tests.support.masters import wire_to
from tests.support.waiting import until

LENT = 3


async def on_disk(ship: Ship, wants: list[Want]) -> None:
    """Wait until just these seats would be found after a crash."""

    async def is_there() -> bool:
        kept = json.loads((ship.state_dir / "lease").read_bytes().partition(b"\n")[2])
        return sorted(seat[2] for seat in kept["held"]) == sorted(want.holder for want in wants)

    await until(is_there)


@pytest.fixture
async def ship(master: RestartableMaster, tmp_path: Path) -> AsyncIterator[Ship]:
    """Berlin's PBX has four ports, and has borrowed three for three days."""
    await allow_loans(master)
    ship = Ship(master, tmp_path / "ship")
    await ship.client.start()
    await connected(ship.client)
    await ship.client.acquire_many(PHONES[:4])
    await lend(master, LENT)
    await hears_of(ship.client, LENT)
    yield ship
    await ship.client.stop()


async def test_at_sea_the_borrowed_seats_go_on_until_the_end_of_the_loan(master: RestartableMaster, ship: Ship) -> None:
    await ship.cut_off()
    assert len(ship.holders) == 4, "while the lease lasts, all that it holds"
    sail(ship.time)
    assert ship.client.state is State.BORROWING
    assert (ship.holders, ship.lost) == (PHONES[:3], PHONES[3:4])
    assert ship.client.call_allowed(kind=CallKind.NEW, holder="phone-0", license_type="port")
    assert not ship.client.call_allowed(kind=CallKind.NEW, holder="phone-3")
    beyond = await ship.client.acquire(PHONES[3])
    assert isinstance(beyond, Refused)
    assert beyond.reason is Reason.OFFLINE
    assert not (await ship.client.acquire(Want("fax", HolderKind.USER, "phone-0"))).granted, "no fax is borrowed"
    await ship.client.return_seat(PHONES[1])
    other = await ship.client.acquire(port("stoker"))
    assert (other.granted, other.source) == (True, Source.LOCAL)  # type: ignore[union-attr]
    (loan,) = ship.client.report().loans
    assert (loan.license_type, loan.seats) == ("port", LENT)
    assert 0 < loan.remaining_seconds == ship.client.report().remaining_seconds < 3 * DAY
    ship.time.advance(loan.remaining_seconds - 1)
    assert len(ship.holders) == LENT
    ship.time.advance(1)
    assert not ship.client.call_allowed(kind=CallKind.NEW, holder="phone-0"), "nobody had a turn since"
    assert ship.holders == []
    await ship.reaches(State.EXPIRED)
    assert ship.client.report().loans == ()
    assert ship.client.call_allowed(kind=CallKind.EMERGENCY)
    assert ship.client.call_allowed(kind=CallKind.RUNNING)


async def test_the_end_is_never_later_than_the_masters(master: RestartableMaster, ship: Ship) -> None:
    (loan,) = ship.client.report().loans
    assert master.clock() + loan.remaining_seconds <= loan.end_time.timestamp()


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
async def test_a_restart_at_sea_goes_on_with_the_same_seats(ship: Ship, crash: bool) -> None:
    await ship.cut_off()
    sail(ship.time)
    await ship.reaches(State.BORROWING)
    await ship.client.return_seat(PHONES[2])
    await on_disk(ship, PHONES[:2])
    await ship.restart(crash=crash)
    await ship.reaches(State.BORROWING)
    assert ship.holders == PHONES[:2]
    outcomes = await ship.client.acquire_many([port("stoker"), port("cook")])
    assert [outcome.granted for outcome in outcomes] == [True, False]
    ship.time.advance(3 * DAY)
    await ship.restart(crash=crash)
    assert not (await ship.client.acquire(PHONES[0])).granted
    assert ship.holders == []


async def test_a_lease_that_ends_while_the_ship_is_switched_off_leaves_the_loan(ship: Ship) -> None:
    await ship.client.stop()
    sail(ship.time, days=1)
    ship.line.cut()
    await ship.restart()
    await ship.reaches(State.BORROWING)
    assert ship.holders == PHONES[:3]
    assert ship.client.report().remaining_seconds < 2 * DAY


async def test_a_clock_set_back_at_sea_gains_nothing(master: RestartableMaster, ship: Ship) -> None:
    await ship.cut_off()
    sail(ship.time, days=2)
    await ship.reaches(State.BORROWING)
    await ship.client.stop()
    master.clock.advance(-1_000_000)
    ship.time.restart_machine()
    await ship.restart()
    await ship.reaches(State.BORROWING)
    assert [notice.kind for notice in ship.client.notices] == [NoticeKind.CLOCK_SET_BACK]
    assert ship.client.report().remaining_seconds < DAY
    ship.time.advance(DAY)
    assert ship.client.state is State.EXPIRED


async def test_a_loan_that_is_over_by_a_clock_that_is_put_right_ends(master: RestartableMaster, ship: Ship) -> None:
    await ship.cut_off()
    sail(ship.time, days=2)
    await ship.reaches(State.BORROWING)
    await ship.client.stop()
    ship.time.advance(2 * DAY)  # while it is switched off
    master.clock.advance(-2 * DAY)
    ship.time.restart_machine()
    await ship.restart()
    await ship.reaches(State.BORROWING)
    master.clock.advance(2 * DAY)
    await asyncio.sleep(0)  # the client's tasks have begun
    ship.time.advance(60)
    await ship.reaches(State.EXPIRED)
    assert ship.holders == []


async def test_back_home_both_sides_agree_and_never_more_was_out(
    master: RestartableMaster, ship: Ship, tmp_path: Path
) -> None:
    await ship.cut_off()
    sail(ship.time)
    await ship.reaches(State.BORROWING)
    await ship.client.return_seat(PHONES[0])
    assert (await ship.client.acquire(port("stoker"))).granted
    await given_up(master)
    async with SlaveClient(master.config("rome", state_dir=tmp_path / "rome"), clock=ship.time) as rome:
        await connected(rome)
        granted = [outcome.granted for outcome in await rome.acquire_many(PHONES)]
        assert sum(granted) == PORTS - LENT
        await ship.come_home()
        assert {want.holder for want in ship.holders} == {"phone-1", "phone-2", "stoker"}
        assert await master.holders("berlin") == {"phone-1", "phone-2", "stoker"}, "what was lost finds no seat"
        assert [loan.seats for loan in ship.client.report().loans] == [LENT]


async def test_a_lease_that_an_operator_ends_leaves_the_loan(master: RestartableMaster, ship: Ship) -> None:
    request = lease_pb2.EndLeaseRequest(pbx=ship.client.config.pbx, reason="lost at sea", request_id="end-1")
    left = asyncio.create_task(ship.client.wait_for_state(State.BORROWING, timeout_seconds=HANG_SECONDS))
    await asyncio.sleep(0)
    async with wire_to(master.address) as wire:
        await wire.leases.EndLease(request)
    await left
    await connected(ship.client)
    assert set(ship.holders) >= set(PHONES[:3])
    assert ship.lost == PHONES[3:4], "it was beyond the loan until a new lease was there"


@pytest.mark.parametrize("kept", [1, 0])
async def test_what_is_taken_back_early_is_used_no_more_once_the_ship_hears(
    master: RestartableMaster, ship: Ship, tmp_path: Path, kept: int
) -> None:
    await ship.cut_off()
    sail(ship.time)
    await ship.reaches(State.BORROWING)
    await given_up(master)
    assert (await take_back(master, kept)).seats_at_risk == LENT - kept
    async with SlaveClient(master.config("rome", state_dir=tmp_path / "rome"), clock=ship.time) as rome:
        await connected(rome)
        assert sum(outcome.granted for outcome in await rome.acquire_many(PHONES)) == PORTS - kept
        await ship.come_home()
        assert len(ship.holders) == kept
        assert len(await master.holders("berlin")) == kept
        assert NoticeKind.LEARNING not in ship.noticed, "a loan that was returned is no news to the master"


@pytest.mark.parametrize("kept", [1, 0])
async def test_a_loan_that_is_returned_before_the_ship_sails_counts_as_it_is_left(
    master: RestartableMaster, ship: Ship, kept: int
) -> None:
    await take_back(master, kept)
    await hears_of(ship.client, kept)
    await ship.client.crash()  # what it heard is on disk
    sail(ship.time)
    ship.line.cut()
    await ship.restart()
    await ship.reaches(State.BORROWING if kept else State.EXPIRED)
    assert ship.holders == PHONES[:kept]


async def test_a_longer_loan_counts_at_sea(master: RestartableMaster, ship: Ship) -> None:
    await lend(master, 4, days=9)
    await hears_of(ship.client, 4)
    await ship.cut_off()
    sail(ship.time, days=4)
    assert ship.client.state is State.BORROWING
    assert (ship.holders, ship.lost) == (PHONES[:4], [])


async def test_a_full_disk_never_leaves_an_older_loan_on_it(master: RestartableMaster, tmp_path: Path) -> None:
    await allow_loans(master)
    (tmp_path / "disk").mkdir()
    with tiny_disk(tmp_path / "disk", megabytes=1) as disk:
        ship = Ship(master, disk / "ship")
        await ship.client.start()
        await connected(ship.client)
        await ship.client.acquire_many(PHONES[:4])
        await lend(master, LENT)
        await hears_of(ship.client, LENT)
        fill(disk / "ballast")
        await take_back(master, kept=1)
        await hears_of(ship.client, 1)
        # what the master says counts a moment before it is written; what is removed then makes room for a later try
        await until(lambda: NoticeKind.STATE_NOT_SAVED in ship.noticed)
        await ship.cut_off()
        sail(ship.time)
        assert ship.client.state is State.BORROWING
        assert ship.holders == PHONES[:1], "it goes on by what it remembers"
        await ship.restart(crash=True)
        granted = [outcome.granted for outcome in await ship.client.acquire_many(PHONES)]
        assert sum(granted) <= 1, "whatever could be written"
        await ship.client.stop()


async def test_another_installation_takes_the_loan_with_the_lease(
    master: RestartableMaster, ship: Ship, tmp_path: Path
) -> None:
    async with SlaveClient(master.config(state_dir=tmp_path / "other"), clock=ship.time) as other:
        await connected(other)
        await ship.reaches(State.FENCED)
        assert [loan.seats for loan in other.report().loans] == [LENT]
        assert ship.client.report().loans == ()
    sail(ship.time)
    ship.line.cut()
    await ship.restart()
    assert not (await ship.client.acquire(PHONES[0])).granted
