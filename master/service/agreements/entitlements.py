"""Makes the licenses of an estate what its agreement ledger entitles it to; within the transaction that is given.

With every order, so that a trial, a purchase or an upgrade counts at once, and whenever the use of something has
ended. The pure core says what has to change (`domain/agreements/rights/entitlements.py`); here it is written, and seats
are taken away by the ways of releases (rules L5, P1, R3). Doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.rights.entitlements import Reconciliation, entitled, syncing
from master.domain.estate.license_release import InUse
from master.service.estates.agreement_ledgers import known_now
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.licenses.license_changes import LicenseChanges, plain
from master.service.licenses.revocation import revoke
from master.store.backends.database import Tx
from master.values import Value

RECONCILED = "agreement.reconciled"


class Reconciled(Value):
    """How many licenses a reconciliation changed, and how."""

    changed: tuple[Reconciliation, ...] = ()
    seats_revoked: int = 0

    def plain(self) -> Mapping[str, Any]:
        """Return the changes by license id, in the form that the audit keeps."""
        return {
            reconciliation.id: {
                name: plain(license)
                for name, license in (("before", reconciliation.before), ("after", reconciliation.after))
                if license
            }
            for reconciliation in self.changed
        }


def reconcile(changes: LicenseChanges, snapshot: AgreementSnapshot, day: date) -> Reconciled:
    """Change the licenses to what the ledger entitles to; they are written with the other changes."""
    reconciliations = syncing(changes.estate, entitled(snapshot, day), changes.now)
    for reconciliation in reconciliations:
        if reconciliation.after is None:
            changes.remove(reconciliation.id)
        else:
            changes.put(reconciliation.after)
    revoked = sum(
        revoke(changes, reconciliation.after, InUse.REVOKE).seats
        for reconciliation in reconciliations
        if reconciliation.after is not None and reconciliation.takes_seats
    )
    return Reconciled(reconciliations, revoked)


def is_reconciled(tx: Tx, estates: EstateCache, project: str, now: float) -> bool:
    """Tell whether the licenses are what the ledger entitles to; read without locks."""
    estate = read_estate(tx, estates, project)
    known = known_now(estate, estates.ledgers.state(tx, estate.project_id), now=now)
    return not syncing(known.estate, entitled(known.snapshot, known.day), now)


def reconcile_project(changes: LicenseChanges) -> Reconciled:
    """Reconcile the licenses of one project in a transaction of its own, for what changes from day to day."""
    known = known_now(changes.estate, changes.ledger, now=changes.now)
    reconciled = reconcile(changes, known.snapshot, known.day)
    if reconciled.changed:
        changes.event(RECONCILED, {"licenses": reconciled.plain(), "seats_revoked": reconciled.seats_revoked})
    changes.write()
    return reconciled
