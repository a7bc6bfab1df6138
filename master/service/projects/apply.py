"""Makes a stored project equal to one that an operator wrote, or says what would change and what forbids it.

It is judged on a copy, beside everything else; the writer is held for what is written, not for what is thought. What
forbids it is for `violations.py`.
"""

from __future__ import annotations

import asyncio

from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.project import Change, ProjectInvalidError, ProjectSpec, Violation, changes
from master.domain.estate.project_violations import tier_violations, violations
from master.domain.leases.leases import software_in_use
from master.domain.monitoring.project_warnings import warnings_of
from master.service.estates.estate_cache import EstateCache
from master.service.estates.overdrafts import overdraft_events
from master.service.projects.platforms import elsewhere, record_platforms
from master.service.projects.violations import ProjectBefore, violations_of_change
from master.service.runtime.errors import RequestIdTakenError
from master.service.runtime.request_answers import AnsweredBefore, ChangeRequest, answered_before, keep_answer
from master.store.backends.database import Transactions, Tx, json_text
from master.store.dry_runs.rehearsals import Rehearsals
from master.store.statements.events import write_events
from master.store.statements.projects import projects as store
from master.store.statements.projects.project_writes import write_project
from master.store.statements.queries import leases_of_project
from master.store.statements.seats import read_pools, who_hold
from master.values import Value, replace

_APPLIED = "project.applied"


class Applied(Value):
    """What applying a project changed, or would change."""

    changes: tuple[Change, ...]
    revision: int
    warnings: tuple[str, ...]


class ApplyProject(ChangeRequest[Applied], kw_only=True):
    spec: ProjectSpec


class _Judged(Value, kw_only=True):
    """What applying a project to a copy gave: the project is valid, by what was known then."""

    before: ProjectBefore
    applied: Applied
    moved: tuple[int, ...] = ()
    """The ids of PBXs whose device has changed: the seats that they hold must follow."""


class ProjectMovedError(Exception):
    """A project has changed since a change of it was judged."""


async def apply_project(
    database: Transactions, rehearsals: Rehearsals, request: ApplyProject, estates: EstateCache, time: LeaseTime
) -> Applied | AnsweredBefore:
    """Apply a project; a dry run changes nothing.

    The project is judged on a copy. The writer then checks what PBXs may have done meanwhile, and writes what differs.
    Raises ProjectInvalidError if something in the project is wrong, or would take away what is in use,
    RequestIdTakenError if the request id was used for something else.
    """
    spec, catalogs = request.spec, estates.catalogs
    if wrong := await asyncio.to_thread(violations, spec, catalogs):
        raise ProjectInvalidError(wrong)
    if not request.dry_run and (before := await database.read(lambda tx: _applied_before(tx, request))) is not None:
        return before
    while True:
        judged = await rehearsals.run(
            spec.name,
            lambda tx: _judge(tx, spec, estates, time),
            seats_of=lambda tx, project_id: store.pbxs_elsewhere(tx, project_id, spec),
        )
        if request.dry_run:
            return judged.applied
        if not judged.applied.changes:  # perhaps as this very request was carried out before it was judged
            return await database.read(lambda tx: _applied_before(tx, request)) or judged.applied
        try:
            return await database.transact(lambda tx, judged=judged: _write(tx, request, judged, estates, time))  # type: ignore[misc]
        except ProjectMovedError:  # by somebody whose change was committed: it is judged by that
            continue


def _judge(tx: Tx, spec: ProjectSpec, estates: EstateCache, time: LeaseTime) -> _Judged:
    """Apply a project to a copy of its stored state, and check the project by itself."""
    catalog, row = estates.catalogs[spec.catalog], store.project_row(tx, spec.name)
    before = ProjectBefore(row=row)
    if row is not None and not row.is_deleted:
        stored = store.load_project(tx, spec.name, estates.catalogs)
        before = ProjectBefore(row=row, stored=stored, known=_estate(tx, spec.name, estates))
    _refuse(violations_of_change(tx, before, spec, catalog, time))
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
    """Write a project that was found valid, if the stored project has not changed since.

    Raises:
        ProjectMovedError: the stored project has changed.
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
    _refuse(violations_of_change(tx, before, spec, catalog, time))
    pools = read_pools(tx, before.known.shared_pools) if before.known is not None else {}
    revision = write_project(tx, spec, catalog, row, now=time.now)
    overdrafts = overdraft_events(tx, before.known, pools, time.now) if before.known is not None else ()
    applied = replace(judged.applied, revision=revision)
    if who_hold(tx, judged.moved):
        assert before.known is not None
        warnings = _platforms_reconciled(tx, before.known, _estate(tx, spec.name, estates), spec, time)
        applied = replace(applied, warnings=warnings)
    written = row or store.project_row(tx, spec.name)
    assert written is not None
    changed = [change.details for change in applied.changes]
    details = json_text({"changes": changed, "revision": revision, "warnings": applied.warnings})
    event = request.event(_APPLIED, written.id, details, now=time.now)
    keep_answer(tx, written.id, request.key, applied, now=time.now)
    write_events(tx, [event, *overdrafts])
    return applied


def _applied_before(tx: Tx, request: ApplyProject) -> AnsweredBefore | None:
    """Return the answer that this request had before, where the request is a retry; else None.
    Raises RequestIdTakenError if the request id was used for something else, or before the project was deleted."""
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
    """Reconcile what PBXs hold with the devices that they run on now; return warnings for the operator."""
    leases = leases_of_project(tx, after.project_id)
    reconciled = record_platforms(tx, before, after, spec, leases, time) if before is not None else ()
    return (*reconciled, *warnings_of(after, software_in_use(leases, time)))


def _refuse(wrong: list[Violation]) -> None:
    if wrong:
        raise ProjectInvalidError(wrong)
