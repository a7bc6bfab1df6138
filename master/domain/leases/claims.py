"""Claims that outlive a lease: seats that may still be in use in a PBX's name by somebody who cannot be asked.

A PBX's seats are counted while its lease runs. When a standby takes that lease over, or holds a signed standby lease,
somebody else may use them too: the one who was fenced and has not heard of it, or the standby while no master answers.
Each such use is a claim on a pool, until its signed end. What is counted of a pool for a PBX is the seats it holds
or its highest claim, whichever is more: returning a seat below a claim frees nothing, acquiring one needs no license.

A claim is never more than what is counted already, so making one never overdraws a pool. Pure arithmetic over the
claims of one PBX; `domain/seats/seat_working_set.py` counts, the caller says when somebody has heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from master.domain.estate.lease_time import LeaseTime


class ClaimKind(Enum):
    """Why seats may still be in use."""

    FENCED = "fenced"
    """The lease was taken from `holder_id`, which may not have heard of it; `serial` is the epoch that it had."""
    STANDBY = "standby"
    """`holder_id` has the standby lease `serial`."""
    OFFERED = "offered"
    """`holder_id` was sent standby leases up to `serial`, and has not said which of them it has."""
    PROVEN = "proven"
    """The PBX showed a signed lease after the database was restored; `serial` is the epoch that it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Seats of one pool that may be in use in a PBX's name."""

    kind: ClaimKind
    holder_id: int
    """The PBX that may use them: the one in whose name they are, or a standby of it."""
    pool_id: int
    seats: int
    ends_at: float
    """The signed end, UNIX seconds."""
    serial: int


Claims = tuple[Claim, ...]


def floors(claims: Claims) -> dict[int, int]:
    """Return how many seats of each pool count at least, by pool id: the highest of the claims in one PBX's name."""
    floor_of: dict[int, int] = {}
    for claim in claims:
        floor_of[claim.pool_id] = max(floor_of.get(claim.pool_id, 0), claim.seats)
    return floor_of


def raised(
    claims: Claims, kind: ClaimKind, holder_id: int, *, seats: Mapping[int, int], ends_at: float, serial: int
) -> Claims:
    """With one claim more. Where the holder has one of that kind, nobody knows which it goes by: of each pool the
    higher number counts, until the later end.
    """
    before = _of(claims, kind, holder_id)
    highest = {claim.pool_id: claim.seats for claim in before}
    for pool_id, count in seats.items():
        highest[pool_id] = max(highest.get(pool_id, 0), count)
    end = max((ends_at, *(claim.ends_at for claim in before)))
    made = tuple(
        Claim(kind=kind, holder_id=holder_id, pool_id=pool_id, seats=count, ends_at=end, serial=serial)
        for pool_id, count in sorted(highest.items())
        if count
    )
    return (*_but(claims, before), *made)


def acknowledged(claims: Claims, holder_id: int) -> Claims:
    """The holder has the last standby lease that it was offered, in place of all older ones."""
    offered = _of(claims, ClaimKind.OFFERED, holder_id)
    rest = _but(claims, (*offered, *_of(claims, ClaimKind.STANDBY, holder_id)))
    return (*rest, *(replace(claim, kind=ClaimKind.STANDBY) for claim in offered))


def discarded(claims: Claims, holder_id: int) -> Claims:
    """Return the claims without those by a holder's standby leases, which it has discarded."""
    return tuple(claim for claim in claims if claim.kind is ClaimKind.FENCED or claim.holder_id != holder_id)


def released(claims: Claims, holder_id: int, *, epoch: int) -> Claims:
    """Return the claims without those by epochs of a holder up to this one, under which it uses nothing more."""
    return tuple(
        claim
        for claim in claims
        if claim.kind is not ClaimKind.FENCED or claim.holder_id != holder_id or claim.serial > epoch
    )


def in_force(claims: Claims, time: LeaseTime) -> Claims:
    """Without those that are past their end; it is waited a little for clocks that run behind, as with leases."""
    return tuple(claim for claim in claims if time.reclaimed_by <= claim.ends_at)


def _of(claims: Claims, kind: ClaimKind, holder_id: int) -> Claims:
    return tuple(claim for claim in claims if claim.kind is kind and claim.holder_id == holder_id)


def _but(claims: Claims, gone: Iterable[Claim]) -> Claims:
    left = set(gone)
    return tuple(claim for claim in claims if claim not in left)
