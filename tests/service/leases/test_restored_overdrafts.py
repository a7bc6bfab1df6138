"""A pool that was overdrawn when its database was backed up: what is known of its overdraft after a restore."""

from __future__ import annotations

import json

from tests.rules.allocation.test_overdraft import overdraft, ports
from tests.rules.asking import status
from tests.service.leases.restored import Site, pool_of_100, restored, right, serving
from tests.service.leases.test_restored_loans import borrow
from tests.support.databases.restoring import BackUp
from tests.support.databases.truth import all_events
from tests.support.masters import Clock, InProcess
from tests.support.projects.allocations import lay_down


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
        assert (await status(master.wire)).learning.seats_unplaced == 3
        await right(backup)


async def told(master: InProcess, kind: str) -> tuple[int, int, float]:
    """What the newest event of a kind tells: what was overdrawn, what is, and what is left of the budget."""
    details = json.loads((await all_events(master.wire, kind))[0].details)
    return details["overdrawn_before"], details["overdrawn"], details["budget_left_seat_hours"]


async def test_the_audit_tells_what_a_restore_leaves_of_an_overdraft(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    """Seats are set aside, loans stay counted, also above what is installed."""
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
        may_borrow = overdraft(5, 50, 24)
        may_borrow.loan_days_max = 30
        await lay_down(master.wire, may_borrow)
        berlin = await Site(master, "berlin").start(103)
    seats_alone = await back_up(database_url)
    async with serving(database_url, clock) as master:
        await borrow(master, berlin, 102)
    with_loan = await back_up(database_url)
    async with restored(seats_alone, clock) as master:
        assert await told(master, "pool.overdraft_ended") == (3, 0, 0)
    async with restored(with_loan, clock) as master:
        assert await told(master, "pool.overdrawn") == (3, 2, 0)
        assert (await ports(master.wire)).overdraft.seats == 2
        await right(with_loan)
