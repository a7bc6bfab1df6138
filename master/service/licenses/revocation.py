"""Takes seats away when licenses in use are released: which ones, and what goes with them (L5).

The order is that of `domain/allocation/shrink.py`. With a seat goes whatever depends on it or is included in it; the
deciding code itself finds that, on a copy. A seat that was taken away counts until its PBX has given it back or its
lease has ended; only where an operator forces it are seats of PBXs that cannot be reached no longer counted, although
they may still be used until the signed end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import Enum

from master.domain.allocation.policies import NO_ALLOCATION
from master.domain.allocation.shrink import Standings
from master.domain.estate.installations import License
from master.domain.estate.license_release import InUse
from master.domain.leases.claims import ClaimKind, Claims, floors, only
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.seat_working_set import PoolScore
from master.domain.seats.seats import Seat, SeatKey
from master.service.batch.prefetch import Prefetch, fill_working_set
from master.service.licenses.license_changes import LicenseChanges
from master.store.backends.database import Tx
from master.store.statements import claims as claim_store
from master.store.statements import licenses as store
from master.store.statements.queries import pools_used
from master.store.statements.seats import revoke_seats, write_working_set
from master.values import Value, replace


class Revoked(Value):
    """How many seats of the pool were taken away."""

    seats: int
    at_risk: int
    """Seats that are no longer counted and may still be in use: of PBXs that cannot be reached, also those taken away
    before, with all that goes with them.
    """


NOTHING_REVOKED = Revoked(0, 0)


class _Counted(Enum):
    """Until when a seat that was taken away counts, in the words of the audit."""

    UNTIL_GIVEN_BACK = "given back or the lease ends"
    NO_MORE = "nothing more"


def revoke(changes: LicenseChanges, license: License, in_use: InUse) -> Revoked:
    """Take away as many seats of a license's pool as do not fit into what stays without the license; REVOKE or FORCE
    them.
    """
    pool_id = changes.pool_id(license)
    if pool_id is None or license.device is None:
        return NOTHING_REVOKED
    stays = changes.estate.installations[license.device.id].seats_staying(license.type.key)
    return shrink(changes, pool_id, stays, in_use)


def shrink(changes: LicenseChanges, pool_id: int, stays: int, in_use: InUse) -> Revoked:
    """Take away seats of a pool until no more than `stays` seats are left; REVOKE or FORCE them."""
    pending = store.revoked_of_pool(changes.tx, pool_id)
    chosen = _first_to_go(changes, pool_id, stays, pending)
    counted = at_risk = 0
    for pbx_id, seats in _by_pbx(chosen).items():
        counted += len(seats)
        is_uncounted = in_use is InUse.FORCE and pbx_id not in changes.connected
        until = _Counted.NO_MORE if is_uncounted else _Counted.UNTIL_GIVEN_BACK
        at_risk += _withdraw(changes, pbx_id, seats, until)
    if in_use is InUse.FORCE:
        for pbx_id, seats in _by_pbx(pending).items():
            if pbx_id not in changes.connected:
                at_risk += _withdraw(changes, pbx_id, seats, _Counted.NO_MORE)
    if counted or at_risk:
        changes.mark_changed()
    return Revoked(counted, at_risk)


def excess(tx: Tx, project_id: int, pool_id: int, *, used: int, stays: int) -> int:
    """Return how many seats of a pool, of `used` counted seats, must be given up for the rest to fit into `stays`.

    Seats taken away before count as given up, and so do seats that their PBX does not use and nobody keeps for it:
    blocks become smaller with the next renewals, promises to standbys end when these have heard (F5). Loans stay.
    """
    lent = _lent(tx, project_id, pool_id)
    idle = 0
    by_pbx = claim_store.claims_of(tx, claim_store.pbxs_with_idle_claims(tx, pool_id))
    for pbx_id, shares in claim_store.shares_of(tx, by_pbx).items():
        if (share := shares.get(pool_id)) is not None:
            kept = (claim.seats for claim in only(by_pbx[pbx_id], ClaimKind.FIRST_CLAIM) if claim.pool_id == pool_id)
            idle += share.counted - max(share.seats, lent.get(pbx_id, 0), *kept)
    return used - len(store.revoked_of_pool(tx, pool_id)) - idle - max(stays, sum(lent.values()))


def _first_to_go(changes: LicenseChanges, pool_id: int, stays: int, pending: Sequence[Seat]) -> list[Seat]:
    """Return the seats to take away, once idle seats are given up; `pending` were taken away before. Borrowed seats
    stay: taking them would free nothing.
    """
    estate, tx = changes.estate, changes.tx

    def too_many() -> int:
        return excess(tx, estate.project_id, pool_id, used=pools_used(tx, estate.project_id)[pool_id], stays=stays)

    standings = Standings(estate.allocation, estate.site_of, reachable=changes.connected, now=changes.now)
    order = standings.in_order(estate.type_of_pool(pool_id))
    if (left := too_many()) > 0 and _end_first_claims(changes, pool_id, order, left):
        left = too_many()
    lent = _lent(tx, estate.project_id, pool_id)
    may_go = Counter({pbx_id: seats - lent[pbx_id] for pbx_id, seats in _held(changes, pool_id, [*lent]).items()})
    may_go.subtract(seat.pbx_id for seat in pending)
    chosen: list[Seat] = []
    for pbx_ids in order:
        if len(chosen) >= left:
            break
        limit = left - len(chosen) + sum(lent.get(pbx_id, 0) for pbx_id in pbx_ids)
        for seat in store.newest_seats(tx, pool_id, pbx_ids=pbx_ids, limit=limit):
            if len(chosen) < left and (seat.pbx_id not in lent or may_go[seat.pbx_id] > 0):
                may_go[seat.pbx_id] -= 1
                chosen.append(seat)
    return chosen


def _lent(tx: Tx, project_id: int, pool_id: int) -> dict[int, int]:
    """Return the seats of a pool that PBXs have borrowed, by PBX id."""
    return {
        pbx_id: seats for (pool, pbx_id), seats in claim_store.lent_seats(tx, project_id).items() if pool == pool_id
    }


def _held(changes: LicenseChanges, pool_id: int, pbx_ids: Sequence[int]) -> dict[int, int]:
    """Return the seats of a pool that some PBXs hold, by PBX id."""
    shares = claim_store.shares_of(changes.tx, claim_store.claims_of(changes.tx, pbx_ids)) if pbx_ids else {}
    return {pbx_id: by_pool[pool_id].seats if pool_id in by_pool else 0 for pbx_id, by_pool in shares.items()}


def _end_first_claims(changes: LicenseChanges, pool_id: int, order: Sequence[Sequence[int]], most: int) -> int:
    """End first claims to a pool, as many as needed; return how many seats are no longer counted."""
    by_pbx = claim_store.claims_of(changes.tx, claim_store.pbxs_with_idle_claims(changes.tx, pool_id))
    given_up = 0
    for pbx_id in (pbx_id for alike in order for pbx_id in alike if pbx_id in by_pbx):
        claims = by_pbx[pbx_id]
        first = [claim for claim in only(claims, ClaimKind.FIRST_CLAIM) if claim.pool_id == pool_id]
        if first and given_up < most:
            given_up += _freed(changes, pbx_id, claims, tuple(claim for claim in claims if claim not in first))
    return given_up


def _freed(changes: LicenseChanges, pbx_id: int, before: Claims, after: Claims) -> int:
    """Replace a PBX's claims by fewer claims; return how many seats are no longer counted."""
    wide = changes.estate.catalog.pbx_wide_types
    working_set = fill_working_set(changes.tx, Prefetch(changes.now), wide, {pbx_id: before})
    working_set.set_floors(pbx_id, floors(after))
    write_working_set(changes.tx, working_set, now=changes.now)
    claim_store.write_claims(changes.tx, {pbx_id: before}, {pbx_id: after})
    freed = -sum(counted for _, counted in working_set.pool_changes().values())
    if freed:
        changes.event("claims.ended", {"seats": freed}, pbx=changes.estate.pbxs[pbx_id].name)
    return freed


def _withdraw(changes: LicenseChanges, pbx_id: int, seats: Sequence[Seat], until: _Counted) -> int:
    """Mark seats of a PBX, and the seats that go with them, as taken away; return how many seats are no
    longer counted.
    """
    pbx = changes.estate.pbxs[pbx_id]
    wide = changes.estate.catalog.pbx_wide_types
    working_set = fill_working_set(
        changes.tx, Prefetch(changes.now, whole_pbxs={pbx_id}), wide, claims=claim_store.claims_of(changes.tx, [pbx_id])
    )  # what is promised beside the PBX's lease stays counted, forced or not (F5)
    every_pool = {source: PoolScore(0, 0) for source in changes.estate.pool_ids.values()}
    read = working_set.pools
    full = {pool_id: replace(pool, capacity=pool.used) for pool_id, pool in read.items()}
    working_set.pools = every_pool | full  # on the copy nothing is free: what loses its whole goes with it
    runs = changes.software.get(pbx_id, pbx.software)
    estate = replace(changes.estate, allocation=NO_ALLOCATION)  # B10, and nothing is overdrawn for it
    decider = Decider(EligibilityCache(estate), working_set, pbx, runs, changes.time)
    keys = [seat.key if not seat.is_companion else SeatKey(seat.parent, seat.kind, seat.holder) for seat in seats]
    gone = decider.withdraw(keys)
    revoke_seats(changes.tx, pbx_id, gone)
    changes.event("seats.revoked", {"seats": _named(gone), "counted_until": until.value}, pbx=pbx.name)
    if until is _Counted.UNTIL_GIVEN_BACK:
        return 0
    for pool_id, pool in read.items():
        full[pool_id].capacity = pool.capacity
    write_working_set(changes.tx, working_set, now=changes.now)
    return -sum(counted for _, counted in working_set.pool_changes().values())


def _by_pbx(seats: Sequence[Seat]) -> dict[int, list[Seat]]:
    by_pbx: defaultdict[int, list[Seat]] = defaultdict(list)
    for seat in seats:
        by_pbx[seat.pbx_id].append(seat)
    return dict(by_pbx)


def _named(keys: Sequence[SeatKey]) -> dict[str, list[str]]:
    named: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        named[key.type].append(key.holder)
    return dict(named)
