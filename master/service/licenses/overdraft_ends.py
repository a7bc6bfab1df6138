"""Takes back the seats that are granted above what is installed once the budget of their overdraft is spent.

In the order of `domain/allocation/shrink.py`, by the ways of releases: a seat counts until its PBX has given it back.
Until then the pool stays overdrawn, and nothing of its budget comes back.
"""

from __future__ import annotations

from collections.abc import Iterator

from master.domain.allocation.overdraft import NO_OVERDRAFT, budget_left
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.license_release import InUse
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.licenses.license_changes import LicenseChanges
from master.service.licenses.revocation import shrink
from master.store.backends.database import Tx
from master.store.statements import licenses as store
from master.store.statements.seats import read_pools


def projects_with_spent_overdrafts(tx: Tx, estates: EstateCache, time: LeaseTime) -> list[str]:
    """Projects with seats that are to be taken back and are not yet, by name."""
    return [name for name in store.overdrawn_projects(tx) if any(_spent(tx, read_estate(tx, estates, name), time))]


def take_back_overdrawn(tx: Tx, estates: EstateCache, project: str, *, caller: str, time: LeaseTime) -> int:
    """Take back what is overdrawn without a budget in one project; how many seats of the pools that was."""
    changes = LicenseChanges(tx, estates, project, caller=caller, reason="", time=time)
    taken = 0
    for pool_id, capacity in list(_spent(tx, changes.estate, time)):
        revoked = shrink(changes, pool_id, capacity, InUse.REVOKE).seats
        details = {"type": changes.estate.type_of_pool(pool_id), "seats_revoked": revoked}
        changes.event("pool.overdraft_spent", {"device": changes.estate.pool_devices[pool_id].name, **details})
        taken += revoked
    changes.write()
    return taken


def _spent(tx: Tx, estate: Estate, time: LeaseTime) -> Iterator[tuple[int, int]]:
    """(Pool id, licenses) of pools that are overdrawn without a budget, by more than is taken back already."""
    for pool_id, pool in sorted(read_pools(tx, estate.shared_pools).items()):
        policy = estate.overdraft_of(pool_id) or NO_OVERDRAFT
        if not pool.overdrawn or budget_left(policy, pool.account, time.now):
            continue
        if pool.overdrawn > len(store.revoked_of_pool(tx, pool_id)):
            yield pool_id, pool.capacity
