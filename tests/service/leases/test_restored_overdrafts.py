"""A pool that was overdrawn when its database was backed up: what is known of its overdraft after a restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rules.allocation.test_overdraft import overdraft, ports
from tests.service.leases.restored import Site, pool_of_100, restored, right, serving, status_of
from tests.support.projects.allocations import lay_down

if TYPE_CHECKING:
    from tests.support.databases.restoring import BackUp
    from tests.support.masters import Clock


async def test_after_a_restore_the_budget_counts_as_spent(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
        await lay_down(master.wire, overdraft(5, 50, 24))
        berlin = await Site(master, "berlin").start(103)
        assert (await ports(master.wire)).overdraft.seats == 3
    backup = await back_up(database_url)
    async with restored(backup, clock) as master:
        await berlin.return_to(master)
        pool = await ports(master.wire)
        assert (pool.overdraft.seats, pool.overdraft.budget_left_seat_hours) == (0, 0)
        assert (await status_of(master)).learning.seats_unplaced == 3
        await right(backup)
