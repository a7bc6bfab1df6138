"""Seats that a PBX may use by their number, whoever holds them: blocks and loans consist of these.

They are possible only where nothing but the pool decides about a seat of the type on that PBX: nothing is required
beside it, included in it or debited with it, it is debited from one pool that sites share, and it is refused to nobody
there. Otherwise the master has to be asked for each seat.
"""

from __future__ import annotations

from licensemaster.api_enums import HolderKind
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Pbx
from master.domain.seats.eligibility import Eligibility, EligibilityCache
from master.domain.seats.pools import grantable
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.values import Value


class NumberedSeats(Value, kw_only=True):
    """The pool that numbered seats of a type are debited from, and who may hold them."""

    license_type: str
    pool_id: int
    leaving: int
    """Licenses of the pool that are being released (L5)."""
    kinds: tuple[HolderKind, ...]
    """The kinds of holder that may hold the seats."""

    def left(self, working_set: SeatWorkingSet, pbx_id: int) -> int:
        """Return how many more seats may be counted for a PBX now, as the pool is divided."""
        pool = working_set.pools[self.pool_id]
        free = grantable(capacity=pool.capacity, counted=pool.used, leaving=self.leaving)
        return working_set.left_for(pbx_id, self.pool_id, free)

    def missing(self, working_set: SeatWorkingSet) -> int:
        """Return how many seats are counted above what stays installed once the licenses being released are gone."""
        pool = working_set.pools[self.pool_id]
        return max(pool.used + self.leaving - pool.capacity, 0)


def numbered_seats(
    eligibilities: EligibilityCache, pbx: Pbx, software: Version, type_key: str, now: float
) -> NumberedSeats | str:
    """Return where the seats come from or, in words, why they cannot be used by number; `now` is UNIX seconds."""
    estate = eligibilities.estate
    license_type = estate.catalog.types.get(type_key)
    if license_type is None:
        return f"there is no license type {type_key!r}"
    kinds: list[HolderKind] = []
    plain, refused = None, ""
    for kind in sorted(license_type.holders):
        eligibility = eligibilities.of(pbx, software, type_key, kind)
        if isinstance(eligibility, Refusal) or eligibility.refused is not None:
            refusal = eligibility if isinstance(eligibility, Refusal) else eligibility.refused
            refused = refusal.message if refusal is not None else ""
        elif eligibility.needs_license and estate.allocation.access(type_key, pbx.site, kind, now) is None:
            if not _only_the_pool_decides(eligibility):
                return (
                    f"more than the pool decides about {license_type.key} on {pbx.name}: what is required, included or"
                    " debited with it, or a license of the device's own, needs a decision on each seat"
                )
            plain, kinds = eligibility, [*kinds, kind]
    if plain is None:
        return refused or f"nobody on {pbx.name} may have a seat of {license_type.key} that needs a license"
    (source,) = plain.sources
    if source.pool_id not in estate.shared_pools:
        return f"{pbx.name} draws on licenses of its own device, which nobody shares with it"
    return NumberedSeats(license_type=type_key, pool_id=source.pool_id, leaving=source.leaving, kinds=tuple(kinds))


def _only_the_pool_decides(eligibility: Eligibility) -> bool:
    return eligibility.is_plain and not eligibility.companions and len(eligibility.sources) == 1
