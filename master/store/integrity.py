"""Whether what is counted agrees with what is there; `license-master db check` and the tests ask."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from master.store import tables as t
from master.store.database import Tx
from master.store.queries import seats_by_pool


def counter_mismatches(tx: Tx) -> list[str]:
    """Every pool whose counters differ from its seats, in words; empty where all is right."""
    counted = seats_by_pool(tx)
    usage = {
        (row.pool_id, row.pbx_id): row.seats
        for row in tx.connection.execute(select(t.pool_usage).where(t.pool_usage.c.seats != 0))
    }
    found = [
        f"pool {pool[0]}, PBX {pool[1]}: counted {usage.get(pool, 0)}, there are {counted.get(pool, 0)}"
        for pool in sorted(usage.keys() | counted.keys())
        if usage.get(pool, 0) != counted.get(pool, 0)
    ]
    by_pool: Counter[int] = Counter()
    for (pool_id, _), seats in counted.items():
        by_pool[pool_id] += seats
    for row in tx.connection.execute(select(t.pool.c.id, t.pool.c.used, t.pool.c.capacity)):
        if row.used != by_pool[row.id] or row.used > row.capacity:
            found.append(f"pool {row.id}: counted {row.used} of {row.capacity}, there are {by_pool[row.id]}")
    return found
