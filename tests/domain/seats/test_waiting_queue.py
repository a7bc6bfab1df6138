"""A queue under random histories: newcomers and waiters of several sites, one pool, reserves and maxima."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import NO_RULES, Allocation, AllocationRule, QueuePolicy
from master.domain.allocation.pool_division import PoolDivision
from master.domain.allocation.waiting_line import Waiter
from master.domain.seats.seats import Want
from master.domain.seats.waiting_queue import WaitingQueue

SITES = ("berlin", "oslo", "rome")
PBXS = dict(enumerate(SITES, 1))
CAPACITY = 6
NOW = 1000.0
ALLOCATION = Allocation(
    rules=(
        AllocationRule(name="keep", site="berlin", reserve={"port": 2}),
        AllocationRule(name="most", site="rome", maximum={"port": 3}),
        AllocationRule(name="first", site="oslo", priority={"port": 1}),
    )
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["wait", "ask", "return", "give up", "hand on"]), st.sampled_from(sorted(PBXS))),
    max_size=40,
)


@given(STEPS, st.booleans())
def test_newcomers_take_only_what_waiters_leave(steps: list[tuple[str, int]], divided: bool) -> None:
    rules = ALLOCATION.rules_at("port", NOW, SITES) if divided else None
    division = PoolDivision(rules or NO_RULES, PBXS, {})
    queue = WaitingQueue(QueuePolicy(length_max=100), (), NOW)
    held = dict.fromkeys(PBXS, 0)

    def take(pbx: int) -> None:
        held[pbx] += 1
        division.count(pbx, 1)
        queue.changed()

    for number, (step, pbx) in enumerate(steps):
        free = CAPACITY - sum(held.values())
        want = Want("port", HolderKind.USER, f"h{number}")
        own = [name for name in queue.waiters if name[0] == pbx]
        match step:
            case "wait" if not queue.left_for(pbx, want.key, free, division):
                queue.join(Waiter(pbx, PBXS[pbx], want[:3], NOW + number, 1, is_there=True), want)
            case "ask" if queue.left_for(pbx, want.key, free, division):
                served = [waiter.pbx_id for waiter in queue.turns(free, division).served]
                take(pbx)
                still = [waiter.pbx_id for waiter in queue.turns(free - 1, division).served]
                assert sorted(still) == sorted(served), "a newcomer took what a waiter would have got"
            case "return" if held[pbx]:
                held[pbx] -= 1
                division.count(pbx, -1)
                queue.changed()
            case "give up" if own:
                queue.leave(pbx, [own[0][1]])
            case "hand on":
                for waiter in list(queue.turns(free, division).served):
                    name = waiter.pbx_id, waiter.key
                    assert queue.left_for(*name, CAPACITY - sum(held.values()), division) == 1, (
                        "its turn is passed over"
                    )
                    queue.leave(waiter.pbx_id, [waiter.key])
                    take(waiter.pbx_id)
                left = CAPACITY - sum(held.values())
                assert not any(division.left_for(waiter.pbx_id, left) for waiter in queue.waiters.values())
            case _:
                pass
        assert 0 <= sum(held.values()) <= CAPACITY
        assert sorted(queue.places(division).values()) == list(range(1, len(queue) + 1))
