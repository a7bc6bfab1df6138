"""The signed lease: is it genuine, is it ours, and how long does it last?

Decides: whether a lease may be relied on, and how many seconds remain of a kept one after a restart. Pure: keys, bytes
and times come in as arguments. Leaves to others: keeping it on disk (`state_dir`), acting on its end (`client_state`).

How the end is measured: the signed lease lasts from issue_time to end_time by the master's clock. A running client
counts that span on its own steady clock from before the request was sent, so its end is never later than the master's,
whatever the two wall clocks read. After a restart there is only the wall clock; see `remaining_after_restart`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import DecodeError

from licensemaster.signing.signatures import has_signed
from licensemaster.v1 import lease_pb2

_NANOSECONDS = 1_000_000_000


class LeaseVerificationError(Exception):
    """Raised for a lease that must not be relied on; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLease:
    """Lease terms whose signature was verified, with the bytes that prove it. Times are seconds since 1970."""

    pbx: str
    epoch: int
    issue_time: float
    end_time: float
    duration_seconds: float
    ttl_seconds: int
    grace_seconds: int
    terms: bytes
    signature: bytes
    key_id: str
    public_key: bytes


def verify(
    signed: lease_pb2.SignedLease, *, pbx: str, public_key: bytes, trusted_keys: Collection[bytes] = ()
) -> VerifiedLease:
    """Return what a signed lease says.

    `public_key` is the key that the lease came with; where `trusted_keys` (raw Ed25519, 32 bytes each) are given it
    must be among them.

    Raises:
        LeaseVerificationError: the key is not trusted, the signature does not fit the terms, or the terms are
            unreadable, of another PBX or without a duration.
    """
    if trusted_keys and public_key not in trusted_keys:
        raise LeaseVerificationError(
            f"the lease is signed with key {signed.key_id or public_key.hex()[:16]!r}, which this PBX does not trust"
        )
    if not has_signed(public_key, signed.terms, signed.signature):
        raise LeaseVerificationError("the lease's signature does not verify")
    try:
        terms = lease_pb2.LeaseTerms.FromString(signed.terms)
        issued, ends = terms.issue_time.ToNanoseconds(), terms.end_time.ToNanoseconds()
    except (DecodeError, ValueError) as failure:
        raise LeaseVerificationError("the lease's terms are unreadable") from failure
    if terms.pbx != pbx:
        raise LeaseVerificationError(f"the lease is for {terms.pbx!r}, not for {pbx!r}")
    if ends <= issued:
        raise LeaseVerificationError("the lease ends before it begins")
    return VerifiedLease(
        pbx=terms.pbx,
        epoch=terms.epoch,
        issue_time=issued / _NANOSECONDS,
        end_time=ends / _NANOSECONDS,
        duration_seconds=(ends - issued) / _NANOSECONDS,
        ttl_seconds=terms.ttl_seconds,
        grace_seconds=terms.grace_seconds,
        terms=signed.terms,
        signature=signed.signature,
        key_id=signed.key_id,
        public_key=public_key,
    )


def proof_of(verified: VerifiedLease, in_use: Mapping[str, int]) -> lease_pb2.LeaseProof:
    """Return what proves a lease to a master: the lease as it was signed, and the seats in use by license type."""
    signed = lease_pb2.SignedLease(terms=verified.terms, signature=verified.signature, key_id=verified.key_id)
    holdings = [lease_pb2.Holding(license_type=key, seats=seats) for key, seats in sorted(in_use.items())]
    return lease_pb2.LeaseProof(signed=signed, in_use=holdings)


class WallClock(Enum):
    """Whether the wall clock can be right after a restart."""

    PLAUSIBLE = "plausible"
    SET_BACK = "set_back"
    """It reads less than when the state was saved, or when the lease was issued."""


def remaining_after_restart(
    verified: VerifiedLease, *, wall: float, saved_wall: float, saved_remaining_seconds: float
) -> tuple[float, WallClock]:
    """Return how many seconds a kept lease still lasts, and whether the wall clock can be right.

    The signed end is the limit by the wall clock. The other limit is what remained when the state was last saved,
    measured then on the steady clock: a wall clock that was set back cannot bring time back that was used up. Never
    negative, and never more than the lease's whole duration.
    """
    clock = WallClock.SET_BACK if wall < saved_wall or wall < verified.issue_time else WallClock.PLAUSIBLE
    remaining = min(verified.end_time - wall, saved_remaining_seconds, verified.duration_seconds)
    return max(remaining, 0.0), clock
