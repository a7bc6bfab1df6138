"""Whether counters agree with the rows that they count; `license-master db check` and the tests ask."""

from __future__ import annotations

from collections import Counter

from master.store.backends.database import Tx
from master.store.statements.queries import seats_by_pool


def counter_mismatches(tx: Tx) -> list[str]:
    """Return the pools whose counters differ from their seats and claims, in words; empty where all are right."""
    held = seats_by_pool(tx)
    claimed = _claims_by_pool(tx)
    rows = tx.rows("SELECT pool_id, pbx_id, seats, counted FROM pool_usage WHERE seats <> 0 OR counted <> 0")
    usage = {(row[0], row[1]): (row[2], row[3]) for row in rows}
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
    for pool_id, used, capacity, overdrawn in tx.rows("SELECT id, used, capacity, overdrawn FROM pool"):
        if overdrawn != max(used - capacity, 0):
            mismatches.append(f"pool {pool_id}: {overdrawn} overdrawn, {used} of {capacity} are counted")
        if used != by_pool[pool_id]:
            mismatches.append(f"pool {pool_id}: counted {used} of {capacity}, there are {by_pool[pool_id]}")
    unmarked = tx.rows(
        "SELECT DISTINCT claim.pbx_id FROM claim LEFT JOIN lease ON lease.pbx_id = claim.pbx_id"
        " WHERE NOT COALESCE(lease.claimed, FALSE)"
    )
    mismatches += [f"PBX {row[0]}: there are claims in its name that its lease does not know of" for row in unmarked]
    return mismatches + _queue_mismatches(tx)


def _queue_mismatches(tx: Tx) -> list[str]:
    waiting = tx.rows(
        "SELECT pbx.project_id, waiter.type, COUNT(*) FROM waiter JOIN pbx ON pbx.id = waiter.pbx_id"
        " WHERE waiter.place > 0 GROUP BY pbx.project_id, waiter.type"
    )
    right = {(row[0], row[1]): row[2] for row in waiting}
    counted = {(row[0], row[1]): row[2] for row in tx.rows("SELECT project_id, type, waiting FROM seat_queue")}
    return [
        f"project {queue[0]}, {queue[1]}: {counted.get(queue, 0)} are counted as waited for, {right.get(queue, 0)} are"
        for queue in sorted(right.keys() | counted.keys())
        if right.get(queue, 0) != counted.get(queue, 0)
    ]


def _claims_by_pool(tx: Tx) -> dict[tuple[int, int], int]:
    """Return the highest claim by (pool id, PBX id), in seats."""
    rows = tx.rows("SELECT pool_id, pbx_id, MAX(seats) FROM claim GROUP BY pool_id, pbx_id")
    return {(row[0], row[1]): int(row[2]) for row in rows}
