"""Trials: a refused request is decided again on a copy, with some steps taken.

The estate, the seats and the pools are copied as the steps change them; the deciding is the usual one. What is found
here is what would happen, so `remedies.py` tells nothing that was not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from licensemaster.api_enums import RemedyAction
from master.domain.catalog.versions import Version
from master.domain.catalog.words import VersionBasis
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import License
from master.domain.estate.lease_time import LeaseTime
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.refusals import explanations
from master.domain.seats.refusals.reasons import Refusal, Step
from master.domain.seats.seat_working_set import PoolScore, SeatWorkingSet
from master.domain.seats.seats import SeatKey, Want
from master.values import Value, replace

_CHANGE_ESTATE = frozenset(
    {
        RemedyAction.ADD_LICENSES,
        RemedyAction.REPLACE_LICENSES,
        RemedyAction.RELEASE_LICENSES,
        RemedyAction.RENEW_AGREEMENT,
        RemedyAction.CHANGE_ALLOCATION,
    }
)
_TRIED_MAX = 4
"""The most copies of a project that are kept: one of ten thousand sites takes a megabyte."""


class Case(Value, kw_only=True):
    """A request that was refused, in all or in part, and everything that is known right after it."""

    eligibilities: EligibilityCache
    working_set: SeatWorkingSet
    read_pools: Callable[[], Mapping[int, PoolScore]]
    """Returns every pool of the PBX's own device and of the master's, and those that its seats are debited from; called
    only where something is tried."""
    pbx: Pbx
    software: Version
    time: LeaseTime
    """When the request was refused."""
    wants: tuple[Want, ...] = ()
    """The seats that were refused."""
    returns: tuple[SeatKey, ...] = ()
    """The seats whose return was refused; either these or `wants`."""
    carrier: Pbx | None = None
    """The standby that has the PBX's lease (F5); None where the PBX has it itself."""

    @property
    def estate(self) -> Estate:
        """The project whose master refused the request."""
        return self.eligibilities.estate


class Trial(Value):
    """The result of deciding the request again with some steps taken."""

    estate: Estate
    pools: Mapping[int, PoolScore]
    software: Version
    refused: tuple[Refusal, ...]
    """What is still refused; seats that others need stand first."""
    left: Mapping[int, PoolScore]
    """The pools after the request, with what was returned and granted; of use while something is refused."""
    kept_for_others: Mapping[int, int]
    """Seats that allocation rules keep free for others, by pool id."""
    frees_too_many: bool = False
    """Whether so many seats are to come back that seats which the request needs would be among them."""

    def pool_before(self, device: str, license_type: str) -> PoolScore:
        """Return how much of a pool is used before the request is decided."""
        return self.pools[self.estate.pool_on(device, license_type)]

    def pool_after(self, device: str, license_type: str) -> PoolScore:
        """Return how much of a pool is used after the request was decided."""
        return self.left[self.estate.pool_on(device, license_type)]


def pools_of(estate: Estate, pbx: Pbx) -> tuple[int, ...]:
    """Return the ids of pools that a trial may debit: those on the PBX's own device, its standbys' and the master's."""
    devices = {pbx.device.id, estate.master.device.id, *(standby.device.id for standby in estate.standbys_of(pbx))}
    ids = (estate.pool_ids.get((device_id, key)) for device_id in devices for key in estate.catalog.types)
    return tuple(pool_id for pool_id in ids if pool_id is not None)


def tried(case: Case, steps: Sequence[Step]) -> Trial:
    """Take all steps on a copy, and decide the request again."""
    eligibilities = _eligibilities_after(case.eligibilities, steps)
    estate = eligibilities.estate
    pools = _pools_after(case, estate, steps)
    software, application, time = case.software, None, case.time
    first: list[Want] = []
    back: list[SeatKey] = []
    for step in steps:
        match step.action:
            case RemedyAction.UPGRADE_SOFTWARE | RemedyAction.DOWNGRADE_SOFTWARE if step.pbx:
                software = Version.parse(step.version)
            case RemedyAction.DOWNGRADE_SOFTWARE:
                application = Version.parse(step.version)
            case RemedyAction.CORRECT_REQUEST if step.version:
                application = Version.parse(step.version)
            case RemedyAction.WAIT:
                time = LeaseTime.at(step.until) if step.until is not None else time
            case RemedyAction.ACQUIRE_FIRST:
                first += [Want(seat.type, seat.kind, seat.holder) for seat in step.seats]
            case RemedyAction.RETURN_FIRST:
                back += [SeatKey(seat.type, seat.kind, seat.holder) for seat in step.seats]
            case _:
                pass
    working_set = case.working_set.copy_of(case.pbx.id, pools)
    if estate.allocation is not case.estate.allocation:
        working_set.divide_by(estate, time.now)
    decider = Decider(eligibilities, working_set, case.pbx, software, time, carrier=case.carrier)
    wants = [want._replace(application=application) for want in case.wants] if application else list(case.wants)
    outcomes: list[object] = list(decider.give_back([*back, *case.returns])) if back or case.returns else []
    if wants:
        outcomes += decider.acquire([*first, *wants])
    rank = estate.catalog.rank
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    refused.sort(key=lambda refusal: rank.get(refusal.license_type, 0))
    if software > case.software and (above := _above_limit(estate, case, software)):
        refused.insert(0, above)
    frees_too_many = not refused and any(_frees_too_many(case, step, decider) for step in steps)
    kept = working_set.kept_from(case.pbx.id)
    return Trial(estate, pools, software, tuple(refused), working_set.pools, kept, frees_too_many)


def _frees_too_many(case: Case, step: Step, decider: Decider) -> bool:
    """Tell whether a step frees more seats of a pool than there are without those that were held and are needed now.

    Returns seats on the copy to find out, so it comes last.
    """
    if step.action is not RemedyAction.FREE_SEATS:
        return False
    pool_id = case.estate.pool_on(step.device, step.license_type)
    held = [
        SeatKey(seat.parent if seat.is_companion else seat.type, seat.kind, seat.holder)
        for seat in case.working_set.holdings(case.pbx.id)
        if seat.pool_id == pool_id
    ]
    needed = sum(isinstance(outcome, Refusal) for outcome in decider.give_back(held))
    return step.quantity > case.read_pools()[pool_id].used - needed


def is_released_in_use(trial: Trial, steps: Sequence[Step]) -> bool:
    """Tell whether steps release licenses whose seats no step frees (L5)."""
    released = {ref.id for step in steps if step.action is RemedyAction.RELEASE_LICENSES for ref in step.licenses}
    devices = {ref.id: ref.device for step in steps for ref in step.licenses}
    pools = (
        trial.pool_before(devices[license.id], license.type.key)
        for license in trial.estate.licenses
        if license.id in released
    )
    return any(pool.used > pool.capacity for pool in pools)


def added_license(estate: Estate, step: Step) -> License:
    """Return the license that stands for those to be bound in a step."""
    return License(
        id=f"+{step.license_type}@{step.device}",
        type=estate.catalog.types[step.license_type],
        version=int(step.version) if step.version else None,
        tier=None,
        quantity=step.quantity,
        device=estate.pbx_on[step.device].device,
    )


def _eligibilities_after(before: EligibilityCache, steps: Sequence[Step]) -> EligibilityCache:
    """Return what is certain once the steps are taken, kept: where licenses are short, all refused alike try the
    same."""
    changing = tuple(step for step in steps if step.action in _CHANGE_ESTATE)
    if not changing:
        return before
    eligibilities = before.tried.get(changing)
    if eligibilities is None:
        if len(before.tried) >= _TRIED_MAX:
            before.tried.clear()
        eligibilities = before.tried[changing] = EligibilityCache(estate_after(before.estate, changing))
    return eligibilities


def estate_after(estate: Estate, steps: Sequence[Step]) -> Estate:
    """Return the project with the licenses that the steps add, take away and change."""
    changed: list[License] = []
    by_id = {license.id: license for license in estate.licenses} if any(step.licenses for step in steps) else {}
    for step in steps:
        named = [by_id[ref.id] for ref in step.licenses]
        match step.action:
            case RemedyAction.ADD_LICENSES:
                changed.append(added_license(estate, step))
            case RemedyAction.REPLACE_LICENSES:
                changed += [replace(license, version=int(step.version)) for license in named]
            case RemedyAction.RELEASE_LICENSES:
                changed += [replace(license, device=None, release=None) for license in named]
            case RemedyAction.RENEW_AGREEMENT:
                device = estate.pbx_on[step.device].device
                for license in named:
                    agreed = replace(license.agreed, ends_at=None) if license.agreed is not None else None
                    changed.append(replace(license, device=device, release=None, agreed=agreed))
            case RemedyAction.CHANGE_ALLOCATION:
                estate = replace(estate, allocation=estate.allocation.without(step.subject, step.license_type))
            case _:
                pass
    return estate.with_licenses(changed) if changed else estate


def _pools_after(case: Case, estate: Estate, steps: Sequence[Step]) -> Mapping[int, PoolScore]:
    pools = {pool_id: replace(pool) for pool_id, pool in case.read_pools().items()}
    touched = {step.device for step in steps if step.device} | {ref.device for step in steps for ref in step.licenses}
    for device in touched & estate.pbx_on.keys():
        device_id = estate.pbx_on[device].device.id
        before, after = case.estate.installations[device_id].capacity, estate.installations[device_id].capacity
        for key in before.keys() | after.keys():
            pool = pools.setdefault(estate.pool_ids[device_id, key], PoolScore(before.get(key, 0), 0))
            pool.capacity += after.get(key, 0) - before.get(key, 0)
    for step in steps:
        if step.action is RemedyAction.FREE_SEATS:
            # whose seats come back is not known
            pools[case.estate.pool_on(step.device, step.license_type)].capacity += step.quantity
    return pools


def _above_limit(estate: Estate, case: Case, software: Version) -> Refusal | None:
    """Refuse newer software that the licenses do not allow: it would end everything else that the PBX does (B5)."""
    installation = estate.installation_of(case.pbx)
    if installation.limit is None or software.major <= installation.limit:
        return None
    license_type = estate.catalog.types[case.wants[0].type if case.wants else case.returns[0].type]
    return explanations.version_limit(license_type, case.pbx, software, installation)


def over(trial: Trial, device: str, license_type: str) -> int:
    """Return by how many seats a pool is short before one more is granted: those used, leaving or kept for others."""
    pool = trial.pool_after(device, license_type)
    leaving = trial.estate.installation_on(device).leaving.get(license_type, 0)
    kept = trial.kept_for_others.get(trial.estate.pool_on(device, license_type), 0)
    return max(pool.used + leaving + kept - pool.capacity, 0)


def lowest_version(trial: Trial, case: Case, license_type: str, device: str) -> int | None:
    """Return the lowest version of licenses to bind to a device so that nothing stops working; None for hardware."""
    wanted_type = trial.estate.catalog.types[license_type]
    installation = trial.estate.installation_on(device)
    if not wanted_type.versioned:
        return None
    if wanted_type.version_basis is VersionBasis.APPLICATION:  # B8
        asked = [want.application.major for want in case.wants if want.type == license_type and want.application]
        limit = installation.application_limit(license_type)
        needed = limit if limit is not None else max(asked, default=trial.software.major)
    elif installation.limit is not None:
        needed = installation.limit
    else:
        served = [
            trial.software if pbx is case.pbx else pbx.software
            for pbx in trial.estate.pbxs.values()
            if trial.estate.installation_of(pbx) is installation
        ]
        needed = max((software.major for software in served), default=trial.software.major)
    return max(needed, wanted_type.minimum_version)
