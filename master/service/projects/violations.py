"""What a project may not become, by what it is and by what PBXs do now.

What is in use is never taken away by an apply (L5): a pool cannot shrink below its seats, a PBX that holds seats stays.
What is wrong with a project by itself is for `domain/estate/project.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from master.domain.catalog.catalog import Catalog
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.project import ProjectSpec, Violation, capacities
from master.domain.leases.leases import software_in_use
from master.domain.leases.presence import told_at
from master.domain.licenses.bound_licenses import standing_violations
from master.domain.seats.refusals.reasons import MOST_HOLDERS
from master.store.backends.database import Tx
from master.store.statements import claims as claim_store
from master.store.statements.agreements import last_number
from master.store.statements.projects import projects as store
from master.store.statements.queries import leases_of_project
from master.store.statements.seats import biggest_holders
from master.values import Value


class ProjectBefore(Value, kw_only=True):
    """A project as it is before an apply."""

    row: store.ProjectRow | None
    """The project's row; None where no project has the name."""
    stored: store.StoredProject | None = None
    """The stored project; None where it was deleted, and so is `known`."""
    known: Estate | None = None

    @property
    def imported(self) -> tuple[License, ...]:
        """The licenses that no project file declares."""
        return (
            tuple(license for license in self.known.licenses if license.file is not None)
            if self.known is not None
            else ()
        )


def violations_of_change(
    tx: Tx, before: ProjectBefore, spec: ProjectSpec, catalog: Catalog, time: LeaseTime
) -> list[Violation]:
    """Return what forbids a change of a project: what the project is, and what PBXs do now."""
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
        *_loan_violations(tx, stored, spec, time),
    ]


def _ledger_violations(tx: Tx, project_id: int, catalog: str, spec: ProjectSpec) -> list[Violation]:
    """Return a violation where the catalog would change although the agreement ledger has entries that
    use the old one.
    """
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


def _loan_violations(tx: Tx, before: store.StoredProject, spec: ProjectSpec, time: LeaseTime) -> list[Violation]:
    """Return the PBXs that may get no standby: it would carry seats that the PBX has borrowed and may go
    on using (F5).
    """
    known = {(pbx.name, pbx.standby_for) for pbx in before.spec.pbxs}
    new = {
        pbx.standby_for: pbx.name for pbx in spec.pbxs if pbx.standby_for and (pbx.name, pbx.standby_for) not in known
    }
    return [
        Violation(
            ("pbxs",),
            f"{new[name]} cannot be the standby of {name}, which has borrowed {seats} {license_type} until"
            f" {told_at(ends_at)} and may use them itself (rule F5); `license-master loan return {name} {license_type}"
            " --reason TEXT` takes them back",
        )
        for name, license_type, seats, ends_at in claim_store.loans_in_force(tx, before.id, new, time)
    ]


def _held_by(tx: Tx, known: Estate, pool_id: int) -> str:
    """Return the end of a sentence that names who holds most seats of a pool; empty where nobody does."""
    biggest = biggest_holders(tx, pool_id)[:MOST_HOLDERS]
    named = ", ".join(f"{known.pbxs[pbx_id].name} ({seats:,})" for pbx_id, seats in biggest)
    return f", most by {named}" if named else ""


def _unlearned_violations(
    known: Estate, before: store.StoredProject, spec: ProjectSpec, catalog: Catalog, imported: Sequence[License]
) -> list[Violation]:
    """Return what cannot be taken away while the project is learning who uses it: licenses of a pool, and PBXs."""
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
    """Count licenses by device and type, as they would be under a project file."""
    wanted = Counter(capacities(spec, catalog))
    for license in imported:
        if license.device is not None:
            wanted[license.device.name, license.type.key] += license.quantity
    return wanted
