"""How many seats a PBX may hold ahead of need: by its recent use, and only of seats that nobody else needs.

A block follows demand: twice what was acquired since the last renewal, or half of what lies idle, whichever is more,
so that an unused block is gone after a few renewals. It is made of half of what is free beyond a tenth of the pool:
that tenth is for those who ask, so nobody is refused for lack of an idle seat unless the pool loses a tenth between
two renewals; and as the pool runs short, blocks shrink to nothing. Where the pool has to become smaller, blocks shrink
first (`shrink.py`).
"""

from __future__ import annotations

KEPT_FOR_OTHERS = 10
"""The part of a pool that no block is made of, as a divisor: a tenth."""


def seats_ahead(*, acquired: int, idle: int, left: int, capacity: int, most: int) -> int:
    """Return how many seats a PBX may hold ahead of need from now on.

    Args:
        acquired: seats that the PBX began to use since the last renewal.
        idle: seats counted for the PBX that it does not use.
        left: seats that may still be counted for the PBX; negative where the pool holds more than is to stay.
        capacity: licenses of the pool.
        most: the most seats that the policy allows.
    """
    kept = -(-capacity // KEPT_FOR_OTHERS)
    wanted = max(2 * acquired, idle // 2)
    return max(min(wanted, most, (left + idle - kept) // 2), 0)
