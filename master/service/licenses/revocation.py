"""Takes seats away when licenses in use are released: which ones, and what goes with them (L5).

The order of withdrawal: seats of PBXs that can be told now before those of PBXs that cannot; of each, the newest
first. With a seat goes whatever depends on it or is included in it; the deciding code itself finds that, on a copy. A
seat that was taken away counts until its PBX has given it back or its lease has ended; only where an operator forces
it are seats of PBXs that cannot be reached no longer counted, although they may still be used until the signed end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from master.domain.allocation.policies import NO_ALLOCATION
from master.domain.estate.estate import License
from master.domain.estate.license_release import InUse
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.seat_working_set import PoolScore
from master.domain.seats.seats import Seat, SeatKey
from master.service.batch.prefetch import Prefetch, fill_working_set
from master.service.licenses.license_changes import LicenseChanges
from master.store.statements import licenses as store
from master.store.statements.claims import claims_of
from master.store.statements.seats import revoke_seats, write_working_set


@dataclass(frozen=True, slots=True)
class Revoked:
    """How many seats of the pool were taken away."""

    seats: int
    at_risk: int
    """Seats no longer counted that may still be in use: of silent PBXs, also those taken away before, with all that
    goes with them."""


NOTHING_REVOKED = Revoked(0, 0)


class _Counted(Enum):
    """Until when a seat that was taken away counts, as the audit says it."""

    UNTIL_GIVEN_BACK = "given back or the lease ends"
    NO_MORE = "nothing more"


def revoke(changes: LicenseChanges, license: License, in_use: InUse) -> Revoked:
    """Take so many seats of a license's pool away that the rest fits into what stays; REVOKE or FORCE them."""
    force = in_use is InUse.FORCE
    pool_id = changes.pool_id(license)
    if pool_id is None or license.device is None:
        return NOTHING_REVOKED
    installation = changes.estate.installations[license.device.id]
    stays = installation.capacity[license.type.key] - installation.leaving[license.type.key]
    pending = store.revoked_of_pool(changes.tx, pool_id)
    excess = changes.used(license) - len(pending) - stays
    chosen = _newest(changes, pool_id, excess) if excess > 0 else []
    counted = at_risk = 0
    for pbx_id, seats in _by_pbx(chosen).items():
        counted += len(seats)
        is_uncounted = force and pbx_id not in changes.connected
        until = _Counted.NO_MORE if is_uncounted else _Counted.UNTIL_GIVEN_BACK
        at_risk += _withdraw(changes, pbx_id, seats, until)
    if force:
        for pbx_id, seats in _by_pbx(pending).items():
            if pbx_id not in changes.connected:
                at_risk += _withdraw(changes, pbx_id, seats, _Counted.NO_MORE)
    if counted or at_risk:
        changes.mark_changed()
    return Revoked(counted, at_risk)


def _newest(changes: LicenseChanges, pool_id: int, count: int) -> list[Seat]:
    connected = changes.connected
    reachable = sorted(connected)
    chosen = store.newest_seats(changes.tx, pool_id, pbx_ids=reachable, limit=count)
    if len(chosen) < count:
        others = sorted(changes.estate.pbxs.keys() - connected)
        chosen += store.newest_seats(changes.tx, pool_id, pbx_ids=others, limit=count - len(chosen))
    return chosen


def _withdraw(changes: LicenseChanges, pbx_id: int, seats: Sequence[Seat], until: _Counted) -> int:
    """Mark seats of a PBX and what goes with them; how many are no longer counted."""
    pbx = changes.estate.pbxs[pbx_id]
    wide = changes.estate.catalog.pbx_wide_types
    working_set = fill_working_set(
        changes.tx, Prefetch(changes.now, whole_pbxs={pbx_id}), wide, claims=claims_of(changes.tx, [pbx_id])
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
