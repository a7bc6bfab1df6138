"""Makes a stored project equal to one that an operator wrote, or says what would change and what forbids it.

What is in use is never taken away by an apply (L5): a pool cannot shrink below its seats, a PBX that holds seats stays.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from master.domain.bound_licenses import standing_violations
from master.domain.catalog import Catalog
from master.domain.estate import Estate, LeasePace, License
from master.domain.leases import LeaseTime, software_in_use
from master.domain.project import (
    Change,
    ChangeAction,
    ProjectInvalidError,
    ProjectSpec,
    Violation,
    capacities,
    changes,
    tier_violations,
    violations,
)
from master.domain.refusals import MOST_HOLDERS
from master.domain.standby import estate_problems, pairs
from master.domain.versions import Version
from master.domain.words import Feature
from master.leasing.platforms import settle_platforms
from master.leasing.requests import RequestIdTakenError
from master.store import claims as claim_store
from master.store import projects as store
from master.store.agreements import last_number
from master.store.database import Tx
from master.store.events import Event, details_of_request, kind_of_request, write_events
from master.store.queries import leases_of_project
from master.store.seats import biggest_holders

Answer = TypeVar("Answer")
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
    request_id: str
    dry_run: bool
    reason: str = ""
    """Why, for the audit."""


def apply_project(
    tx: Tx, request: ApplyProject, catalogs: Mapping[str, Catalog], default_pace: LeasePace, time: LeaseTime
) -> Applied:
    """Apply a project in the transaction given; a dry run changes nothing.

    Raises:
        ProjectInvalidError: something in it is wrong, or would take away what is in use.
        RequestIdTakenError: the request id was used for something else.
    """
    spec = request.spec
    if found := violations(spec, catalogs):
        raise ProjectInvalidError(found)
    store.lock_for_apply(tx, spec.name)
    before = store.load_project(tx, spec.name, catalogs)
    if before is not None and not request.dry_run:
        used_for = kind_of_request(tx, project_id=before.id, request_id=request.request_id)
        if used_for not in (None, _APPLIED):
            raise RequestIdTakenError(request.request_id, used_for)
        details = details_of_request(tx, project_id=before.id, request_id=request.request_id)
        if details is not None:
            return _answered_before(details)
    gone = store.deleted_project(tx, spec.name) if before is None else None
    if gone is not None:  # it comes back, and carries its audit and its ledger on
        if kind_of_request(tx, project_id=gone.id, request_id=request.request_id) is not None:
            raise RequestIdTakenError(request.request_id, "the project of that name that was deleted")
        if forbidden := _ledger_violations(tx, gone.id, gone.catalog, spec):
            raise ProjectInvalidError(forbidden)
    catalog, imported, known = catalogs[spec.catalog], tuple[License, ...](), None
    if before is not None:
        known = store.load_estate(tx, spec.name, catalogs, default_pace)
        assert known is not None
        imported = tuple(item for item in known.licenses if item.file is not None)
        running = software_in_use(leases_of_project(tx, known.project_id), time)
        forbidden = standing_violations(known, spec, catalog, running)
        if known.learns(time.ends_by):
            forbidden = forbidden or _unlearned_violations(known, before, spec, catalog, imported)
        forbidden = forbidden or _ledger_violations(tx, before.id, before.spec.catalog, spec)
        if forbidden := forbidden or _in_use_violations(tx, known, before, spec, catalog, imported):
            raise ProjectInvalidError(forbidden)
    if missing := list(tier_violations(spec, catalog, imported)):
        raise ProjectInvalidError(missing)
    found_changes = tuple(changes(before.spec if before else None, spec))
    if not found_changes:
        assert before is not None
        return Applied((), before.revision, ())
    revision = store.write_project(tx, spec, catalog, before=before, now=time.now)
    estate = store.load_estate(tx, spec.name, catalogs, default_pace)
    assert estate is not None
    leases = leases_of_project(tx, estate.project_id)
    software = software_in_use(leases, time)
    settled = settle_platforms(tx, known, estate, spec, leases, time) if known is not None else ()
    applied = Applied(found_changes, revision, (*settled, *warnings_of(estate, software)))
    if request.dry_run:
        raise DryRun(applied)
    event = Event(
        at=time.now,
        project_id=estate.project_id,
        pbx="",
        kind=_APPLIED,
        caller=request.caller,
        request_id=request.request_id,
        details=_details(applied),
        reason=request.reason,
    )
    write_events(tx, [event])
    return applied


class DryRun(Exception):
    """Carries the answer out of a transaction that must not be committed."""

    def __init__(self, answer: object) -> None:
        super().__init__("dry run")
        self._answer = answer

    def answer_of(self, kind: type[Answer]) -> Answer:
        assert isinstance(self._answer, kind)
        return self._answer


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
    found = []
    wanted = _capacities(spec, catalog, imported)
    for (device, license_type), (pool_id, used) in store.pools_by_name(tx, before.id).items():
        left = wanted.get((device, license_type), 0)
        if left < used:
            name = catalog.types[license_type].display_name if license_type in catalog.types else license_type
            reason = (
                f"{device} would have {left} {name} licenses, but {used} are in use (rule L5)"
                f"{_held_by(tx, known, pool_id)}; return {used - left} seats first:"
                f" `license-master seats --type {license_type}` lists who holds them,"
                " `license-master standby check` what is promised besides"
            )
            found.append(Violation(("licenses",), reason))
    gone = {pbx.name for pbx in before.spec.pbxs} - {pbx.name for pbx in spec.pbxs}
    for name, held in store.seats_held(tx, before.id, gone).items():
        reason = (
            f"{name} cannot be removed while it holds {held} seats; if it is gone for good, `license-master leases end"
            f" {name} --reason TEXT` ends its lease, and says first how many seats that puts at risk"
        )
        found.append(Violation(("pbxs",), reason))
    for name, seats in claim_store.claimed_seats(tx, before.id, gone).items():
        reason = (
            f"{name} cannot be removed while {seats} seats are promised in its name, to a standby or to itself while it"
            " was cut off (rule F5); `license-master standby check` says until when, `license-master leases end"
            f" {name} --reason TEXT` ends them at once"
        )
        found.append(Violation(("pbxs",), reason))
    for name, primaries in claim_store.carried_by(tx, before.id).items():
        if name in gone:
            reason = f"{name} cannot be removed while it carries the seats of {', '.join(primaries)} (rule F5)"
            found.append(Violation(("pbxs",), reason))
    return found


def _held_by(tx: Tx, known: Estate, pool_id: int) -> str:
    """Who uses most of a pool."""
    biggest = biggest_holders(tx, pool_id)[:MOST_HOLDERS]
    named = ", ".join(f"{known.pbxs[pbx_id].name} ({seats:,})" for pbx_id, seats in biggest)
    return f", most by {named}" if named else ""


def _unlearned_violations(
    known: Estate, before: store.StoredProject, spec: ProjectSpec, catalog: Catalog, imported: Sequence[License]
) -> list[Violation]:
    """What cannot be taken away while nobody knows who uses it: licenses of a pool, and PBXs."""
    until = "while the master learns what is in use after a restore; `license-master status` says until when"
    wanted = _capacities(spec, catalog, imported)
    found = []
    for installation in known.installations.values():
        device = installation.device.name
        for key, there in installation.capacity.items():
            if (left := wanted.get((device, key), 0)) < there:
                name = catalog.types[key].display_name if key in catalog.types else key
                reason = f"{device} has {there} {name} licenses, and {left} are too few {until}"
                found.append(Violation(("licenses",), reason))
    for name in sorted({pbx.name for pbx in before.spec.pbxs} - {pbx.name for pbx in spec.pbxs}):
        found.append(Violation(("pbxs",), f"{name} cannot be removed {until}"))
    return found


def _capacities(spec: ProjectSpec, catalog: Catalog, imported: Sequence[License]) -> Counter[tuple[str, str]]:
    """Licenses by device and type, as a project file would have them."""
    wanted = Counter(capacities(spec, catalog))
    for item in imported:
        if item.device is not None:
            wanted[item.device.name, item.type.key] += item.quantity
    return wanted


def warnings_of(estate: Estate, software: Mapping[int, Version]) -> tuple[str, ...]:
    """What will not work; `software` is what PBXs say they run now, by PBX id (B10)."""
    found = []
    for installation in estate.installations.values():
        if above := estate.pbxs_above_limit(installation, software):
            named = ", ".join(f"{pbx.name} ({software.get(pbx.id, pbx.software)})" for pbx in above)
            held_down = ", ".join(str(item.ref) for item in installation.limiting)
            found.append(
                f"{installation.device.name} is licensed up to V{installation.limit} by {held_down}:"
                f" {named} will get nothing new (rule B5)"
            )
        for license_type in {item.type.key: item.type for item in installation.licenses}.values():
            told_by_pair = license_type.enables is Feature.STANDBY and pairs(estate)
            if not told_by_pair and not estate.feature_is_on(installation, license_type):
                matched = license_type.matches or ""
                found.append(
                    f"{license_type.display_name} is off on {installation.device.name}:"
                    f" {installation.capacity[license_type.key]} installed for {installation.capacity.get(matched, 0)}"
                    f" {estate.catalog.types[matched].display_name} ({', '.join(license_type.rules)})"
                )
    found += [
        f"{pbx.name} runs {software.get(pbx.id, pbx.software)} and gets nothing new from the pool on"
        f" {estate.master.device.name}: that needs PBX software {needed} or newer (rule A5)"
        for pbx in estate.pbxs.values()
        if (needed := estate.central_software_missing(pbx, software.get(pbx.id, pbx.software))) is not None
    ]
    found += [
        f"{standby.name} {'should be looked at before it stands' if not problem.kind.blocking else 'cannot stand'} in"
        f" for {primary.name}: {problem.message} ({', '.join(problem.rules)})"
        for standby, primary, problem in estate_problems(estate, software)
    ]  # F6
    return tuple(found)


def _details(applied: Applied) -> str:
    plain = asdict(applied)
    for change in plain["changes"]:
        change["action"] = change["action"].name
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def _answered_before(details: str) -> Applied:
    plain: dict[str, Any] = json.loads(details)
    listed = tuple(Change(**{**change, "action": ChangeAction[change["action"]]}) for change in plain["changes"])
    return Applied(listed, plain["revision"], tuple(plain["warnings"]))
