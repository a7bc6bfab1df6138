"""The loans that a batch makes, extends and takes back; each change becomes an event of the audit.

A loan is a claim on the pool and is counted with the others (`batch_claims.py`); what may be borrowed at all is for
`domain/leases/numbered_seats.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict

from licensemaster.values.moments import second_text
from master.domain.estate.contradictions import why_unknown
from master.domain.estate.estate import Estate
from master.domain.leases.claims import in_force
from master.domain.leases.leases import Lease, running
from master.domain.leases.loans import (
    DAY_SECONDS,
    LoanError,
    LoanProblem,
    SignedLoan,
    is_news,
    is_shortened,
    loan_claim,
    with_loan,
    with_shown,
)
from master.domain.leases.numbered_seats import NumberedSeats, numbered_seats
from master.service.batch.answers import DatabaseOutdatedError, LoanBorrowed, LoanReturned
from master.service.batch.batch_events import BatchEvents
from master.service.batch.loading import LoadedBatch
from master.service.batch.requests import BorrowSeats, ReturnLoan
from master.service.batch.resolved_request import ResolvedRequest


class BatchLoans:
    def __init__(self, loaded: LoadedBatch, events: BatchEvents) -> None:
        self._working_set = loaded.working_set
        self._claims = loaded.claims
        self._events = events
        self._time = loaded.time

    def unknown(self, resolved: ResolvedRequest, shown: Sequence[SignedLoan]) -> list[SignedLoan]:
        """Return the signed loans of a PBX that are in force and that the database does not know.
        Raises DatabaseOutdatedError if a loan may have been signed after the backup that the database was restored
        from."""
        estate, claims = resolved.eligibilities.estate, self._claims.claims.get(resolved.pbx.id, ())
        news = [
            loan
            for loan in shown
            if self._time.ends_by < loan.ends_at and is_news(claims, _pool_of(estate, loan.license_type), loan)
        ]
        newest = max((loan.serial for loan in news), default=0)
        if newest > estate.epoch_floor and not estate.learns(self._time.ends_by):
            why = f"{resolved.pbx.name}: it shows a signed loan of {second_text(newest / 1000)} that is not known"
            raise DatabaseOutdatedError(
                estate.name, why, number=newest, until=self._time.now, is_news=True, learning=None
            )
        return news

    def prove(self, resolved: ResolvedRequest, loans: Sequence[SignedLoan]) -> None:
        """Count loans that a PBX has shown and the database does not know, as far as there are licenses."""
        estate, pbx_id = resolved.eligibilities.estate, resolved.pbx.id
        for loan in loans:
            pool_id, seats = _pool_of(estate, loan.license_type), 0
            if pool_id is not None:
                seats = min(loan.seats, self._claims.left_for(pbx_id, pool_id))
                claims = self._claims.claims[pbx_id]
                self._claims.put(pbx_id, with_shown(claims, pbx_id, pool_id, loan, seats=seats, now=self._time.now))
            details = asdict(loan) | {"counted": seats, "unplaced": loan.seats - seats}
            self._events.add(resolved, "loan.proven", details)

    def borrow(self, resolved: ResolvedRequest, lease: Lease | None, request: BorrowSeats) -> LoanBorrowed:
        """Lend a PBX seats for days, under its running lease.
        Raises LeaseError if the PBX has no running lease, LoanError if the PBX cannot have the seats."""
        estate, pbx, now = resolved.eligibilities.estate, resolved.pbx, self._time.now
        epoch = lease.epoch if lease is not None else 0
        lease = running(lease, pbx=str(request.pbx), epoch=epoch, time=self._time)
        source = self._source(resolved, lease, request)
        claim = loan_claim(self._claims.claims[pbx.id], source.pool_id)
        if is_shortened(claim, seats=request.seats, ends_at=request.ends_at):
            assert claim is not None
            raise LoanError(
                LoanProblem.LOAN_SHORTENED,
                f"{pbx.name} has borrowed {claim.seats} {source.license_type} until {second_text(claim.ends_at)}, and "
                "what is borrowed is only extended: return what is too many",
            )
        missing = request.seats - self._claims.counted(pbx.id, source.pool_id)
        if missing > (left := source.left(self._working_set, pbx.id)):
            raise LoanError(
                LoanProblem.LOAN_SHORT,
                f"{missing} more {source.license_type} would have to be free for {pbx.name}, and {left} are: have more"
                f" returned, or borrow {request.seats - missing + left} at most",
            )
        claims = self._claims.claims[pbx.id]
        self._claims.put(
            pbx.id, with_loan(claims, pbx.id, source.pool_id, seats=request.seats, ends_at=request.ends_at, now=now)
        )
        (loan,) = (loan for loan in self._claims.loans(estate, pbx.id) if loan.license_type == source.license_type)
        details = asdict(loan) | {"seats_before": claim.seats if claim is not None else 0}
        self._events.add(resolved, "loan.borrowed", details, reason=request.reason, request_id=request.key.request_id)
        return LoanBorrowed(loan)

    def give_back(self, resolved: ResolvedRequest, request: ReturnLoan) -> LoanReturned:
        """Return seats of a loan: they are no longer counted.
        Raises LoanError if the PBX has borrowed nothing, or no more than the seats that are to stay borrowed."""
        estate, pbx, now = resolved.eligibilities.estate, resolved.pbx, self._time.now
        claims = self._claims.claims.get(pbx.id, ())
        pool_id = _pool_of(estate, request.license_type) or 0
        claim = loan_claim(claims, pool_id)
        if claim is None or not claim.seats or claim.seats < request.seats_kept:
            borrowed = f"{claim.seats} {request.license_type}" if claim is not None and claim.seats else "none"
            raise LoanError(
                LoanProblem.LOAN_UNKNOWN,
                f"{request.seats_kept} {request.license_type} cannot stay borrowed by {pbx.name}, which has borrowed"
                f" {borrowed}; `license-master loan list` shows what is borrowed",
            )
        counted = self._claims.counted(pbx.id, pool_id)
        self._claims.put(
            pbx.id, with_loan(claims, pbx.id, pool_id, seats=request.seats_kept, ends_at=claim.ends_at, now=now)
        )
        freed = counted - self._claims.counted(pbx.id, pool_id)
        may_be_in_use = request.released_serial != claim.serial and self._time.ends_by <= claim.ends_at
        loans = (loan for loan in self._claims.loans(estate, pbx.id) if loan.license_type == request.license_type)
        answer = LoanReturned(
            next(loans, None),
            seats_at_risk=freed if may_be_in_use else 0,
            risk_ends_at=claim.ends_at if may_be_in_use and freed else None,
        )
        details = {
            "license_type": request.license_type,
            "seats": request.seats_kept,
            "seats_before": claim.seats,
            "seats_at_risk": answer.seats_at_risk,
            "risk_ends_at": answer.risk_ends_at,
        }
        self._events.add(resolved, "loan.returned", details, reason=request.reason, request_id=request.key.request_id)
        return answer

    def _source(self, resolved: ResolvedRequest, lease: Lease, request: BorrowSeats) -> NumberedSeats:
        estate, pbx, now = resolved.eligibilities.estate, resolved.pbx, self._time.now
        if request.license_type not in estate.catalog.types:
            raise LoanError(LoanProblem.LOAN_NOT_POSSIBLE, why_unknown(request.license_type, estate.catalog))
        policy = estate.allocation.by_type.get(request.license_type)
        days = policy.loan_days_max if policy is not None else 0
        if not days:
            raise LoanError(
                LoanProblem.LOAN_NOT_ALLOWED,
                f"the allocation sets no loan_days_max for {request.license_type}; `license-master allocation loans` "
                "sets it",
            )
        if request.ends_at > now + days * DAY_SECONDS:
            raise LoanError(
                LoanProblem.LOAN_TOO_LONG,
                f"{request.license_type} is lent for {days} days at most, not until {second_text(request.ends_at)}:"
                " borrow it for fewer, or let it be lent for more with `license-master allocation loans`",
            )
        if estate.learns(self._time.ends_by):
            raise LoanError(LoanProblem.LOAN_NOT_POSSIBLE, "the master learns after a restore, and lends nothing yet")
        others = (claim.holder_id for claim in in_force(self._claims.claims[pbx.id], self._time))
        if pbx.name in estate.stood_in_for or lease.carrier is not None or any(other != pbx.id for other in others):
            raise LoanError(
                LoanProblem.LOAN_NOT_POSSIBLE,
                f"{pbx.name} has or had a standby, which would carry the same seats as the loan keeps for it (F5)",
            )
        source = numbered_seats(resolved.eligibilities, pbx, lease.software, request.license_type, now)
        if isinstance(source, str):
            raise LoanError(LoanProblem.LOAN_NOT_POSSIBLE, source)
        return source


def _pool_of(estate: Estate, license_type: str) -> int | None:
    """Return the id of the pool that seats of a license type are lent from; None where no pool exists."""
    return estate.pool_ids.get((estate.master.device.id, license_type))
