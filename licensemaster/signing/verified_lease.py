"""The signed lease, standby lease or loan: is it genuine, is it ours, and how long does it last?

Decides: whether a lease may be relied on, and how many seconds remain of a kept one after a restart. Pure: keys, bytes
and times come in as arguments. Leaves to others: keeping it on disk (`state_dir`), acting on its end (`client_state`).

How the end is measured: the signed lease lasts from issue_time to end_time by the master's clock. A running client
counts that span on its own steady clock from before the request was sent, so its end is never later than the master's,
whatever the two wall clocks read. The steady clock goes on over a restart of the program; where the machine was
restarted, there is only the wall clock; see `remaining_after_restart`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict, TypeVar

from licensemaster.signing import documents
from licensemaster.signing.documents import DocumentError
from licensemaster.v1 import document_pb2, lease_pb2, loan_pb2

_NANOSECONDS = 1_000_000_000
_Terms = TypeVar("_Terms", lease_pb2.LeaseTerms, lease_pb2.StandbyLeaseTerms, loan_pb2.LoanTerms)


class LeaseVerificationError(Exception):
    """Raised for a lease that must not be relied on; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTerms:
    """Terms whose signature was verified, with the document that proves it. Times are seconds since 1970."""

    issue_time: float
    end_time: float
    duration_seconds: float
    document: document_pb2.SignedDocument
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLease(SignedTerms):
    """The terms of a lease."""

    pbx: str
    epoch: int
    ttl_seconds: int
    blocks: tuple[tuple[str, int, frozenset[int]], ...] = ()
    """The license types, how many seats of each may be used by number, and the kinds of holders that may."""
    block_serial: int = 0
    """The serial of these blocks; 0 where there are none."""
    types_held: frozenset[str] = frozenset()
    """The keys of the license types of which seats were held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyLease:
    """A standby lease whose signature was verified."""

    verified: VerifiedLease
    """The standby lease's times and document; `verified.pbx` is the PBX that may be taken over for."""
    serial: int
    seats: Mapping[str, int]
    """The number of seats that may be carried, by license type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLoan(SignedTerms):
    """The terms of a loan."""

    license_type: str
    seats: int
    """Seats that may be used, whoever holds them."""
    serial: int
    """The loan's number: of a license type the loan with the highest serial counts."""


def verify(
    signed: document_pb2.SignedDocument, *, pbx: str, public_key: bytes, trusted_keys: Collection[bytes] = ()
) -> VerifiedLease:
    """Verify a signed lease; return its terms.

    `public_key` is the key that the lease came with; where `trusted_keys` (raw Ed25519, 32 bytes each) are given it
    must be among them.
    Raises LeaseVerificationError if the key is not trusted or did not sign exactly this as a lease, or the terms are
    unreadable, of another PBX or without a duration.
    """
    if trusted_keys and public_key not in trusted_keys:
        raise LeaseVerificationError(
            f"the lease is signed with key {signed.key_id or public_key.hex()[:16]!r}, which this PBX does not trust"
        )
    kind = document_pb2.DOCUMENT_KIND_LEASE
    _, terms = _genuine(signed, kind, lease_pb2.LeaseTerms, keys=(public_key,), what="the lease")
    if terms.pbx != pbx:
        raise LeaseVerificationError(f"the lease is for {terms.pbx!r}, not for {pbx!r}")
    return VerifiedLease(
        pbx=pbx,
        epoch=terms.epoch,
        ttl_seconds=terms.ttl_seconds,
        blocks=tuple((block.license_type, block.seats, frozenset(block.holder_kinds)) for block in terms.blocks),
        block_serial=terms.block_serial,
        types_held=frozenset(holding.license_type for holding in terms.holdings),
        **_times(terms, "the lease"),
        document=signed,
        public_key=public_key,
    )


def verify_standby_lease(
    signed: document_pb2.SignedDocument, *, standby: str, primary: str, trusted_keys: Collection[bytes]
) -> StandbyLease:
    """Verify a signed standby lease; return its terms and seats.
    Raises LeaseVerificationError if none of the keys signed exactly this as a standby lease, or it is unreadable, for
    another pair or without a duration."""
    kind, what = document_pb2.DOCUMENT_KIND_STANDBY_LEASE, "the standby lease"
    key, terms = _genuine(signed, kind, lease_pb2.StandbyLeaseTerms, keys=trusted_keys, what=what)
    if (terms.standby, terms.primary) != (standby, primary):
        raise LeaseVerificationError(f"the standby lease is for {terms.standby!r} in place of {terms.primary!r}")
    return StandbyLease(
        verified=VerifiedLease(
            pbx=primary,
            epoch=terms.primary_epoch,
            ttl_seconds=terms.ttl_seconds,
            **_times(terms, what),
            document=signed,
            public_key=key,
        ),
        serial=terms.serial,
        seats={holding.license_type: holding.seats for holding in terms.holdings},
    )


def verify_loan(signed: document_pb2.SignedDocument, *, pbx: str, trusted_keys: Collection[bytes]) -> VerifiedLoan:
    """Verify a signed loan; return its terms.
    Raises LeaseVerificationError if none of the keys signed exactly this as a loan, or it is unreadable, of another PBX
    or without a duration."""
    kind, what = document_pb2.DOCUMENT_KIND_LOAN, "the loan"
    key, terms = _genuine(signed, kind, loan_pb2.LoanTerms, keys=trusted_keys, what=what)
    if terms.pbx != pbx:
        raise LeaseVerificationError(f"the loan is for {terms.pbx!r}, not for {pbx!r}")
    return VerifiedLoan(
        license_type=terms.license_type,
        seats=terms.seats,
        serial=terms.serial,
        **_times(terms, what),
        document=signed,
        public_key=key,
    )


def _genuine(
    signed: document_pb2.SignedDocument,
    kind: documents.Kind,
    terms: type[_Terms],
    *,
    keys: Collection[bytes],
    what: str,
) -> tuple[bytes, _Terms]:
    """Return the key, of those given, that signed a document, and the document's payload."""
    why: DocumentError | None = None
    for key in keys:
        try:
            return key, documents.verified(signed, kind=kind, public_key=key, payload=terms)
        except DocumentError as failure:
            why = failure
    raise LeaseVerificationError(f"{what} does not verify: {why or 'this PBX trusts no key yet'}") from why


class _Times(TypedDict):
    issue_time: float
    end_time: float
    duration_seconds: float


def _times(terms: lease_pb2.LeaseTerms | lease_pb2.StandbyLeaseTerms | loan_pb2.LoanTerms, what: str) -> _Times:
    try:
        issued, ends = terms.issue_time.ToNanoseconds(), terms.end_time.ToNanoseconds()
    except ValueError as failure:
        raise LeaseVerificationError(f"{what} has times that are none") from failure
    if ends <= issued:
        raise LeaseVerificationError(f"{what} ends before it begins")
    duration = (ends - issued) / _NANOSECONDS
    return _Times(issue_time=issued / _NANOSECONDS, end_time=ends / _NANOSECONDS, duration_seconds=duration)


def proof_of(verified: VerifiedLease, in_use: Mapping[str, int]) -> lease_pb2.LeaseProof:
    """Return the proof of a lease for a master: the signed lease, and the seats in use by license type."""
    holdings = [lease_pb2.Holding(license_type=key, seats=seats) for key, seats in sorted(in_use.items())]
    return lease_pb2.LeaseProof(signed=verified.document, in_use=holdings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """What a machine's clocks show at one moment."""

    wall: float
    """Seconds since 1970 by the wall clock, which may be wrong or be set."""
    steady: float
    """Seconds by the steady clock, which counts from the machine's start."""
    boot: str
    """The start of the machine that the steady clock counts from; empty where it is not known."""

    def is_later_on_the_steady_clock_of(self, earlier: ClockReading) -> bool:
        """Tell whether the steady clock measured the time since an earlier reading."""
        return bool(self.boot) and self.boot == earlier.boot and self.steady >= earlier.steady


class WallClock(Enum):
    """Whether the wall clock can be right after a restart."""

    NOT_ASKED = "not_asked"
    """The steady clock went on over the restart; what the wall clock reads does not matter."""
    PLAUSIBLE = "plausible"
    SET_BACK = "set_back"
    """The wall clock reads less than when the state was saved, or when the lease was issued."""


def remaining_after_restart(
    signed: SignedTerms, *, saved: ClockReading, saved_remaining_seconds: float, now: ClockReading
) -> tuple[float, WallClock]:
    """Return how many seconds a kept lease or loan still lasts, and whether the wall clock can be right.

    `saved_remaining_seconds` is what remained when the state was last saved, at `saved`. Less than that remains, by the
    time that has passed since: by the steady clock where the machine was not restarted, whatever the wall clock reads;
    else by the wall clock, which also must not pass the signed end. So a wall clock that was set back brings no time
    back that was used up before the state was saved; how long a machine was off, it alone can say. Never negative, and
    never more than the whole duration that was signed.
    """
    if now.is_later_on_the_steady_clock_of(saved):
        clock, remaining = WallClock.NOT_ASKED, saved_remaining_seconds - (now.steady - saved.steady)
    else:
        clock = WallClock.SET_BACK if now.wall < max(saved.wall, signed.issue_time) else WallClock.PLAUSIBLE
        passed = max(now.wall - saved.wall, 0.0)
        remaining = min(signed.end_time - now.wall, saved_remaining_seconds - passed)
    return max(min(remaining, signed.duration_seconds), 0.0), clock
