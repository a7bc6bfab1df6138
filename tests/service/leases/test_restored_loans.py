"""Loans when a database is restored: those that the backup knows stay, and others are shown by their PBXs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import grpc
import pytest

from licensemaster.v1 import document_pb2, lease_pb2, loan_pb2
from tests.rpc.failures import failure
from tests.rules.asking import status
from tests.service.leases.restored import GRACE, LEARNING, TTL, Site, pool_of_100, restored, right, serving
from tests.service.leases.test_learning_proofs import foreign, masked
from tests.support.databases.restoring import BackUp
from tests.support.databases.truth import all_events
from tests.support.masters import Clock, InProcess
from tests.support.pbxs.pbx import divided, granted, seats
from tests.support.projects.allocations import Policy, lay_down

DAY = 86_400
Signed = document_pb2.SignedDocument


async def pool_to_lend(master: InProcess) -> None:
    """Install 100 ports, which may be lent for thirty days at most."""
    await pool_of_100(master)
    await lay_down(master.wire, Policy(license_type="port", loan_days_max=30))


async def borrow(master: InProcess, site: Site, ports: int, days: float = 20) -> Signed:
    """Borrow seats for a site; the signed loan."""
    request = loan_pb2.BorrowSeatsRequest(pbx=site.name, license_type="port", seats=ports, request_id=str(uuid4()))
    request.end_time.FromDatetime(datetime.fromtimestamp(master.clock.now + days * DAY, UTC))
    return (await master.wire.loans.BorrowSeats(request)).signed


async def give_back(master: InProcess, site: Site, kept: int = 0) -> None:
    """Have an operator return a loan."""
    await master.wire.loans.ReturnLoan(
        loan_pb2.ReturnLoanRequest(pbx=site.name, license_type="port", seats_kept=kept, request_id=str(uuid4()))
    )


async def show(
    master: InProcess, site: Site, loans: Sequence[Signed], *, proves: bool = True
) -> lease_pb2.OpenLeaseResponse:
    """Open a site's lease anew, and show the loans that it has."""
    site.wire = master.wire
    response = await site.wire.leases.OpenLease(
        lease_pb2.OpenLeaseRequest(
            pbx=site.name,
            instance_id=site.instance_id,
            request_id=str(uuid4()),
            software_version="12",
            proof=site.proof() if proves else None,
            loans=loans,
        )
    )
    site.epoch, site.signed = response.lease.epoch, response.lease.signed
    return response


async def counted(master: InProcess) -> int:
    """Seats in use or borrowed."""
    (pool,) = (await status(master.wire)).pools
    return pool.used + pool.borrowed + pool.promised


def terms_of(loans: Sequence[Signed]) -> list[tuple[int, int]]:
    """Seats and serial of each signed loan."""
    terms = [loan_pb2.LoanTerms.FromString(loan.payload) for loan in loans]
    return [(loan.seats, loan.serial) for loan in terms]


async def learned(master: InProcess) -> None:
    """Wait until learning is over."""
    master.clock.advance(TTL + GRACE + 60)
    await master.running.learnings.end_what_is_over()
    await master.running.expiry.run_once()
    assert not (await status(master.wire)).HasField("learning")


async def test_a_loan_that_the_backup_does_not_know_is_shown_and_counted(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with serving(database_url, clock) as master:
        await pool_to_lend(master)
    backup = await back_up(database_url)
    async with serving(database_url, clock) as master:
        ship, bonn = await Site(master, "berlin").start(10), await Site(master, "bonn").start(30)
        loan = await borrow(master, ship, 40)
        ship.signed = (await ship.renew()).lease.signed
    async with restored(backup, clock) as master:
        response = await show(master, ship, [loan])
        assert terms_of(response.loans) == terms_of([loan])
        await bonn.return_to(master)
        assert await counted(master) == 40 + 30
        (event,) = await all_events(master.wire, "loan.proven")
        details = json.loads(event.details)
        assert (details["seats"], details["counted"], details["unplaced"]) == (40, 40, 0)
        await show(master, ship, [loan], proves=False)
        assert len(await all_events(master.wire, "loan.proven")) == 1, "what is known is not told again"
        await right(backup)
        await learned(master)
        assert await counted(master) == 40, "the loan outlives learning and leases"
        count, _ = divided(await (await Site(master, "ulm").start(0)).acquire(*seats("port", 100)))
        assert count == 60
        await right(backup)


async def test_a_ship_that_returns_late_makes_the_master_learn(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    """Nobody said that the database was restored, and the ship is the first to know more."""
    async with serving(database_url, clock) as master:
        await pool_to_lend(master)
        ship = await Site(master, "berlin").start(0)
    backup = await back_up(database_url)
    async with serving(database_url, clock) as master:
        ship.wire = master.wire
        loan = await borrow(master, ship, 40)
    clock.advance(TTL + GRACE + 60)
    async with restored(backup, clock, said=False) as master:
        bonn = await Site(master, "bonn").start(80)
        assert terms_of((await show(master, ship, [loan])).loans) == terms_of([loan])
        learning = (await status(master.wire)).learning
        assert "berlin: it shows a signed loan" in learning.why
        await bonn.return_to(master)
        assert await counted(master) == 100
        assert (await status(master.wire)).learning.seats_unplaced == 20
        await right(backup)


async def test_what_others_have_by_then_is_not_lent_twice(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with serving(database_url, clock) as master:
        await pool_to_lend(master)
    backup = await back_up(database_url)
    async with serving(database_url, clock) as master:
        ship = await Site(master, "berlin").start(0)
        loan = await borrow(master, ship, 40)
    async with restored(backup, clock) as master:
        await learned(master)
        await Site(master, "bonn").start(80)
        response = await show(master, ship, [loan], proves=False)
        ((seats_left, serial),) = terms_of(response.loans)
        assert (seats_left, serial > terms_of([loan])[0][1]) == (20, True), "a newer loan in place of what it has"
        assert await counted(master) == 100
        assert json.loads((await all_events(master.wire, "loan.proven"))[0].details)["unplaced"] == 20
        assert not (await status(master.wire)).HasField("learning"), "it was signed before the restore"
        await right(backup)


async def test_a_loan_that_the_backup_knows_stays_counted(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with serving(database_url, clock) as master:
        await pool_to_lend(master)
        ship, bonn = await Site(master, "berlin").start(10), await Site(master, "bonn").start(60)
        await borrow(master, ship, 40)
        ship.signed = (await ship.renew()).lease.signed
    backup = await back_up(database_url)
    async with restored(backup, clock) as master:
        assert await counted(master) == 40
        await bonn.return_to(master)
        await ship.return_to(master)
        assert (await status(master.wire)).learning.seats_unplaced == 0
        granted((await ship.sync(*seats("port", 10))).results)
        assert divided((await ship.sync(*seats("port", 41))).results)[1][0].reason == LEARNING
        await right(backup)
        await learned(master)
        assert await counted(master) == 40
        await right(backup)


async def test_what_was_returned_is_not_shown_anew(database_url: str, clock: Clock) -> None:
    """An operator returned a loan for a ship that is away; its old signed loan is no news."""
    async with serving(database_url, clock) as master:
        await pool_to_lend(master)
        ship = await Site(master, "berlin").start(0)
        loan = await borrow(master, ship, 40)
        await give_back(master, ship)
        assert not (await show(master, ship, [loan])).loans
        assert await counted(master) == 0
        assert await all_events(master.wire, "loan.proven") == []
        assert not (await status(master.wire)).HasField("learning")
        again = await borrow(master, ship, 5, days=1)
        assert terms_of((await show(master, ship, [loan])).loans) == terms_of([again])
        await right(database_url)


async def test_only_genuine_loans_count(database_url: str, clock: Clock) -> None:
    async with serving(database_url, clock) as master:
        await pool_to_lend(master)
        ship, bonn = await Site(master, "berlin").start(0), await Site(master, "bonn").start(0)
        loan = await borrow(master, ship, 40)
        terms = loan_pb2.LoanTerms.FromString(loan.payload)
        terms.seats = 90
        altered = Signed(
            kind=loan.kind, key_id=loan.key_id, payload=terms.SerializeToString(), signature=loan.signature
        )
        for site, bad in ((ship, altered), (ship, masked(loan)), (bonn, loan), (ship, ship.signed or Signed())):
            failed = await failure(show(master, site, [bad]))
            assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
            assert "loans[0]" in failed.message
        with pytest.raises(grpc.aio.AioRpcError, match="100 at most"):
            await show(master, ship, [loan] * 101)
        await show(master, ship, [foreign(loan)])  # another master's, which proves nothing here
        assert await counted(master) == 40


async def test_a_loan_that_is_over_changes_nothing(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with serving(database_url, clock) as master:
        await pool_to_lend(master)
    backup = await back_up(database_url)
    async with serving(database_url, clock) as master:
        ship = await Site(master, "berlin").start(0)
        loan = await borrow(master, ship, 40, days=1)
    clock.advance(2 * DAY)
    async with restored(backup, clock) as master:
        assert not (await show(master, ship, [loan])).loans
        assert await all_events(master.wire, "loan.proven") == []
