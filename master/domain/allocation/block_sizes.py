"""How many seats a PBX may hold ahead of need: by what it used lately, and only of what nobody misses.

A block follows demand: twice what was acquired since the last renewal, or half of what lies idle, whichever is more, so
that one that is not used is gone after a few renewals. It is made of half of what is free beyond a tenth of the pool:
that tenth is for those who ask, so nobody is refused for want of an idle seat unless the pool loses a tenth between
two renewals; and as the pool runs short, blocks shrink to nothing. Where the pool has to become smaller, they are the
first to do (`shrink.py`).
"""

from __future__ import annotations

KEPT_FOR_OTHERS = 10
"""The part of a pool that no block is made of: a tenth."""


def seats_ahead(*, acquired: int, idle: int, left: int, capacity: int, most: int) -> int:
    """How many seats a PBX may hold ahead of need from now on.

    Args:
        acquired: seats that it began to use since it was last asked.
        idle: seats counted for it that it does not use.
        left: how many more may be counted for it; less than none where the pool holds more than is to stay.
        capacity: licenses of the pool.
        most: what the policy allows.
    """
    kept = -(-capacity // KEPT_FOR_OTHERS)
    wanted = max(2 * acquired, idle // 2)
    return max(min(wanted, most, (left + idle - kept) // 2), 0)
