"""Takes back the seats of pools that hold more than is to stay, as long as they do.

That is where licenses leave with their seats taken away (L5, P1, R3), and where the budget of an overdraft is spent.
What lies idle is left to go by itself, and may be used before it has; so pools are looked at again and again. In the
order of `domain/allocation/shrink.py`, by the ways of releases: a seat counts until its PBX has given it back. Until
then an overdrawn pool stays overdrawn, and nothing of its budget comes back.
"""

from __future__ import annotations

from collections.abc import Iterator

from master.domain.allocation.overdraft import NO_OVERDRAFT, budget_left
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.license_release import InUse
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.licenses.license_changes import LicenseChanges
from master.service.licenses.revocation import excess, shrink
from master.store.backends.database import Tx
from master.store.statements import licenses as store
from master.store.statements.seats import read_pools


def projects_with_shrinking_pools(tx: Tx, estates: EstateCache, time: LeaseTime) -> list[str]:
    """Return the names of projects with seats that must be taken back and are not yet."""
    concerned = {*store.overdrawn_projects(tx), *store.projects_with_releases_that_take_seats(tx)}
    return [name for name in sorted(concerned) if any(_shrinking(tx, read_estate(tx, estates, name), time))]


def shrink_pools(changes: LicenseChanges) -> int:
    """Take back the seats of one project's pools that must be taken back; return how many seats."""
    taken = 0
    for pool_id, stays, is_overdrawn in list(_shrinking(changes.tx, changes.estate, changes.time)):
        revoked = shrink(changes, pool_id, stays, InUse.REVOKE).seats
        if is_overdrawn:
            details = {"type": changes.estate.type_of_pool(pool_id), "seats_revoked": revoked}
            changes.event("pool.overdraft_spent", {"device": changes.estate.pool_devices[pool_id].name, **details})
        taken += revoked
    changes.write()
    return taken


def _shrinking(tx: Tx, estate: Estate, time: LeaseTime) -> Iterator[tuple[int, int, bool]]:
    """Yield (pool id, seats that may stay, whether the pool is overdrawn without a budget) of pools that hold more."""
    if estate.learns(time.ends_by):  # what is out is not known yet
        return
    staying: dict[int, int] = {}
    for license in estate.licenses:
        if license.takes_seats and license.device is not None:
            device_id, key = license.device.id, license.type.key
            staying[estate.pool_ids.get((device_id, key), 0)] = estate.installations[device_id].seats_staying(key)
    for pool_id, pool in sorted(read_pools(tx, {*estate.shared_pools, *staying}).items()):
        policy = estate.overdraft_of(pool_id) or NO_OVERDRAFT
        is_spent = bool(pool.overdrawn) and not budget_left(policy, pool.account, time.now)
        stays = staying.get(pool_id, pool.capacity)
        if (is_spent or pool_id in staying) and excess(tx, estate.project_id, pool_id, used=pool.used, stays=stays) > 0:
            yield pool_id, stays, is_spent
