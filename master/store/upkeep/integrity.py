"""Whether what is counted agrees with what is there; `license-master db check` and the tests ask."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select

from master.store import tables as t
from master.store.backends.database import Tx
from master.store.statements.queries import seats_by_pool


def counter_mismatches(tx: Tx) -> list[str]:
    """Every pool whose counters differ from its seats and claims, in words; empty where all is right."""
    held = seats_by_pool(tx)
    claimed = _claims_by_pool(tx)
    usage = {
        (row.pool_id, row.pbx_id): (row.seats, row.counted)
        for row in tx.connection.execute(
            select(t.pool_usage).where((t.pool_usage.c.seats != 0) | (t.pool_usage.c.counted != 0))
        )
    }
    mismatches = []
    by_pool: Counter[int] = Counter()
    for pool in sorted(usage.keys() | held.keys() | claimed.keys()):
        seats, counted = usage.get(pool, (0, 0))
        if seats != held.get(pool, 0):
            mismatches.append(f"pool {pool[0]}, PBX {pool[1]}: counted {seats}, there are {held.get(pool, 0)}")
        right = max(held.get(pool, 0), claimed.get(pool, 0))
        if counted != right:
            mismatches.append(
                f"pool {pool[0]}, PBX {pool[1]}: {counted} counted with its claims, {right} would be right"
            )
        by_pool[pool[0]] += right
    for row in tx.connection.execute(select(t.pool.c.id, t.pool.c.used, t.pool.c.capacity, t.pool.c.overdrawn)):
        if row.overdrawn != max(row.used - row.capacity, 0):
            mismatches.append(f"pool {row.id}: {row.overdrawn} overdrawn, {row.used} of {row.capacity} are counted")
        if row.used != by_pool[row.id]:
            mismatches.append(f"pool {row.id}: counted {row.used} of {row.capacity}, there are {by_pool[row.id]}")
    unmarked = (
        select(t.claim.c.pbx_id)
        .distinct()
        .outerjoin(t.lease, t.lease.c.pbx_id == t.claim.c.pbx_id)
        .where(func.coalesce(t.lease.c.claimed, False).is_(False))
    )
    mismatches += [f"PBX {pbx_id}: there are claims in its name that its lease does not know of" for (pbx_id,) in
              tx.connection.execute(unmarked)]  # fmt: skip
    return mismatches + _queue_mismatches(tx)


def _queue_mismatches(tx: Tx) -> list[str]:
    waiting = select(t.pbx.c.project_id, t.waiter.c.type, func.count()).join(t.pbx, t.pbx.c.id == t.waiter.c.pbx_id)
    waiting = waiting.where(t.waiter.c.place > 0).group_by(t.pbx.c.project_id, t.waiter.c.type)
    right = {(row[0], row[1]): row[2] for row in tx.connection.execute(waiting)}
    counted = {(row[0], row[1]): row[2] for row in tx.connection.execute(select(t.seat_queue))}
    return [
        f"project {queue[0]}, {queue[1]}: {counted.get(queue, 0)} are counted as waited for, {right.get(queue, 0)} are"
        for queue in sorted(right.keys() | counted.keys())
        if right.get(queue, 0) != counted.get(queue, 0)
    ]


def _claims_by_pool(tx: Tx) -> dict[tuple[int, int], int]:
    """The highest claim by (pool id, PBX id)."""
    query = select(t.claim.c.pool_id, t.claim.c.pbx_id, func.max(t.claim.c.seats)).group_by(
        t.claim.c.pool_id, t.claim.c.pbx_id
    )
    return {(row[0], row[1]): int(row[2]) for row in tx.connection.execute(query)}
