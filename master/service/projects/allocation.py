"""Makes a project's allocation equal to one that an operator wrote, and says who gains and who loses by it.

Nothing that is held is taken away: rules are for what is asked for next (B10).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from msgspec.structs import asdict

from licensemaster.values.moments import second_text
from master.domain.allocation.policies import Allocation
from master.domain.allocation.type_names import as_written, with_keys
from master.domain.catalog.versions import Version
from master.domain.estate.contradictions import AllocationInvalidError, Grounds, contradictions
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.project import Change, ChangeAction
from master.domain.leases.leases import software_in_use
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.site_outlooks import SharedPool, SiteOutlook, site_outlooks
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.estates.service_context import ServiceContext
from master.service.projects.apply import ProjectMovedError
from master.service.runtime.request_answers import AnsweredBefore, ChangeRequest, answered_before, keep_answer
from master.store.backends.database import Tx, json_text
from master.store.statements.events import write_events
from master.store.statements.projects.allocation import write_allocation
from master.store.statements.projects.projects import lock_for_apply, next_revision, site_names
from master.store.statements.queries import leases_of_project
from master.store.statements.seats import counted_of_pool
from master.store.statements.waiting import waits_of_project
from master.values import Value, replace

_APPLIED = "allocation.applied"


class AllocationChangedError(Exception):
    """Somebody else changed the project since the allocation was read."""

    def __init__(self, expected: int, revision: int) -> None:
        super().__init__(
            f"the allocation was made from revision {expected} of the project, which is at revision {revision} by now;"
            " read it again and make the change anew"
        )


class ApplyAllocation(ChangeRequest["AllocationApplied"], kw_only=True):
    project: str
    allocation: Allocation
    expected_revision: int
    """The project's revision that the allocation was written for; 0 for any."""


class AllocationApplied(Value):
    """What applying an allocation changed, or would change."""

    changes: tuple[Change, ...]
    revision: int
    outlooks: tuple[SiteOutlook, ...]
    warnings: tuple[str, ...]


class _Situation(Value, kw_only=True):
    """The state that an allocation is judged by, before or after."""

    estate: Estate
    allocation: Allocation
    """The allocation, by catalog keys."""
    sites: frozenset[str]
    counted: Mapping[int, Mapping[int, int]]
    """Counted seats by pool and PBX, of the shared pools that rules are about."""
    waits: Mapping[tuple[str, int], int]
    """The number of seats waited for, by (license type, PBX id)."""
    software: Mapping[int, Version]
    """The software that PBXs are known to run, by PBX id."""


async def apply_allocation(context: ServiceContext, request: ApplyAllocation) -> AllocationApplied | AnsweredBefore:
    """Apply an allocation; a dry run writes nothing. The allocation is judged without holding up other work.

    Raises:
        UnknownProjectError: there is no such project.
        AllocationInvalidError: the allocation cannot be kept.
        AllocationChangedError: somebody else changed the project first.
        RequestIdTakenError: the request id was used for something else.
    """
    time = context.lease_time()
    while True:
        judged = await context.questions.work_out(
            lambda tx: _read(tx, context.estates, request, time), lambda situation, _: _judge(situation, request, time)
        )
        if request.dry_run:
            return judged
        try:
            return await context.change(partial(_write, request=request, judged=judged))
        except ProjectMovedError:
            continue


def _read(tx: Tx, estates: EstateCache, request: ApplyAllocation, time: LeaseTime) -> _Situation:
    estate = read_estate(tx, estates, request.project)
    allocation = with_keys(request.allocation, estate.catalog.key_of)
    divided = {key for rule in (*estate.allocation.rules, *allocation.rules) for key in rule.types}
    pool_ids = [pool_id for pool_id, key in estate.shared_pools.items() if key in divided]
    return _Situation(
        estate=estate,
        allocation=allocation,
        sites=site_names(tx, estate.project_id),
        counted={pool_id: counted_of_pool(tx, pool_id, None) for pool_id in pool_ids},
        waits=waits_of_project(tx, estate.project_id) if pool_ids else {},
        software=software_in_use(leases_of_project(tx, estate.project_id), time) if pool_ids else {},
    )


def _judge(situation: _Situation, request: ApplyAllocation, time: LeaseTime) -> AllocationApplied:
    estate = situation.estate
    if request.expected_revision not in (0, estate.revision):
        raise AllocationChangedError(request.expected_revision, estate.revision)
    if wrong := contradictions(situation.allocation, Grounds.of(estate, situation.sites, time.now)):
        key_of = estate.catalog.key_of
        raise AllocationInvalidError(
            [replace(said, path=as_written(said.path, request.allocation, key_of)) for said in wrong]
        )
    changes = tuple(_changes(estate.allocation, situation.allocation))
    outlooks, warnings = _outlooks(situation, time.now) if changes else ((), ())
    return AllocationApplied(changes, estate.revision, outlooks, warnings)


def _write(
    tx: Tx, estates: EstateCache, time: LeaseTime, *, request: ApplyAllocation, judged: AllocationApplied
) -> AllocationApplied | AnsweredBefore:
    lock_for_apply(tx, request.project)
    estate = read_estate(tx, estates, request.project)
    if (before := answered_before(tx, estate.project_id, request.key)) is not None:
        return before
    if estate.revision != judged.revision:
        raise ProjectMovedError
    if not judged.changes:
        return judged
    write_allocation(tx, estate.project_id, with_keys(request.allocation, estate.catalog.key_of))
    next_revision(tx, estate.project_id)
    applied = replace(judged, revision=estate.revision + 1)
    details = json_text({"changes": [change.details for change in applied.changes], "revision": applied.revision})
    keep_answer(tx, estate.project_id, request.key, applied, now=time.now)
    write_events(tx, [request.event(_APPLIED, estate.project_id, details, now=time.now)])
    return applied


def _changes(before: Allocation, after: Allocation) -> Iterator[Change]:
    for kind, name, parts in (
        ("group", "name", "groups"),
        ("rule", "name", "rules"),
        ("type", "license_type", "types"),
    ):
        old = {getattr(part, name): _text(part) for part in getattr(before, parts)}
        new = {getattr(part, name): _text(part) for part in getattr(after, parts)}
        for key in old | new:
            if old.get(key) == new.get(key):
                continue
            action = ChangeAction.ADD if key not in old else ChangeAction.CHANGE if key in new else ChangeAction.REMOVE
            yield Change(action, kind, key, old.get(key, ""), new.get(key, ""))


def _text(part: Any) -> str:
    """Return a group, a rule or a policy as one line, without its name and without empty fields."""
    said = []
    for name, value in asdict(part).items():
        if not value or name in ("name", "license_type"):
            continue
        if value is True:
            said.append(name.replace("_", " "))
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {amount:,}" for key, amount in value.items())
        elif isinstance(value, tuple):
            value = ", ".join(str(getattr(entry, "name", entry)) for entry in value)
        elif name.endswith("_at"):
            value = second_text(value)
        elif isinstance(value, Value):
            value = f"({_text(value)})"
        said.append(f"{name.replace('_', ' ').removesuffix(' at')}: {value}")
    return "; ".join(said)


# --- Who gains and who loses ------------------------------------------------------------------------------------------


def _outlooks(situation: _Situation, now: float) -> tuple[tuple[SiteOutlook, ...], tuple[str, ...]]:
    """Return what each site can get, and notices about reserves that are not free yet."""
    estate, pools, warnings = situation.estate, [], []
    eligibilities = EligibilityCache(estate)
    for pool_id, counted in situation.counted.items():
        key = estate.shared_pools[pool_id]
        before, after = (
            SharedPool(eligibilities, pool_id, allocation, counted=counted, software=situation.software, now=now)
            for allocation in (estate.allocation, situation.allocation)
        )
        pools.append((before, after))
        if after.kept_free > after.free:
            name = estate.catalog.types[key].display_name
            warnings.append(
                f"{after.kept_free:,} {name} seats are to be kept free for their owners, {after.free:,} are free now;"
                " the rest is filled as seats come back"
            )
    return site_outlooks(pools, situation.waits), tuple(warnings)
