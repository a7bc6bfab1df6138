"""One project's licenses while one transaction changes them: locked, read, changed step by step, written once.

Decides nothing. `moves.py` and `imports.py` judge each step on `estate`, which shows what the steps before it left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

from master.domain.agreements.ledger.state import State
from master.domain.catalog.versions import Version
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import Lease, software_in_use
from master.domain.seats.refusals.reasons import MOST_HOLDERS, TopHolder
from master.service.estates.estate_cache import EstateCache
from master.service.estates.overdrafts import overdraft_events
from master.service.estates.service_context import Work
from master.service.runtime.names import UnknownProjectError
from master.store.backends.database import Tx, json_text
from master.store.statements import licenses as store
from master.store.statements.events import Event, write_events
from master.store.statements.projects.project_writes import recompute_pools
from master.store.statements.projects.projects import next_revision
from master.store.statements.queries import leases_of_project, pools_used
from master.store.statements.seats import biggest_holders, read_pools
from master.values import replace

T = TypeVar("T")


class LicenseChanges:
    """The licenses of one project under lock."""

    def __init__(
        self, tx: Tx, estates: EstateCache, project: str, *, caller: str, reason: str, time: LeaseTime
    ) -> None:
        """Lock the project and read its licenses. Raises UnknownProjectError if there is no such project."""
        if not store.lock_project(tx, project):
            raise UnknownProjectError(project)
        self.tx = tx
        self.caller = caller
        self.reason = reason
        self.time = time
        self.estate: Estate = estates.current(tx, [project])[project].estate
        self._ledgers = estates.ledgers
        self._before = {license.id: license for license in self.estate.licenses}
        self._events: list[Event] = []
        self._estate_changed = False

    # --- What there is ----------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time of the change, UNIX seconds."""
        return self.time.now

    def find(self, license_id: str) -> License | None:
        """Return a license as the steps so far have left it; None where no license has the id."""
        return next((license for license in self.estate.licenses if license.id == license_id), None)

    @cached_property
    def leases(self) -> dict[int, Lease]:
        """The project's leases by PBX id."""
        return leases_of_project(self.tx, self.estate.project_id)

    @cached_property
    def ledger(self) -> State:
        """The state of the project's agreement ledger; whoever appends to the ledger must update this."""
        return self._ledgers.state_under_lock(self.tx, self.estate.project_id)

    @cached_property
    def software(self) -> dict[int, Version]:
        """The software that PBXs say they run, by PBX id."""
        return software_in_use(self.leases, self.time)

    @property
    def connected(self) -> frozenset[int]:
        """The ids of PBXs that can be notified now."""
        return frozenset(pbx for pbx, lease in self.leases.items() if lease.state(self.time) is LeaseState.ACTIVE)

    def pool_id(self, license: License) -> int | None:
        """Return the id of the pool that a bound license belongs to; None while nothing can be debited from it yet."""
        return self.estate.pool_ids.get((license.device.id, license.type.key)) if license.device else None

    def used(self, license: License) -> int:
        """Count the seats debited from the pool that a bound license belongs to."""
        pool_id = self.pool_id(license)
        return pools_used(self.tx, self.estate.project_id).get(pool_id, 0) if pool_id is not None else 0

    def holders(self, license: License) -> tuple[TopHolder, ...]:
        """Return the biggest holders of the pool that a license belongs to."""
        pool_id = self.pool_id(license)
        if pool_id is None:
            return ()
        top_holders = []
        for pbx_id, seats in biggest_holders(self.tx, pool_id)[:MOST_HOLDERS]:
            pbx = self.estate.pbxs[pbx_id]
            top_holders.append(TopHolder(f"projects/{self.estate.name}/pbxs/{pbx.name}", pbx.site, seats))
        return tuple(top_holders)

    # --- Changing it ------------------------------------------------------------------------------------------------

    def put(self, changed: License) -> None:
        """Replace a license by its new state, or add one."""
        others = tuple(license for license in self.estate.licenses if license.id != changed.id)
        self.estate = replace(self.estate, licenses=tuple(sorted((*others, changed), key=lambda license: license.id)))

    def remove(self, license_id: str) -> None:
        left = tuple(license for license in self.estate.licenses if license.id != license_id)
        self.estate = replace(self.estate, licenses=left)

    def mark_changed(self) -> None:
        """Have the project's PBXs notified, although no license changed."""
        self._estate_changed = True

    def event(self, kind: str, details: Mapping[str, Any], *, request_id: str | None = None, pbx: str = "") -> None:
        """Note an event, of a PBX where its name is given; `write` writes the events."""
        text = json_text(details)
        event = Event(self.now, self.estate.project_id, pbx, kind, self.caller, request_id, text, self.reason)
        self._events.append(event)

    def write(self) -> None:
        """Write all changes: licenses, pools, a new revision, events."""
        after = {license.id: license for license in self.estate.licenses}
        changed = [license for license in self.estate.licenses if self._before.get(license.id) != license]
        gone = sorted(self._before.keys() - after.keys())
        project_id = self.estate.project_id
        if gone:
            store.remove_licenses(self.tx, project_id, gone)
        store.write_licenses(self.tx, project_id, changed, fresh=frozenset(after.keys() - self._before.keys()))
        if changed or gone:
            before = read_pools(self.tx, self.estate.shared_pools)
            recompute_pools(self.tx, project_id, now=self.now)
            self._events += overdraft_events(self.tx, self.estate, before, self.now)
        if changed or gone or self._estate_changed:
            next_revision(self.tx, project_id)
        write_events(self.tx, self._events)


def under_lock(project: str, work: Callable[[LicenseChanges], T], *, caller: str, reason: str = "") -> Work[T]:
    """Make work on the licenses of a project, to be done in a transaction under the project's lock.
    Raises UnknownProjectError if there is no such project."""
    return lambda tx, estates, time: work(LicenseChanges(tx, estates, project, caller=caller, reason=reason, time=time))


def plain(license: License) -> dict[str, Any]:
    """Return a license in the form that the audit keeps, before or after a change."""
    return {
        "type": license.type.printed(version=license.version, tier=license.tier),
        "quantity": license.quantity,
        "device": license.device.name if license.device else "",
        "binding": license.binding,
        "releasing": license.release.in_use.name if license.release else "",
        "held_until": _moment(license.held_until),
        "agreement_ends": _moment(license.agreement_ends_at),
        "use_ends": _moment(license.agreed.ends_at if license.agreed else None),
    }


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
