"""What an apply may not do to PBXs that have borrowed seats."""

from __future__ import annotations

from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.project import ProjectSpec, Violation
from master.domain.leases.presence import told_at
from master.store.backends.database import Tx
from master.store.statements import claims as claim_store
from master.store.statements.projects.projects import StoredProject


def loan_violations(tx: Tx, before: StoredProject, spec: ProjectSpec, time: LeaseTime) -> list[Violation]:
    """Say which PBXs get no standby: it would carry the seats that the PBX has borrowed and may go on using (F5)."""
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
