"""Claims that outlive a lease: seats that may still be in use in a PBX's name by a PBX that cannot be asked.

A PBX's seats are counted while its lease runs. When a standby takes that lease over, or holds a signed standby lease,
another PBX may use them too: the one that was fenced and has not heard of it, or the standby while no master answers.
Each such use is a claim on a pool, until its signed end. What is counted of a pool for a PBX is the seats it holds or
its highest claim, whichever is more: returning a seat below a claim frees nothing, acquiring one needs no license.

A claim of those kinds is never more than what is counted already, so making one never overdraws a pool. Three more
kinds keep seats for a PBX on purpose, as the operator's policies say: the first claim of a PBX whose lease ran out,
seats that it borrowed, and the block that it may use without asking. Pure arithmetic over the claims of one PBX;
`domain/seats/seat_working_set.py` counts, the caller says when a PBX has heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from master.domain.estate.lease_time import LeaseTime
from master.values import Value, replace


class ClaimKind(Enum):
    """Why seats are claimed."""

    FENCED = "fenced"
    """The lease was taken from `holder_id`, which may not have heard of it; `serial` is the epoch that it had."""
    STANDBY = "standby"
    """`holder_id` has the standby lease `serial`."""
    OFFERED = "offered"
    """`holder_id` was sent standby leases up to `serial`, and has not said which of these it has."""
    PROVEN = "proven"
    """The PBX showed a signed lease after the database was restored; `serial` is the epoch that it shows."""
    LOAN = "loan"
    """The PBX borrowed the seats, whether its lease runs or not; `serial` is that of the signed loan."""
    FIRST_CLAIM = "first_claim"
    """The PBX held the seats when its lease ran out, and gets them first; nobody uses them. `serial` is the epoch."""
    BLOCK = "block"
    """The PBX may use this many seats in all without asking, those that it holds included; `serial` is the block's."""


class Claim(Value, kw_only=True):
    """Seats of one pool that may be in use in a PBX's name."""

    kind: ClaimKind
    holder_id: int
    """The PBX that may use the seats: the PBX in whose name they are claimed, or a standby of it."""
    pool_id: int
    seats: int
    ends_at: float
    """The signed end, UNIX seconds."""
    serial: int


Claims = tuple[Claim, ...]


def floors(claims: Claims) -> dict[int, int]:
    """Return how many seats are counted at least, by pool id: the highest of the claims in one PBX's name."""
    floor_of: dict[int, int] = {}
    for claim in claims:
        floor_of[claim.pool_id] = max(floor_of.get(claim.pool_id, 0), claim.seats)
    return floor_of


def kept_by_kind(claims: Iterable[Claim], *, seats: int) -> dict[ClaimKind, int]:
    """Split the seats of one pool that are counted for one PBX, but that it does not hold, among the kinds of its
    claims.

    The numbers add up to those seats; kinds that come to nothing are left out. Claims are not added up but cover each
    other, so each kind is given what goes beyond the kinds before it, in the order of the enum: what may be in use
    comes first, what merely lies idle last.

    `claims` are those on that pool in the PBX's name, `seats` is what it holds of the pool.
    """
    highest: dict[ClaimKind, int] = {}
    for claim in claims:
        highest[claim.kind] = max(highest.get(claim.kind, 0), claim.seats)
    kept: dict[ClaimKind, int] = {}
    level = seats
    for kind in ClaimKind:
        if (beyond := highest.get(kind, 0) - level) > 0:
            kept[kind] = beyond
            level += beyond
    return kept


def raised(
    claims: Claims, kind: ClaimKind, holder_id: int, *, seats: Mapping[int, int], ends_at: float, serial: int
) -> Claims:
    """Return the claims with a new one of a holder. Where the holder has claims of that kind already, nobody knows by
    which it goes: of each pool the higher number of seats counts, until the later end (UNIX seconds)."""
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


def first_claims(claims: Claims, holder_id: int, *, seats: Mapping[int, tuple[int, float]], epoch: int) -> Claims:
    """Return the claims with the seats that a PBX held when its lease ran out, in place of its earlier first claims.

    `seats` gives by pool id how many, and until when (UNIX seconds).
    """
    made = tuple(
        Claim(kind=ClaimKind.FIRST_CLAIM, holder_id=holder_id, pool_id=pool_id, seats=count, ends_at=end, serial=epoch)
        for pool_id, (count, end) in sorted(seats.items())
        if count
    )
    return (*without(claims, ClaimKind.FIRST_CLAIM), *made)


def without(claims: Claims, *kinds: ClaimKind) -> Claims:
    """Return the claims except those of some kinds."""
    return tuple(claim for claim in claims if claim.kind not in kinds)


def only(claims: Claims, kind: ClaimKind) -> Claims:
    return tuple(claim for claim in claims if claim.kind is kind)


def acknowledged(claims: Claims, holder_id: int) -> Claims:
    """Return the claims once the holder has the last standby lease that it was offered, in place of all older ones."""
    offered = _of(claims, ClaimKind.OFFERED, holder_id)
    rest = _but(claims, (*offered, *_of(claims, ClaimKind.STANDBY, holder_id)))
    return (*rest, *(replace(claim, kind=ClaimKind.STANDBY) for claim in offered))


def discarded(claims: Claims, holder_id: int) -> Claims:
    """Return the claims except those by a holder's standby leases, which it has discarded."""
    return tuple(claim for claim in claims if claim.kind is ClaimKind.FENCED or claim.holder_id != holder_id)


def released(claims: Claims, holder_id: int, *, epoch: int) -> Claims:
    """Return the claims except those by a holder's epochs up to `epoch`, under which it uses nothing more."""
    return tuple(
        claim
        for claim in claims
        if claim.kind is not ClaimKind.FENCED or claim.holder_id != holder_id or claim.serial > epoch
    )


def in_force(claims: Claims, time: LeaseTime) -> Claims:
    """Return the claims that may not be taken back yet: past their end, the allowance for slow clocks is waited too."""
    return tuple(claim for claim in claims if time.reclaimed_by <= claim.ends_at)


def _of(claims: Claims, kind: ClaimKind, holder_id: int) -> Claims:
    return tuple(claim for claim in claims if claim.kind is kind and claim.holder_id == holder_id)


def _but(claims: Claims, gone: Iterable[Claim]) -> Claims:
    left = set(gone)
    return tuple(claim for claim in claims if claim not in left)
