"""Ships with loans that a restored master's backup does not know, or no longer has right: what each side goes by."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from licensemaster.v1 import status_pb2
from slave_client import NoticeKind, Reason, Refused, SlaveClient, State
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster, Vault
from tests.slave_client.loans.lending import allow_loans, hears_of, lend, sail, take_back
from tests.slave_client.loans.ship import Ship, given_up
from tests.slave_client.phones import PHONES, connected
from tests.support.masters import PROJECT, wire_to
from tests.support.waiting import until

LENT = 3
LEASE_SECONDS = 61


@pytest.fixture
async def ship(master: RestartableMaster, tmp_path: Path) -> AsyncIterator[Ship]:
    """Berlin's PBX; ports may be lent, and nothing is borrowed yet."""
    await allow_loans(master)
    ship = Ship(master, tmp_path / "ship")
    await ship.client.start()
    await connected(ship.client)
    yield ship
    await ship.client.stop()


async def borrow(master: RestartableMaster, ship: Ship) -> None:
    await ship.client.acquire_many(PHONES[:4])
    await lend(master, LENT)
    ship.time.advance(1)  # the lease that brings the loan ends later than the one before
    await hears_of(ship.client, LENT)


def borrowed(client: SlaveClient) -> list[int]:
    return [loan.seats for loan in client.report().loans]


async def proven(master: RestartableMaster) -> list[tuple[int, int]]:
    """Of each loan that was shown, the seats that were counted, and those that found no license."""
    async with wire_to(master.address) as wire:
        request = status_pb2.ListEventsRequest(project=f"projects/{PROJECT}", kind="loan.proven")
        events = (await wire.status.ListEvents(request)).events
    details = [json.loads(event.details) for event in events]
    return [(detail["counted"], detail["unplaced"]) for detail in details]


async def over(master: RestartableMaster, time: HeldClock) -> None:
    """Let everything end that was signed before the restore, but for loans."""
    time.advance(LEASE_SECONDS)
    await until(master.learned)


async def another_gets(master: RestartableMaster, seats: int, folder: Path, time: HeldClock) -> None:
    """Another PBX that asks for all ports has so many in the end, and never more."""
    async with SlaveClient(master.config("rome", state_dir=folder / "rome"), clock=time) as client:
        await connected(client)

        async def has_them() -> bool:
            granted = sum(outcome.granted for outcome in await client.acquire_many(PHONES))
            assert granted <= seats
            return granted == seats

        await until(has_them)


@pytest.mark.parametrize("said", [True, False], ids=["restored", "nobody says that it was"])
async def test_a_ship_that_is_there_shows_its_loan_and_keeps_it(
    master: RestartableMaster, vault: Vault, ship: Ship, tmp_path: Path, said: bool
) -> None:
    vault.back_up()
    await borrow(master, ship)
    await vault.restore(vault.made[-1], said=said)
    ship.client.look_again()

    async def has_shown() -> bool:
        return await proven(master) == [(LENT, 0)]

    await until(has_shown)
    await connected(ship.client)
    assert await master.learning()
    assert (borrowed(ship.client), ship.lost) == ([LENT], [])
    assert await master.holders("berlin") == {want.holder for want in PHONES[:4]}
    await ship.cut_off()
    await over(master, ship.time)
    await ship.reaches(State.BORROWING)
    await given_up(master)
    await another_gets(master, PORTS - LENT, tmp_path, ship.time)
    assert ship.holders == PHONES[:LENT]


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
async def test_a_ship_that_was_switched_off_meanwhile_shows_the_loan_on_its_disk(
    master: RestartableMaster, vault: Vault, ship: Ship, tmp_path: Path, crash: bool
) -> None:
    vault.back_up()
    await borrow(master, ship)
    await (ship.client.crash() if crash else ship.client.stop())
    sail(ship.time)
    await vault.restore(vault.made[-1])
    await ship.restart()
    await connected(ship.client)
    assert await proven(master) == [(LENT, 0)]
    assert borrowed(ship.client) == [LENT]
    await over(master, ship.time)
    await another_gets(master, PORTS - len(ship.holders), tmp_path, ship.time)


async def test_a_ship_that_comes_home_late_goes_by_what_is_left(
    master: RestartableMaster, vault: Vault, ship: Ship, tmp_path: Path
) -> None:
    """Others were granted what it had borrowed, as nobody knew of it."""
    vault.back_up()
    await borrow(master, ship)
    await ship.cut_off()
    await vault.restore(vault.made[-1])
    await over(master, ship.time)
    await ship.reaches(State.BORROWING)
    async with SlaveClient(master.config("rome", state_dir=tmp_path / "rome"), clock=ship.time) as rome:
        await connected(rome)
        assert all(outcome.granted for outcome in await rome.acquire_many(PHONES[:4]))
        await ship.come_home()
        assert await proven(master) == [(1, LENT - 1)]
        assert borrowed(ship.client) == [1], "a newer loan in place of the one that it had"
        assert len(ship.holders) == PORTS - 4
        more = await ship.client.acquire(PHONES[-1])
        assert isinstance(more, Refused)
        assert more.reason is Reason.POOL_EXHAUSTED
        assert len(rome.held) == 4
    await ship.restart(crash=True)
    await connected(ship.client)
    assert borrowed(ship.client) == [1]
    assert len(await proven(master)) == 1, "what it shows from now on is known"


async def test_a_loan_that_was_made_larger_since_the_backup_counts_as_it_is_by_now(
    master: RestartableMaster, vault: Vault, ship: Ship, tmp_path: Path
) -> None:
    await borrow(master, ship)
    vault.back_up()
    await lend(master, LENT + 1, days=9)
    await hears_of(ship.client, LENT + 1)
    await vault.restore(vault.made[-1])
    ship.client.look_again()

    async def has_shown() -> bool:
        return await proven(master) == [(LENT + 1, 0)]

    await until(has_shown)
    await ship.cut_off()
    await over(master, ship.time)
    await given_up(master)
    await another_gets(master, PORTS - LENT - 1, tmp_path, ship.time)
    sail(ship.time, days=4)
    assert ship.client.state is State.BORROWING, "to the later end"
    assert ship.holders == PHONES[: LENT + 1]


@pytest.mark.parametrize("kept", [1, 0])
async def test_a_loan_that_was_returned_since_the_backup(
    master: RestartableMaster, vault: Vault, ship: Ship, tmp_path: Path, kept: int
) -> None:
    """What is left is shown and counts; of what was returned whole nothing is left to show, and it is lent again."""
    await borrow(master, ship)
    vault.back_up()
    await take_back(master, kept)
    await hears_of(ship.client, kept)
    await vault.restore(vault.made[-1])
    expected, shown = kept or LENT, [(kept, 0)] if kept else []

    async def has_heard() -> bool:
        ship.client.look_again()
        return await proven(master) == shown and borrowed(ship.client) == [expected]

    await until(has_heard)
    assert NoticeKind.LOAN_NOT_TRUSTED not in ship.noticed
    await ship.cut_off()
    await over(master, ship.time)
    await ship.reaches(State.BORROWING)
    await given_up(master)
    assert ship.holders == PHONES[:expected]
    await another_gets(master, PORTS - expected, tmp_path, ship.time)


async def test_a_loan_that_was_returned_and_another_that_is_over(
    master: RestartableMaster, vault: Vault, ship: Ship, tmp_path: Path
) -> None:
    """The backup has the first of two loans, which would still run; the second, made since, is over already."""
    await borrow(master, ship)
    vault.back_up()
    await take_back(master)
    await hears_of(ship.client, 0)
    await lend(master, 1, days=0.5)
    await hears_of(ship.client, 1)
    await ship.cut_off()
    sail(ship.time, days=1)
    await vault.restore(vault.made[-1])
    ship.line.restore()
    await hears_of(ship.client, LENT)
    await over(master, ship.time)
    await another_gets(master, PORTS - LENT, tmp_path, ship.time)
