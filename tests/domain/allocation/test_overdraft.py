"""The arithmetic of budgets, for any history of seats and any clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.domain.allocation import overdraft
from master.domain.allocation.overdraft import NOTHING_OVERDRAWN, NOTICE_SECONDS, Overdraft, OverdraftAccount
from master.domain.allocation.policies import OverdraftPolicy

policies = st.builds(
    OverdraftPolicy,
    seats=st.integers(1, 50),
    budget_seat_hours=st.integers(1, 200),
    refill_seat_hours_per_day=st.integers(0, 500),
)
steps = st.lists(st.tuples(st.floats(-90_000, 90_000), st.integers(0, 60)), max_size=30)
"""How the clock moves, and how many seats are wanted above what is installed then."""


@given(policies, steps)
def test_grants_stay_within_the_policy_and_its_budget(policy: OverdraftPolicy, steps: list[tuple[float, int]]) -> None:
    account, now = NOTHING_OVERDRAWN, 1e9
    for moved, wanted in steps:
        before, now = account, now + moved
        left = overdraft.budget_left(policy, account, now)
        assert 0 <= left <= overdraft.budget_of(policy)
        if before.overdrawn:
            assert left <= overdraft.budget_left(policy, before, before.at), "nothing comes back while it is overdrawn"
        allowed = overdraft.overdraft_allowed(policy, account, now)
        overdrawn = min(wanted, max(allowed, account.overdrawn))
        if overdrawn > account.overdrawn:
            assert overdrawn <= policy.seats
            assert left >= overdrawn * NOTICE_SECONDS, "it lasts so long for all"
        settled = account.settled(policy, now)
        account = (settled if not account.overdrawn else account).become(overdrawn, now)
        after = overdraft.budget_left(policy, account, now)
        assert abs(after - left) < 1e-3, "that seats come and go at a moment changes no budget"
        assert account.at >= before.at, "no time is counted twice"


@given(policies, st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 50))
def test_what_is_told_of_the_future_comes_true(
    policy: OverdraftPolicy, spent: float, passed: float, overdrawn: int
) -> None:
    now = 1e9 + passed
    account = OverdraftAccount(overdrawn, spent, 1e9)
    told = Overdraft.of(policy, account, now)
    assert told is not None
    if told.spent_at is not None:
        assert overdraft.budget_left(policy, account, told.spent_at + 1e-3) < 1.0
    if told.allowed_at is not None:
        assert overdraft.overdraft_allowed(policy, account, told.allowed_at + 1e-3) >= 1
    if not overdrawn and told.full_at is not None:
        assert abs(overdraft.budget_left(policy, account, told.full_at) - overdraft.budget_of(policy)) < 1.0


def test_a_clock_that_is_set_back_fills_nothing_up() -> None:
    policy = OverdraftPolicy(seats=5, budget_seat_hours=10, refill_seat_hours_per_day=24)
    account = OverdraftAccount(0, 36_000.0, 1e9)
    assert overdraft.budget_left(policy, account, 1e9 - 50_000) == 0.0
    later = account.settled(policy, 1e9 - 50_000)
    assert later.at == 1e9, "nor is the time counted twice once it is right again"
    assert overdraft.budget_left(policy, later, 1e9 + 3600) == 3600.0
