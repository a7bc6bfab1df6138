"""Random histories of an overdrawn pool: never above what was granted, and its budget as counted from scratch."""

from __future__ import annotations

import random

import pytest

from tests.rules.allocation.test_overdraft import HOUR, overdraft, ports
from tests.support.databases.truth import mismatches
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import divided, opened, seat
from tests.support.projects.allocations import lay_down
from tests.support.projects.estates import project

SITES = {"rome": "slave 12 gateway"}
SEATS, BUDGET, REFILL = 4, 12, 48
STEPS = 40


@pytest.mark.parametrize("seed", range(3))
async def test_any_history(any_master: InProcess, database_url: str, seed: int) -> None:
    rng, capacity, spent, held, number = random.Random(seed), 5, 0.0, list[str](), 0
    await any_master.wire.apply(project({"PBX-Port12": capacity}, pbxs=SITES, ttl_seconds=86_400))
    await lay_down(any_master.wire, overdraft(SEATS, BUDGET, REFILL))
    rome = await opened(any_master.wire, "rome")
    for _ in range(STEPS):
        before = max(len(held) - capacity, 0)
        match rng.choice(["acquire", "acquire", "return", "wait", "wait", "licenses", "clock"]):
            case "acquire":
                wanted = [f"phone-{number + index}" for index in range(rng.randint(1, 6))]
                number += len(wanted)
                count, _refused = divided(await rome.acquire(*(seat("port", holder) for holder in wanted)))
                held += wanted[:count]
                left = BUDGET - spent / HOUR
                allowed = max(capacity - len(held) + count, 0) + max(min(SEATS, int(left + 1e-6)) - before, 0)
                assert count == min(len(wanted), allowed)
            case "return" if held:
                back = [held.pop(rng.randrange(len(held))) for _ in range(rng.randint(1, len(held)))]
                await rome.give_back(*(seat("port", holder) for holder in back))
            case "wait":
                spent = _after(spent, before, seconds := rng.choice([60, 600, 1800, 3600, 9000]))
                any_master.clock.advance(seconds)
            case "clock":
                spent = _after(spent, before, seconds := rng.choice([60, 7200]))
                any_master.clock.set_forward(seconds)
            case "licenses":
                more = rng.randint(min(capacity, len(held)), capacity + 2)
                await any_master.wire.apply(project({"PBX-Port12": more}, pbxs=SITES, ttl_seconds=86_400))
                capacity = more
            case _:
                pass
        await rome.renew()
        pool = await ports(any_master.wire)
        assert (pool.capacity, pool.overdraft.seats) == (capacity, max(len(held) - capacity, 0))
        assert pool.overdraft.seats <= SEATS
        assert pool.overdraft.budget_left_seat_hours == pytest.approx(BUDGET - spent / HOUR, abs=1e-6)
    assert await mismatches(database_url) == []


def _after(spent: float, overdrawn: int, seconds: float) -> float:
    """Seat seconds spent after a while: more while something is overdrawn, fewer only while nothing is."""
    if overdrawn:
        return min(spent + overdrawn * seconds, BUDGET * HOUR)
    return max(spent - REFILL * HOUR * seconds / 86_400, 0.0)
