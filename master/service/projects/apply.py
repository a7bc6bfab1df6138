"""Makes a stored project equal to one that an operator wrote, or says what would change and what forbids it.

It is judged on a copy, beside everything else; the writer is held for what is written, not for what is thought.

What is in use is never taken away by an apply (L5): a pool cannot shrink below its seats, a PBX that holds seats stays.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from master.domain.catalog.catalog import Catalog
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Feature
from master.domain.estate.estate import Estate, License
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.project import (
    Change,
    ProjectInvalidError,
    ProjectSpec,
    Violation,
    capacities,
    changes,
    tier_violations,
    violations,
)
from master.domain.leases.leases import software_in_use
from master.domain.leases.standby import estate_problems, pairs
from master.domain.licenses.bound_licenses import standing_violations
from master.domain.seats.refusals.reasons import MOST_HOLDERS
from master.service.estates.estate_cache import EstateCache
from master.service.projects.loans import loan_violations
from master.service.projects.platforms import elsewhere, record_platforms
from master.service.runtime.errors import RequestIdTakenError
from master.service.runtime.request_answers import AnsweredBefore, RequestKey, answered_before, keep_answer
from master.store.backends.database import Transactions, Tx
from master.store.backends.rehearsal import Rehearsals
from master.store.statements import claims as claim_store
from master.store.statements.agreements import last_number
from master.store.statements.events import Event, write_events
from master.store.statements.projects import projects as store
from master.store.statements.projects.project_writes import write_project
from master.store.statements.queries import leases_of_project
from master.store.statements.seats import biggest_holders, who_hold

_APPLIED = "project.applied"


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply changed, or would change."""

    changes: tuple[Change, ...]
    revision: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyProject:
    spec: ProjectSpec
    caller: str
    key: RequestKey[Applied]
    dry_run: bool
    reason: str = ""
    """Why, for the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """A project as an apply finds it."""

    row: store.ProjectRow | None
    """None where there is no such project."""
    stored: store.StoredProject | None = None
    """None where it was deleted, as `known`."""
    known: Estate | None = None

    @property
    def imported(self) -> tuple[License, ...]:
        """The licenses that no project file declares."""
        return (
            tuple(license for license in self.known.licenses if license.file is not None)
            if self.known is not None
            else ()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What came of applying a project to a copy: nothing is wrong with it, by what was known then."""

    before: _Before
    applied: Applied
    moved: tuple[int, ...] = ()
    """The ids of PBXs whose device is not what it was: what they hold follows."""


class ProjectMovedError(Exception):
    """A project is not what it was when a change of it was judged."""


async def apply_project(
    database: Transactions, rehearsals: Rehearsals, request: ApplyProject, estates: EstateCache, time: LeaseTime
) -> Applied | AnsweredBefore:
    """Apply a project; a dry run changes nothing.

    It is judged on a copy. The writer looks again at what PBXs may have done meanwhile, and writes what differs.

    Raises:
        ProjectInvalidError: something in it is wrong, or would take away what is in use.
        RequestIdTakenError: the request id was used for something else.
    """
    spec, catalogs = request.spec, estates.catalogs
    if wrong := await asyncio.to_thread(violations, spec, catalogs):
        raise ProjectInvalidError(wrong)
    if not request.dry_run and (before := await database.read(lambda tx: _applied_before(tx, request))) is not None:
        return before

    def moved_pbxs(tx: Tx, project_id: int) -> list[int]:
        return store.pbxs_elsewhere(tx, project_id, spec)

    while True:
        judged = await rehearsals.run(spec.name, lambda tx: _judge(tx, spec, estates, time), seats_of=moved_pbxs)
        if request.dry_run:
            return judged.applied
        if not judged.applied.changes:  # perhaps as this very request was carried out before it was judged
            return await database.read(lambda tx: _applied_before(tx, request)) or judged.applied
        try:
            return await database.transact(lambda tx, judged=judged: _write(tx, request, judged, estates, time))  # type: ignore[misc]
        except ProjectMovedError:  # by somebody whose change was committed: it is judged by that
            continue


def _judge(tx: Tx, spec: ProjectSpec, estates: EstateCache, time: LeaseTime) -> _Judged:
    """Apply a project to a copy of what it was; it is right by itself."""
    catalog, row = estates.catalogs[spec.catalog], store.project_row(tx, spec.name)
    before = _Before(row=row)
    if row is not None and not row.is_deleted:
        stored = store.load_project(tx, spec.name, estates.catalogs)
        before = _Before(row=row, stored=stored, known=_estate(tx, spec.name, estates))
    _refuse(_standing_violations(tx, before, spec, catalog, time))
    _refuse(list(tier_violations(spec, catalog, before.imported)))
    changed = tuple(changes(before.stored.spec if before.stored is not None else None, spec))
    if not changed:
        assert row is not None
        return _Judged(before=before, applied=Applied((), row.revision, ()))
    revision = write_project(tx, spec, catalog, row, now=time.now)
    after = _estate(tx, spec.name, estates)
    moved = tuple(pbx.id for _, pbx in elsewhere(before.known, after)) if before.known is not None else ()
    warnings = _platforms_reconciled(tx, before.known, after, spec, time)
    return _Judged(before=before, applied=Applied(changed, revision, warnings), moved=moved)


def _write(
    tx: Tx, request: ApplyProject, judged: _Judged, estates: EstateCache, time: LeaseTime
) -> Applied | AnsweredBefore:
    """Write a project that was found right, if it is still what it was then.

    Raises:
        ProjectMovedError: it is not.
        ProjectInvalidError: PBXs have come to use what would be taken away.
        RequestIdTakenError: the request id was used for something else.
    """
    spec, before, catalog = request.spec, judged.before, estates.catalogs[request.spec.catalog]
    store.lock_for_apply(tx, spec.name)
    if (known := _applied_before(tx, request)) is not None:
        return known
    row = store.project_row(tx, spec.name)
    if row != before.row:
        raise ProjectMovedError
    _refuse(_standing_violations(tx, before, spec, catalog, time))
    revision = write_project(tx, spec, catalog, row, now=time.now)
    applied = replace(judged.applied, revision=revision)
    if who_hold(tx, judged.moved):
        assert before.known is not None
        warnings = _platforms_reconciled(tx, before.known, _estate(tx, spec.name, estates), spec, time)
        applied = replace(applied, warnings=warnings)
    written = row or store.project_row(tx, spec.name)
    assert written is not None
    event = Event(
        at=time.now,
        project_id=written.id,
        pbx="",
        kind=_APPLIED,
        caller=request.caller,
        request_id=request.key.request_id,
        details=_details(applied),
        reason=request.reason,
    )
    keep_answer(tx, written.id, request.key, applied, now=time.now)
    write_events(tx, [event])
    return applied


def _applied_before(tx: Tx, request: ApplyProject) -> AnsweredBefore | None:
    """The answer that this request had before, where it is a retry.

    Raises:
        RequestIdTakenError: the request id was used for something else, or before the project was deleted.
    """
    row = store.project_row(tx, request.spec.name)
    if row is None:
        return None
    before = answered_before(tx, row.id, request.key)
    if before is not None and row.is_deleted:
        raise RequestIdTakenError(request.key.request_id, "the project of that name that was deleted")
    return before


def _estate(tx: Tx, project: str, estates: EstateCache) -> Estate:
    estate = store.load_estate(tx, project, estates.catalogs, estates.default_pace)
    assert estate is not None
    return estate


def _platforms_reconciled(
    tx: Tx, before: Estate | None, after: Estate, spec: ProjectSpec, time: LeaseTime
) -> tuple[str, ...]:
    """Reconcile what PBXs hold with the devices that they run on now; what an operator should know of the project."""
    leases = leases_of_project(tx, after.project_id)
    reconciled = record_platforms(tx, before, after, spec, leases, time) if before is not None else ()
    return (*reconciled, *warnings_of(after, software_in_use(leases, time)))


def _refuse(wrong: list[Violation]) -> None:
    if wrong:
        raise ProjectInvalidError(wrong)


def _standing_violations(
    tx: Tx, before: _Before, spec: ProjectSpec, catalog: Catalog, time: LeaseTime
) -> list[Violation]:
    """What the project may not become from what it is, and from what PBXs do now."""
    row, known, stored = before.row, before.known, before.stored
    if row is None:
        return []
    if known is None or stored is None:  # it comes back, and carries its audit and its ledger on
        return _ledger_violations(tx, row.id, row.catalog, spec)
    running = software_in_use(leases_of_project(tx, known.project_id), time)
    wrong = standing_violations(known, spec, catalog, running)
    if known.learns(time.ends_by):
        wrong = wrong or _unlearned_violations(known, stored, spec, catalog, before.imported)
    wrong = wrong or _ledger_violations(tx, row.id, row.catalog, spec)
    return wrong or [
        *_in_use_violations(tx, known, stored, spec, catalog, before.imported),
        *loan_violations(tx, stored, spec, time),
    ]


def _ledger_violations(tx: Tx, project_id: int, catalog: str, spec: ProjectSpec) -> list[Violation]:
    """What was ordered was ordered by the offers and products of one catalog."""
    written = last_number(tx, project_id) if spec.catalog != catalog else 0
    if not written:
        return []
    reason = f"{spec.catalog!r} cannot replace {catalog!r}: {written} entries of the agreement ledger go by it"
    return [Violation(("catalog",), reason)]


def _in_use_violations(
    tx: Tx, known: Estate, before: store.StoredProject, spec: ProjectSpec, catalog: Catalog, imported: Sequence[License]
) -> list[Violation]:
    wrong = []
    wanted = _capacities(spec, catalog, imported)
    for (device, license_type), (pool_id, used, overdrawn) in store.pools_by_name(tx, before.id).items():
        left = wanted.get((device, license_type), 0)
        if left < used - overdrawn:  # what is overdrawn is above what is installed, however much that is
            name = catalog.types[license_type].display_name if license_type in catalog.types else license_type
            reason = (
                f"{device} would have {left} {name} licenses, but {used} are in use (rule L5)"
                f"{_held_by(tx, known, pool_id)}; return {used - left} seats first:"
                f" `license-master seats --type {license_type}` lists who holds them,"
                " `license-master standby check` what is promised besides"
            )
            wrong.append(Violation(("licenses",), reason))
    gone = {pbx.name for pbx in before.spec.pbxs} - {pbx.name for pbx in spec.pbxs}
    for name, held in store.seats_held(tx, before.id, gone).items():
        reason = (
            f"{name} cannot be removed while it holds {held} seats; if it is gone for good, `license-master leases end"
            f" {name} --reason TEXT` ends its lease, and says first how many seats that puts at risk"
        )
        wrong.append(Violation(("pbxs",), reason))
    for name, seats in claim_store.claimed_seats(tx, before.id, gone).items():
        reason = (
            f"{name} cannot be removed while {seats} seats are promised in its name, to a standby or to itself while it"
            " was cut off (rule F5); `license-master standby check` says until when, `license-master leases end"
            f" {name} --reason TEXT` ends them at once"
        )
        wrong.append(Violation(("pbxs",), reason))
    for name, primaries in claim_store.carried_by(tx, before.id).items():
        if name in gone:
            reason = f"{name} cannot be removed while it carries the seats of {', '.join(primaries)} (rule F5)"
            wrong.append(Violation(("pbxs",), reason))
    return wrong


def _held_by(tx: Tx, known: Estate, pool_id: int) -> str:
    """Return the end of a sentence that names who holds most seats of a pool; empty where nobody does."""
    biggest = biggest_holders(tx, pool_id)[:MOST_HOLDERS]
    named = ", ".join(f"{known.pbxs[pbx_id].name} ({seats:,})" for pbx_id, seats in biggest)
    return f", most by {named}" if named else ""


def _unlearned_violations(
    known: Estate, before: store.StoredProject, spec: ProjectSpec, catalog: Catalog, imported: Sequence[License]
) -> list[Violation]:
    """What cannot be taken away while nobody knows who uses it: licenses of a pool, and PBXs."""
    until = "while the master learns what is in use after a restore; `license-master status` says until when"
    wanted = _capacities(spec, catalog, imported)
    wrong = []
    for installation in known.installations.values():
        device = installation.device.name
        for key, there in installation.capacity.items():
            if (left := wanted.get((device, key), 0)) < there:
                name = catalog.types[key].display_name if key in catalog.types else key
                reason = f"{device} has {there} {name} licenses, and {left} are too few {until}"
                wrong.append(Violation(("licenses",), reason))
    for name in sorted({pbx.name for pbx in before.spec.pbxs} - {pbx.name for pbx in spec.pbxs}):
        wrong.append(Violation(("pbxs",), f"{name} cannot be removed {until}"))
    return wrong


def _capacities(spec: ProjectSpec, catalog: Catalog, imported: Sequence[License]) -> Counter[tuple[str, str]]:
    """Licenses by device and type, as a project file would have them."""
    wanted = Counter(capacities(spec, catalog))
    for license in imported:
        if license.device is not None:
            wanted[license.device.name, license.type.key] += license.quantity
    return wanted


def warnings_of(estate: Estate, software: Mapping[int, Version]) -> tuple[str, ...]:
    """What will not work; `software` is what PBXs say they run now, by PBX id (B10)."""
    warnings, has_pairs = [], bool(pairs(estate))
    for installation in estate.installations.values():
        if above := estate.pbxs_above_limit(installation, software):
            named = ", ".join(f"{pbx.name} ({software.get(pbx.id, pbx.software)})" for pbx in above)
            held_down = ", ".join(str(license.ref) for license in installation.limiting)
            warnings.append(
                f"{installation.device.name} is licensed up to V{installation.limit} by {held_down}:"
                f" {named} will get nothing new (rule B5)"
            )
        for license_type in {license.type.key: license.type for license in installation.licenses}.values():
            told_by_pair = license_type.enables is Feature.STANDBY and has_pairs
            if not told_by_pair and not estate.feature_is_on(installation, license_type):
                matched = license_type.matches or ""
                warnings.append(
                    f"{license_type.display_name} is off on {installation.device.name}:"
                    f" {installation.capacity[license_type.key]} installed for {installation.capacity.get(matched, 0)}"
                    f" {estate.catalog.types[matched].display_name} ({', '.join(license_type.rules)})"
                )
    warnings += [
        f"{pbx.name} runs {software.get(pbx.id, pbx.software)} and gets nothing new from the pool on"
        f" {estate.master.device.name}: that needs PBX software {needed} or newer (rule A5)"
        for pbx in estate.pbxs.values()
        if (needed := estate.central_software_missing(pbx, software.get(pbx.id, pbx.software))) is not None
    ]
    warnings += [
        f"{standby.name} {'cannot take over' if problem.kind.blocking else 'should be checked before it takes over'}"
        f" for {primary.name}: {problem.message} ({', '.join(problem.rules)})"
        for standby, primary, problem in estate_problems(estate, software)
    ]  # F6
    warnings += [
        f"the allocation rule {rule.name!r} is about the site {rule.site!r}, where no PBX stands;"
        f" `license-master allocation remove {rule.name}` takes it back"
        for rule in estate.allocation.rules
        if rule.site and rule.site not in estate.pbxs_at
    ]
    return tuple(warnings)


def _details(applied: Applied) -> str:
    plain = {
        "changes": [change.details for change in applied.changes],
        "revision": applied.revision,
        "warnings": applied.warnings,
    }
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
