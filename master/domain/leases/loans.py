"""Loans: how many seats of a type a PBX has borrowed, until when, and what stands in the way of more.

A loan is a claim (`claims.py`): the seats are counted for the PBX whether its lease runs or not. There is one for a PBX
and a pool at most; it is extended by borrowing again, and made smaller by returning. One that was returned stays, with
no seats, until its end: so a signed loan that is not known is one that a restored database has never heard of. Pure
arithmetic; time comes in.
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
    """A loan cannot be made or changed as asked."""

    def __init__(self, problem: LoanProblem, why: str) -> None:
        super().__init__(why)
        self.problem = problem


class Loan(Value, kw_only=True):
    """What a PBX has borrowed of one type; times are UNIX seconds."""

    license_type: str
    seats: int
    seats_held: int
    """Of these, seats that it holds under its lease."""
    serial: int
    """Milliseconds since 1970 when it was borrowed or changed last: it only grows."""
    ends_at: float


class SignedLoan(Value):
    """A loan as it was signed, which its PBX shows."""

    license_type: str
    seats: int
    serial: int
    ends_at: float
    """UNIX seconds."""


def loans_of(estate: Estate, claims: Claims, held: Mapping[int, int]) -> tuple[Loan, ...]:
    """What the claims in a PBX's name say that it has borrowed; `held` gives its seats by pool id."""
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
    """The claim that a loan of a pool is, without seats where it was returned; None where nothing was borrowed."""
    loans = (claim for claim in claims if claim.kind is ClaimKind.LOAN and claim.pool_id == pool_id)
    return next(loans, None)


def with_loan(claims: Claims, pbx_id: int, pool_id: int, *, seats: int, ends_at: float, now: float) -> Claims:
    """The claims with a loan in place of any other of that pool, under a new serial."""
    before = loan_claim(claims, pool_id)
    serial = max(int(now * 1000), before.serial + 1 if before is not None else 0)
    return _replaced(claims, pbx_id, pool_id, seats=seats, ends_at=ends_at, serial=serial)


def with_shown(claims: Claims, pbx_id: int, pool_id: int, shown: SignedLoan, *, seats: int, now: float) -> Claims:
    """The claims with a loan that its PBX has shown; `seats` are those that there are licenses for."""
    serial = shown.serial if seats == shown.seats else max(int(now * 1000), shown.serial + 1)
    return _replaced(claims, pbx_id, pool_id, seats=seats, ends_at=shown.ends_at, serial=serial)


def is_news(claims: Claims, pool_id: int | None, shown: SignedLoan) -> bool:
    """Whether the database does not know a signed loan, nor a newer one in its place."""
    known = loan_claim(claims, pool_id) if pool_id is not None else None
    return known is None or shown.serial > known.serial


def _replaced(claims: Claims, pbx_id: int, pool_id: int, *, seats: int, ends_at: float, serial: int) -> Claims:
    before = loan_claim(claims, pool_id)
    loan = Claim(kind=ClaimKind.LOAN, holder_id=pbx_id, pool_id=pool_id, seats=seats, ends_at=ends_at, serial=serial)
    return (*(claim for claim in claims if claim is not before), loan)


def is_shortened(before: Claim | None, *, seats: int, ends_at: float) -> bool:
    """Whether a loan would become smaller or shorter."""
    return before is not None and bool(before.seats) and (seats < before.seats or ends_at < before.ends_at)
