"""Which pools of a project are overdrawn now, as its PBXs are to hear it; read only where an operator allows any."""

from __future__ import annotations

from collections.abc import Mapping

from master.domain.allocation.overdraft import Overdraft
from master.domain.estate.estate import Estate
from master.store.backends.database import Tx
from master.store.statements.seats import read_pools


def overdrawn_pools(tx: Tx, estate: Estate, now: float) -> Mapping[int, Overdraft]:
    """How far the shared pools of a project are above what is installed, by pool id; those that are; without locks."""
    allowed = [pool_id for pool_id in estate.shared_pools if estate.overdraft_of(pool_id) is not None]
    overdrawn: dict[int, Overdraft] = {}
    for pool_id, pool in read_pools(tx, allowed).items() if allowed else ():
        overdraft = Overdraft.of(estate.overdraft_of(pool_id), pool.account, now)
        if overdraft is not None and overdraft.seats:
            overdrawn[pool_id] = overdraft
    return overdrawn
