"""Who waits for seats, as operators see it: in the order of their turns, type by type."""

from __future__ import annotations

from master.domain.allocation.waiting_line import Waiter, in_line
from master.domain.estate.estate import Estate
from master.service.batch.prefetch import read_queue
from master.service.runtime.names import type_asked_for
from master.store.backends.database import Tx
from master.values import Value

_NAMED_MAX = 1000
"""How many waiting seats of each license type are listed."""


class WaitingSeat(Value):
    """A waiting seat and its place."""

    pbx: str
    waiter: Waiter
    place: int


class WaitingList(Value):
    """Who waits, by license type and place, and how many wait in all."""

    waiting: tuple[WaitingSeat, ...]
    total: int


def read_waiting(tx: Tx, estate: Estate, license_type: str, *, now: float) -> WaitingList:
    """Return who waits for a license type, or for any type where none is named; `now` is UNIX seconds.
    Raises UnknownNameError if there is no such type."""
    waiting, total = list[WaitingSeat](), 0
    key = type_asked_for(estate.catalog, license_type)
    for pool_id, type_key in sorted(estate.shared_pools.items(), key=lambda pair: pair[1]):
        if type_key not in estate.allocation.queues or key not in ("", type_key):
            continue
        queue, division = read_queue(tx, estate, pool_id, now=now)
        total += len(queue)
        ordered = in_line(queue.waiters.values(), queue.policy, division, now=now)
        waiting += [
            WaitingSeat(estate.pbxs[waiter.pbx_id].name, waiter, place)
            for place, waiter in enumerate(ordered[:_NAMED_MAX], 1)
        ]
    return WaitingList(tuple(waiting), total)
