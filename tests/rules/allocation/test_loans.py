"""Loans: seats borrowed for days are counted for their PBX until their end or their return, whatever its lease does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from licensemaster.signing import documents
from licensemaster.v1 import allocation_pb2, document_pb2, lease_pb2, loan_pb2, project_pb2
from master.domain.leases.claims import Claim, ClaimKind
from master.store.backends.database import Tx
from master.store.backends.opening import open_database
from master.store.statements.claims import write_claims
from tests.rpc.failures import NAME, failure
from tests.rpc.services.test_planning import everything_stored
from tests.support.databases.held import writer_held
from tests.support.databases.truth import all_events, mismatches, used
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, divided, granted, opened, refused, seats
from tests.support.pbxs.standbys import BareStandby
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project

TTL, GRACE, DAY = 60, 600, 86_400
SITES = {"ship": "slave 12 gateway", "berlin": "slave 12 gateway"}
LEND = Policy(license_type="port", loan_days_max=30)
QUEUE = allocation_pb2.QueuePolicy(length_max=5)


@pytest.fixture
async def ten(any_master: InProcess) -> InProcess:
    """A pool of ten ports, which are lent for thirty days at most."""
    estate = project({"PBX-Port12": 10}, ttl_seconds=TTL, grace_seconds=GRACE, pbxs=SITES)
    await any_master.wire.apply(estate)
    await lay_down(any_master.wire, LEND)
    return any_master


def borrowing(
    ten: InProcess, pbx: str, count: int, days: float = 30, *, request_id: str = ""
) -> loan_pb2.BorrowSeatsRequest:
    request = loan_pb2.BorrowSeatsRequest(
        pbx=f"{NAME}/pbxs/{pbx}", license_type="PBX-Port", seats=count, request_id=request_id or str(uuid4())
    )
    request.end_time.FromDatetime(datetime.fromtimestamp(ten.clock.now + days * DAY, UTC))
    return request


def returning(pbx: str, kept: int = 0, *, released: int = 0) -> loan_pb2.ReturnLoanRequest:
    return loan_pb2.ReturnLoanRequest(
        pbx=f"{NAME}/pbxs/{pbx}",
        license_type="port",
        seats_kept=kept,
        released_serial=released,
        request_id=str(uuid4()),
    )


async def _lapse(ten: InProcess) -> None:
    ten.clock.advance(TTL + GRACE + 60)
    await ten.running.expiry.run_once()


async def _free_for_hq(ten: InProcess) -> int:
    hq = await opened(ten.wire, "hq")
    count, _ = divided(await hq.acquire(*seats("port", 10)))
    await hq.close()
    return count


async def _ship(ten: InProcess) -> BarePbx:
    return await opened(ten.wire, "ship")


async def test_what_is_borrowed_stays_counted_when_the_lease_is_over(ten: InProcess, database_url: str) -> None:
    ship = await _ship(ten)
    granted(await ship.acquire(*seats("port", 2)))
    lent = await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 6))
    assert (lent.loan.license_type, lent.loan.seats, lent.loan.seats_held) == ("port", 6, 2)
    granted(await ship.acquire(*seats("port", 4, "deck")))
    assert await _free_for_hq(ten) == 4, "what it holds is part of what it borrowed"
    await _lapse(ten)
    assert await _free_for_hq(ten) == 4
    (loan,) = (await ten.wire.loans.ListLoans(loan_pb2.ListLoansRequest(project=NAME))).loans
    assert (loan.seats, loan.seats_held) == (6, 0)
    assert (await ship.open()).seats_held == 0
    granted(await ship.acquire(*seats("port", 6)))
    assert (await used(ten.wire))["port"] == 6
    assert await mismatches(database_url) == []


async def test_the_loan_is_signed_and_comes_with_every_renewal(ten: InProcess) -> None:
    ship = await _ship(ten)
    lent = await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 6))
    opening = await ship.open()
    (renewed,) = (await ship.renew()).loans
    for signed in (lent.signed, renewed, *opening.loans):
        terms = documents.verified(
            signed,
            kind=document_pb2.DOCUMENT_KIND_LOAN,
            public_key=opening.lease.public_key,
            payload=loan_pb2.LoanTerms,
        )
        assert (terms.pbx, terms.license_type, terms.seats) == (ship.name, "port", 6)
        assert terms.end_time == lent.loan.end_time


async def test_it_ends_on_its_day(ten: InProcess, database_url: str) -> None:
    ship = await _ship(ten)
    await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 6, days=2))
    await _lapse(ten)
    ten.clock.advance(2 * DAY - TTL - GRACE)
    assert await _free_for_hq(ten) == 4
    await ten.running.expiry.run_once()
    assert await _free_for_hq(ten) == 10
    assert not (await ship.open()).loans
    assert await mismatches(database_url) == []


async def test_part_of_it_is_returned_early_and_the_rest_stays(ten: InProcess, database_url: str) -> None:
    await _ship(ten)
    lent = await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 6))
    serial = documents_serial(lent.signed)
    back = await ten.wire.loans.ReturnLoan(returning("ship", 4, released=serial))
    assert (back.loan.seats, back.seats_at_risk, back.HasField("risk_end_time")) == (4, 0, False)
    assert documents_serial(back.signed) > serial
    assert await _free_for_hq(ten) == 6
    back = await ten.wire.loans.ReturnLoan(returning("ship"))
    assert (back.HasField("loan"), back.seats_at_risk) == (False, 4), "an operator's word is not the ship's"
    assert back.risk_end_time == lent.loan.end_time
    assert await _free_for_hq(ten) == 10
    unknown = await failure(ten.wire.loans.ReturnLoan(returning("ship")))
    assert unknown.reason == "LOAN_UNKNOWN"
    assert "which has borrowed none; `license-master loan list` shows what is borrowed" in unknown.message
    kinds = [json.loads(event.details)["seats"] for event in await all_events(ten.wire, "loan.returned")]
    assert sorted(kinds) == [0, 4]
    assert await mismatches(database_url) == []


def documents_serial(signed: document_pb2.SignedDocument) -> int:
    return loan_pb2.LoanTerms.FromString(signed.payload).serial


async def test_a_retry_lends_once_and_borrowing_again_extends(ten: InProcess) -> None:
    await _ship(ten)
    request = borrowing(ten, "ship", 4, days=5)
    first = await ten.wire.loans.BorrowSeats(request)
    assert await ten.wire.loans.BorrowSeats(request) == first
    more = await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 7, days=9))
    assert more.loan.seats == 7
    assert await ten.wire.loans.BorrowSeats(request) == first, "a late retry changes nothing"
    assert await _free_for_hq(ten) == 3
    for shorter in (borrowing(ten, "ship", 7, days=8), borrowing(ten, "ship", 6, days=9)):
        assert (await failure(ten.wire.loans.BorrowSeats(shorter))).reason == "LOAN_SHORTENED"


async def test_what_cannot_be_lent_is_refused_with_its_reason(ten: InProcess) -> None:
    await _ship(ten)
    hq = await opened(ten.wire, "hq")
    granted(await hq.acquire(*seats("port", 5)))
    loans = ten.wire.loans
    short = await failure(loans.BorrowSeats(borrowing(ten, "ship", 6)))
    assert short.reason == "LOAN_SHORT"
    assert "6 more port would have to be free for ship, and 5 are: have more returned, or borrow 5" in short.message
    long = await failure(loans.BorrowSeats(borrowing(ten, "ship", 5, days=31)))
    assert long.reason == "LOAN_TOO_LONG"
    assert "borrow it for fewer, or let it be lent for more with `license-master allocation loans`" in long.message
    assert (await failure(loans.BorrowSeats(borrowing(ten, "berlin", 1)))).reason == "LEASE_NOT_OPEN"
    await lay_down(ten.wire, LEND, Rule(name="keep", site="site-hq", reserve={"port": 8}))
    assert (await failure(loans.BorrowSeats(borrowing(ten, "ship", 3)))).reason == "LOAN_SHORT", "three are reserved"
    await loans.BorrowSeats(borrowing(ten, "ship", 2))
    await lay_down(ten.wire)
    assert (await failure(loans.BorrowSeats(borrowing(ten, "ship", 2)))).reason == "LOAN_NOT_ALLOWED"
    wrong = borrowing(ten, "ship", 0)
    assert list((await failure(loans.BorrowSeats(wrong))).fields) == ["seats"]


def preview_of(request: loan_pb2.BorrowSeatsRequest) -> loan_pb2.PreviewLoanRequest:
    return loan_pb2.PreviewLoanRequest(
        pbx=request.pbx,
        license_type=request.license_type,
        seats=request.seats,
        end_time=request.end_time,
        reason=request.reason,
    )


def told(preview: loan_pb2.PreviewLoanResponse) -> dict[str, tuple[tuple[int, int], ...]]:
    """By site, what it has, could get and would be dealt, each before and after."""
    return {
        outlook.site: (
            (outlook.has, outlook.has_after),
            (outlook.left_before, outlook.left_after),
            (outlook.gets_before, outlook.gets_after),
        )
        for outlook in preview.outlooks
    }


async def test_what_a_dry_run_tells_is_what_then_happens_and_nothing_is_changed_by_it(
    ten: InProcess, database_url: str
) -> None:
    ship, berlin = await opened(ten.wire, "ship"), await opened(ten.wire, "berlin")
    granted(await ship.acquire(*seats("port", 2)))
    granted(await berlin.acquire(*seats("port", 1)))
    request = borrowing(ten, "ship", 6)
    before = await everything_stored(database_url)
    async with writer_held(ten, database_url):
        preview = await ten.wire.loans.PreviewLoan(preview_of(request))
    assert await everything_stored(database_url) == before
    assert told(preview) == {
        "site-berlin": ((1, 1), (7, 3), (1, 1)),
        "site-hq": ((0, 0), (7, 3), (0, 0)),
        "site-ship": ((2, 6), (7, 3), (2, 6)),
    }
    lent = (await ten.wire.loans.BorrowSeats(request)).loan
    preview.loan.change_time.CopyFrom(lent.change_time)
    assert preview.loan == lent
    count, _ = divided(await berlin.acquire(*seats("port", 9, "more")))
    assert count == 3


@pytest.mark.rule("A3", "A5", "B5")
async def test_it_foretells_no_seats_of_the_pool_for_sites_that_get_none_of_it(master: InProcess) -> None:
    central = dict.fromkeys(("ship", "own", "new", "denied"), "slave 12 gateway")
    licenses: dict[str, int | tuple[int, str]] = {"PBX-Port12": 10, "PBX-Port 12": (2, "own-box")}
    await master.wire.apply(project(licenses, pbxs={**central, "old": "slave 7 gateway"}))
    await lay_down(master.wire, LEND, Rule(name="no", site="site-denied", deny=["port"]))
    pbxs = [await opened(master.wire, name, "13" if name == "new" else "12") for name in ("ship", "new", "denied")]
    assert told(await master.wire.loans.PreviewLoan(preview_of(borrowing(master, "ship", 4)))) == {
        "site-hq": ((0, 0), (10, 6), (0, 0)),
        "site-ship": ((0, 4), (10, 6), (0, 4)),
    }
    for pbx in pbxs[1:]:
        refused(await pbx.acquire(*seats("port", 1)))


async def test_it_tells_the_fair_shares_of_those_who_wait(ten: InProcess) -> None:
    keep = Rule(name="keep", site="site-ship", reserve={"port": 3})
    await lay_down(ten.wire, Policy(license_type="port", loan_days_max=30, queue=QUEUE), keep)
    await opened(ten.wire, "ship")
    berlin = await opened(ten.wire, "berlin")
    assert divided(await berlin.acquire(*seats("port", 9), wait=True))[0] == 7
    assert told(await ten.wire.loans.PreviewLoan(preview_of(borrowing(ten, "ship", 3)))) == {
        "site-ship": ((0, 3), (3, 0), (0, 3)),
        "site-berlin": ((7, 7), (0, 0), (9, 7)),
    }


async def test_what_would_be_refused_is_refused_with_the_same_reason(ten: InProcess) -> None:
    loans = ten.wire.loans
    await _ship(ten)
    unknown = borrowing(ten, "ship", 1)
    unknown.license_type = "prot"
    versioned = borrowing(ten, "ship", 1)
    versioned.license_type = "PBX-Port12"
    wordy = borrowing(ten, "ship", 1)
    wordy.reason = "why " * 200
    for request, reason in (
        (borrowing(ten, "berlin", 1), "LEASE_NOT_OPEN"),
        (borrowing(ten, "nowhere", 1), "UNKNOWN_PBX"),
        (borrowing(ten, "ship", 11), "LOAN_SHORT"),
        (borrowing(ten, "ship", 5, days=31), "LOAN_TOO_LONG"),
        (unknown, "LOAN_NOT_POSSIBLE"),
        (versioned, "LOAN_NOT_POSSIBLE"),
        (borrowing(ten, "ship", 0), "INVALID_ARGUMENT"),
        (borrowing(ten, "ship", 5, days=-1), "INVALID_ARGUMENT"),
        (wordy, "INVALID_ARGUMENT"),
    ):
        would = await failure(loans.PreviewLoan(preview_of(request)))
        assert would == await failure(loans.BorrowSeats(request))
        assert would.reason == reason
    assert "'prot' is no license type; use one of" in (await failure(loans.BorrowSeats(unknown))).message
    assert "write 'port'" in (await failure(loans.BorrowSeats(versioned))).message


async def test_the_end_of_a_lease_by_an_operator_leaves_the_loan(ten: InProcess) -> None:
    ship = await _ship(ten)
    await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 4))
    granted(await ship.acquire(*seats("port", 6)))
    request = lease_pb2.EndLeaseRequest(pbx=ship.name, reason="lost at sea", request_id=str(uuid4()))
    ended = await ten.wire.leases.EndLease(request)
    assert (ended.seats_returned, ended.seats_at_risk) == (6, 2), "four stay counted for the ship"
    assert await _free_for_hq(ten) == 6
    assert (await failure(ten.wire.leases.EndLease(_again(request)))).reason == "NO_LEASE_TO_END"


def _again(request: lease_pb2.EndLeaseRequest) -> lease_pb2.EndLeaseRequest:
    return lease_pb2.EndLeaseRequest(pbx=request.pbx, reason=request.reason, request_id=str(uuid4()))


PAIR = SITES | {"spare": "standby:ship 12 gateway"}
ASIDE = SITES | {"spare": "slave 12 gateway"}


def estate_with(pbxs: dict[str, str], standby_licenses: int = 10) -> project_pb2.Project:
    licenses = {"PBX-Port12": 10, "PBX-Standby12": standby_licenses}
    return project(licenses, ttl_seconds=TTL, grace_seconds=GRACE, pbxs=pbxs)


@pytest.mark.rule("F5")
async def test_a_pbx_gets_no_standby_while_it_has_a_loan(ten: InProcess) -> None:
    await ten.wire.apply(estate_with(ASIDE))
    await _ship(ten)
    lent = await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 6))
    until = (lent.loan.end_time.ToDatetime(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S")
    why = (await failure(ten.wire.apply(estate_with(PAIR)))).fields["pbxs"]
    assert f"spare cannot be the standby of ship, which has borrowed 6 port until {until}" in why
    assert "`license-master loan return ship port --reason TEXT`" in why
    await ten.wire.apply(estate_with(ASIDE, standby_licenses=20))
    await ten.wire.loans.ReturnLoan(returning("ship", released=documents_serial(lent.signed)))
    await ten.wire.apply(estate_with(PAIR))


@pytest.mark.rule("F5")
async def test_a_standby_may_be_given_once_the_loan_is_over(ten: InProcess) -> None:
    await ten.wire.apply(estate_with(ASIDE))
    await _ship(ten)
    await ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 6, days=1))
    ten.clock.advance(2 * DAY)
    await ten.wire.apply(estate_with(PAIR))


@pytest.mark.rule("F5")
async def test_nothing_is_lent_while_a_former_standby_may_carry_the_seats(ten: InProcess) -> None:
    await ten.wire.apply(estate_with(PAIR))
    ship = await _ship(ten)
    granted(await ship.acquire(*seats("port", 6)))
    spare = await _spare(ten)
    assert spare.covered == {"port": 6}
    await ten.wire.apply(estate_with(ASIDE))
    refused = await failure(ten.wire.loans.BorrowSeats(borrowing(ten, "ship", 6)))
    assert (refused.reason, "has or had a standby" in refused.message) == ("LOAN_NOT_POSSIBLE", True)


@pytest.mark.rule("F5")
async def test_a_loan_that_is_there_all_the_same_is_not_promised_to_the_standby(
    ten: InProcess, database_url: str
) -> None:
    await ten.wire.apply(estate_with(PAIR))
    ship = await _ship(ten)
    granted(await ship.acquire(*seats("port", 6)))
    await _let_it_borrow(database_url, 4, ends_at=ten.clock.now + 30 * DAY)
    spare = await _spare(ten)
    assert spare.covered == {"port": 2}
    ten.clock.advance(TTL + 1)
    await spare.renew()
    (problem,) = (await spare.refused(spare.takeover())).values()
    assert "ship has borrowed 4 port until" in problem.message
    assert "`license-master loan return ship port --reason TEXT` comes first" in problem.message
    await ten.wire.loans.ReturnLoan(returning("ship"))
    granted(await (await spare.take_over()).acquire(*seats("port", 1, "deck")))
    assert await mismatches(database_url) == []


async def _spare(ten: InProcess) -> BareStandby:
    spare = BareStandby(ten.wire, primary="ship")
    await spare.open()
    await spare.renew()
    return spare


async def _let_it_borrow(database_url: str, count: int, *, ends_at: float) -> None:
    """Enter a loan of seats that the ship holds, as no call would with a standby there."""
    database = open_database(database_url)

    def enter(tx: Tx) -> None:
        (ship,) = tx.rows("SELECT id FROM pbx WHERE name = 'ship'")[0]
        (pool,) = tx.rows("SELECT id FROM pool WHERE type = 'port'")[0]
        loan = Claim(kind=ClaimKind.LOAN, holder_id=ship, pool_id=pool, seats=count, ends_at=ends_at, serial=1)
        write_claims(tx, {ship: ()}, {ship: (loan,)})

    try:
        await database.transact(enter)
    finally:
        await database.close()
