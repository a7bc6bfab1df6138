"""Which refusal it is when every source of a seat is used up (A1 to A3, D1, D2), or when an operator's allocation rules
keep what is free from the site that asks."""

from __future__ import annotations

from master.domain.allocation.overdraft import Overdraft
from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.words import DrawnFrom
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.seats.eligibility import Eligibility, Source
from master.domain.seats.pools import grantable
from master.domain.seats.refusals import allocation_explanations, shortage_explanations
from master.domain.seats.refusals.agreed_uses import with_ended_use
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seat_working_set import SeatWorkingSet


class Shortages:
    """The refusals of one PBX's seats whose sources have nothing to grant."""

    def __init__(self, estate: Estate, working_set: SeatWorkingSet, pbx: Pbx, time: LeaseTime) -> None:
        self._estate = estate
        self._working_set = working_set
        self._pbx = pbx
        self._learns = estate.learns(time.ends_by)
        self._now = time.now

    def used_up(self, eligibility: Eligibility) -> Refusal:
        """Refuse a seat because no source has a license of its type to grant."""
        return with_ended_use(self._too_few(eligibility), self._estate, self._now)

    def _too_few(self, eligibility: Eligibility) -> Refusal:
        license_type, is_local = eligibility.type, self._estate.is_local(eligibility.pbx)
        own = self._estate.installations[eligibility.pbx.device.id]
        if not eligibility.sources:
            if is_local and license_type.drawn_from is not DrawnFrom.OWN_DEVICE:  # A3
                return shortage_explanations.local_licenses_only(
                    license_type, eligibility.pbx, own, in_use=0, pool_id=None
                )
            return shortage_explanations.none_installed(license_type, eligibility.installation)
        if self._learns:
            return shortage_explanations.learning(license_type, self._pbx, self._estate)
        last = eligibility.sources[-1]
        if (divided := self._divided(license_type, last)) is not None:
            return divided
        pool = self._working_set.pools[last.pool_id]
        if is_local and license_type.makes_local:  # A3; hardware is its own affair (A6)
            return shortage_explanations.local_licenses_only(
                license_type, eligibility.pbx, own, in_use=pool.used, pool_id=last.pool_id
            )
        exhausted = shortage_explanations.pool_exhausted(license_type, last.installation, pool, pool_id=last.pool_id)
        return self._with_overdraft(exhausted, last)

    def companion_used_up(self, license_type: LicenseType, companion: Eligibility) -> Refusal:
        """Refuse a seat whose companion is used up, though the seat itself was free (D1, D2)."""
        if self._learns and companion.sources:
            return shortage_explanations.learning(companion.type, self._pbx, self._estate)
        if companion.sources and (divided := self._divided(companion.type, companion.sources[-1])) is not None:
            return divided
        pools = {source.pool_id: self._working_set.pools[source.pool_id] for source in companion.sources}
        local = self._estate.installations[self._pbx.device.id] if self._estate.is_local(self._pbx) else None
        used_up = shortage_explanations.UsedUp(companion.type, companion.installation, pools, companion.too_old)
        exhausted = shortage_explanations.companion_exhausted(license_type, used_up, self._pbx, local=local)
        return self._with_overdraft(exhausted, companion.sources[-1]) if companion.sources else exhausted

    def _with_overdraft(self, exhausted: Refusal, source: Source) -> Refusal:
        """Add to the refusal why no more is granted above what is installed, where an overdraft is allowed."""
        account = self._working_set.pools[source.pool_id].account_after(self._now)
        overdraft = Overdraft.of(self._estate.overdraft_of(source.pool_id), account, self._now)
        return exhausted if overdraft is None else allocation_explanations.with_overdraft(exhausted, overdraft)

    def _divided(self, license_type: LicenseType, source: Source) -> Refusal | None:
        """Return the refusal by an allocation rule that keeps a seat from this site, whether one is free or not; else
        None."""
        division, pool = self._working_set.divisions.get(source.pool_id), self._working_set.pools[source.pool_id]
        if division is None:
            return None
        free = grantable(capacity=pool.capacity, counted=pool.used, leaving=source.leaving)
        drawn = allocation_explanations.Drawn(license_type, source, pool, free)
        if not division.below_maximum(self._pbx.id, max(free, 1)):
            return allocation_explanations.maximum_reached(drawn, division, self._pbx.site)
        if not free:
            return None
        queue = self._working_set.queues.get(source.pool_id)
        if queue and division.beside_reserves(self._pbx.id, free):
            return allocation_explanations.waited_for_by_others(drawn, len(queue))
        return allocation_explanations.reserved_for_others(drawn, division, self._pbx.site)
