"""Loans: how many seats of a type a PBX has borrowed, until when, and what forbids to make or change a loan.

A loan is a claim (`claims.py`): the seats are counted for the PBX whether its lease runs or not. There is at most one
for a PBX and a pool; it is extended by borrowing again, and made smaller by returning. A loan that was returned stays,
with no seats, until its end: so a signed loan that is not known is one that a restored database has never heard of.
Pure arithmetic; time comes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from master.domain.estate.estate import Estate
from master.domain.leases.claims import Claim, ClaimKind, Claims
from master.values import Value

DAY_SECONDS = 86_400.0


class LoanProblem(Enum):
    """Why a loan is not changed; the names are those of the API's ErrorInfo."""

    LOAN_NOT_ALLOWED = "no policy of the license type allows to borrow it"
    LOAN_TOO_LONG = "the end is later than the policy of the license type allows"
    LOAN_NOT_POSSIBLE = "such seats cannot be used by their number on this PBX"
    LOAN_SHORTENED = "borrowing again extends a loan, and never makes it smaller or shorter"
    LOAN_SHORT = "too few licenses are free for the PBX"
    LOAN_UNKNOWN = "nothing is borrowed"


class LoanError(Exception):
    """A loan that cannot be made or changed as asked."""

    def __init__(self, problem: LoanProblem, why: str) -> None:
        super().__init__(why)
        self.problem = problem


class Loan(Value, kw_only=True):
    """The seats of one type that a PBX has borrowed; times are UNIX seconds."""

    license_type: str
    seats: int
    seats_held: int
    """Of these, the seats that the PBX holds under its lease."""
    serial: int
    """Milliseconds since 1970 when the loan was made or changed last; never gets smaller."""
    ends_at: float


class SignedLoan(Value):
    """A loan as the master signed it, shown by its PBX."""

    license_type: str
    seats: int
    serial: int
    ends_at: float
    """UNIX seconds."""


def loans_of(estate: Estate, claims: Claims, held: Mapping[int, int]) -> tuple[Loan, ...]:
    """List a PBX's loans from the claims in its name; `held` are the seats that it holds, by pool id."""
    types = estate.shared_pools
    return tuple(
        Loan(
            license_type=types[claim.pool_id],
            seats=claim.seats,
            seats_held=min(held.get(claim.pool_id, 0), claim.seats),
            serial=claim.serial,
            ends_at=claim.ends_at,
        )
        for claim in claims
        if claim.kind is ClaimKind.LOAN and claim.seats and claim.pool_id in types
    )


def loan_claim(claims: Claims, pool_id: int) -> Claim | None:
    """Return the claim of the loan from a pool, without seats where returned; None where nothing was borrowed."""
    loans = (claim for claim in claims if claim.kind is ClaimKind.LOAN and claim.pool_id == pool_id)
    return next(loans, None)


def with_loan(claims: Claims, pbx_id: int, pool_id: int, *, seats: int, ends_at: float, now: float) -> Claims:
    """Return the claims with a loan in place of any other of the pool, with a new serial; times are UNIX seconds."""
    before = loan_claim(claims, pool_id)
    serial = max(int(now * 1000), before.serial + 1 if before is not None else 0)
    return _replaced(claims, pbx_id, pool_id, seats=seats, ends_at=ends_at, serial=serial)


def with_shown(claims: Claims, pbx_id: int, pool_id: int, shown: SignedLoan, *, seats: int, now: float) -> Claims:
    """Return the claims with a loan that the PBX has shown; `seats` are those that there are licenses for."""
    serial = shown.serial if seats == shown.seats else max(int(now * 1000), shown.serial + 1)
    return _replaced(claims, pbx_id, pool_id, seats=seats, ends_at=shown.ends_at, serial=serial)


def is_news(claims: Claims, pool_id: int | None, shown: SignedLoan) -> bool:
    """Tell whether the database knows neither a signed loan nor a newer one in its place."""
    known = loan_claim(claims, pool_id) if pool_id is not None else None
    return known is None or shown.serial > known.serial


def _replaced(claims: Claims, pbx_id: int, pool_id: int, *, seats: int, ends_at: float, serial: int) -> Claims:
    before = loan_claim(claims, pool_id)
    loan = Claim(kind=ClaimKind.LOAN, holder_id=pbx_id, pool_id=pool_id, seats=seats, ends_at=ends_at, serial=serial)
    return (*(claim for claim in claims if claim is not before), loan)


def is_shortened(before: Claim | None, *, seats: int, ends_at: float) -> bool:
    """Tell whether a change would make a loan smaller or shorter."""
    return before is not None and bool(before.seats) and (seats < before.seats or ends_at < before.ends_at)
