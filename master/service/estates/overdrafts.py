"""Which pools of a project are overdrawn now, as its PBXs are to hear it, and what the audit tells of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping

from master.domain.allocation.overdraft import NO_OVERDRAFT, Overdraft, OverdraftAccount, budget_left
from master.domain.estate.estate import Estate
from master.domain.monitoring.policy_uses import OVERDRAFT_ENDED, OVERDRAWN
from master.domain.seats.seat_working_set import PoolScore
from master.store.backends.database import Tx, json_text
from master.store.statements.events import Event
from master.store.statements.seats import read_pools

_CALLER = "master:overdraft"


def overdrawn_pools(tx: Tx, estate: Estate, now: float) -> Mapping[int, Overdraft]:
    """Return how many seats the overdrawn shared pools of a project are above what is installed, by pool id; lock
    nothing.

    Read only where an operator allows any.
    """
    allowed = [pool_id for pool_id in estate.shared_pools if estate.overdraft_of(pool_id) is not None]
    overdrawn: dict[int, Overdraft] = {}
    for pool_id, pool in read_pools(tx, allowed).items() if allowed else ():
        overdraft = Overdraft.of(estate.overdraft_of(pool_id), pool.account, now)
        if overdraft is not None and overdraft.seats:
            overdrawn[pool_id] = overdraft
    return overdrawn


def overdraft_event(estate: Estate, pool_id: int, before: int, account: OverdraftAccount, now: float) -> Event:
    """Make the event that says how many seats of a pool are now above what is installed, and how many were before."""
    policy = estate.overdraft_of(pool_id) or NO_OVERDRAFT
    details = {
        "device": estate.pool_devices[pool_id].name,
        "type": estate.shared_pools[pool_id],
        "overdrawn_before": before,
        "overdrawn": account.overdrawn,
        "budget_left_seat_hours": round(budget_left(policy, account, now) / 3600, 3),
    }
    kind = OVERDRAWN if account.overdrawn else OVERDRAFT_ENDED
    return Event(now, estate.project_id, "", kind, _CALLER, None, json_text(details))


def overdraft_events(
    tx: Tx,
    estate: Estate,
    before: Mapping[int, PoolScore],
    now: float,
    *,
    is_told: Callable[[int, int], bool] = operator.ne,
) -> Iterator[Event]:
    """Make that event for each pool of an estate, by id, whose number of overdrawn seats has changed, or which
    `is_told` chooses by the numbers before and now.
    """
    for pool_id, pool in sorted(read_pools(tx, before).items()):
        if is_told(was := before[pool_id].account.overdrawn, pool.account.overdrawn):
            yield overdraft_event(estate, pool_id, was, pool.account, now)
