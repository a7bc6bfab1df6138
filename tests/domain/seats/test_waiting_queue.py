"""A queue under random histories: newcomers and waiters of several sites, one pool, reserves and maxima."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import NO_RULES, Allocation, AllocationRule, QueuePolicy
from master.domain.allocation.pool_division import PoolDivision
from master.domain.allocation.waiting_line import Waiter
from master.domain.seats.seats import Want
from master.domain.seats.waiting_queue import Unread, WaitingQueue

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
        assert sorted(queue.places(queue.waiters, division).values()) == list(range(1, len(queue) + 1))


WAITERS = st.lists(
    st.tuples(st.sampled_from(sorted(PBXS)), st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=30
)


@given(WAITERS, st.sampled_from(sorted(PBXS)), st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_the_first_of_each_pbx_are_enough(
    asked: list[tuple[int, int, int, bool]], asking: int, free: int, free_max: int, divided: bool
) -> None:
    """A queue of which only the first of each PBX were read decides as the whole queue, and beyond what was foreseen
    never in favour of whoever asks."""
    policy = QueuePolicy(length_max=100, express_seats_max=2, patience_seconds=2)
    rules = ALLOCATION.rules_at("port", NOW, SITES) if divided else None
    division = PoolDivision(rules or NO_RULES, PBXS, {})
    waiting = [
        (Waiter(pbx, PBXS[pbx], want[:3], NOW - age, call_seats, is_there), want, number)
        for number, (pbx, age, call_seats, is_there) in enumerate(asked, 1)
        for want in (Want("port", HolderKind.USER, f"h{number}"),)
    ]
    whole = WaitingQueue(policy, waiting, NOW)
    read = [line for line in waiting if line[0].pbx_id == asking]
    for pbx in PBXS.keys() - {asking}:
        there = [line for line in waiting if line[0].pbx_id == pbx and line[0].is_there]
        read += sorted(there, key=lambda line: _turn(line[0], policy))[:free_max]
    unread = [line[0] for line in waiting if line not in read]
    part = WaitingQueue(policy, read, NOW, Unread(len(unread), free_max))
    assert len(part) == len(whole)
    assert part.first_in_turn == whole.first_in_turn + sum(not waiter.is_there for waiter in unread)
    for key in [None, *(line[0].key for line in read if line[0].pbx_id == asking)]:
        left, left_of_whole = (queue.left_for(asking, key, free, division) for queue in (part, whole))
        assert left == left_of_whole if free <= free_max or not unread else left <= left_of_whole


def _turn(waiter: Waiter, policy: QueuePolicy) -> tuple[int, float, str]:
    if NOW - waiter.asked_at > policy.patience_seconds:
        return 0, waiter.asked_at, waiter.key[2]
    return 1 if waiter.call_seats <= policy.express_seats_max else 2, waiter.asked_at, waiter.key[2]
