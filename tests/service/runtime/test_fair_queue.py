"""Who is served next: fair between lanes by what they cost, leases first, nobody starves, and what waits is bounded."""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any

import pytest

from master.service.runtime.fair_queue import FairQueue, Load, QueueLimits, Urgency

ACQUIRE, RETURN, LEASE = Urgency.ACQUIRE, Urgency.RETURN, Urgency.LEASE
Queue = FairQueue[str]


@pytest.fixture
def queue() -> Queue:
    return _queue()


def _queue(*, length_max: int = 1000, seats_max: int = 10**9, bytes_max: int = 10**9) -> Queue:
    return FairQueue(QueueLimits(length_max, seats_max, bytes_max))


def _put(queue: Queue, item: str, seats: int = 1, urgency: Urgency = ACQUIRE, size: int = 0) -> list[str]:
    """The lane is what stands before the hyphen."""
    return queue.put(item, lane=item.partition("-")[0], urgency=urgency, load=Load(seats, size))


def _flood(queue: Queue, lane: str, count: int, seats: int = 10_000, urgency: Urgency = ACQUIRE) -> None:
    for number in range(count):
        assert not _put(queue, f"{lane}-{number}", seats, urgency)


def test_what_fits_is_served_at_once_in_the_order_of_arrival(queue: Queue) -> None:
    for item in ("a-1", "b-1", "a-2", "c-1"):
        _put(queue, item, 10)
    _put(queue, "a-3", urgency=LEASE)
    assert queue.take(100) == ["a-1", "b-1", "a-2", "c-1", "a-3"]
    assert len(queue) == queue.seats == 0


def test_one_lane_keeps_its_order_whatever_is_more_urgent(queue: Queue) -> None:
    for item, urgency in (("a-open", LEASE), ("a-acquire", ACQUIRE), ("a-return", RETURN), ("a-close", LEASE)):
        _put(queue, item, 60, urgency)
    served = [item for _ in range(4) for item in queue.take(1)]
    assert served == ["a-open", "a-acquire", "a-return", "a-close"]


@pytest.mark.parametrize("urgency", [ACQUIRE, RETURN, LEASE])
def test_a_flood_of_one_lane_delays_no_other(queue: Queue, urgency: Urgency) -> None:
    """What others ask is in the next batch, but for what is there already."""
    _flood(queue, "mad", 300, urgency=urgency)
    assert queue.take(4000) == ["mad-0"]
    _put(queue, "b-1", 10, urgency)
    _put(queue, "c-1", 20, urgency)
    assert queue.take(4000) == ["b-1", "c-1"]
    assert queue.take(4000) == ["mad-1"]


def test_lanes_that_want_much_get_equal_shares_in_seats(queue: Queue) -> None:
    _flood(queue, "mad", 100, seats=1000)
    _flood(queue, "busy", 400, seats=100)
    served: Counter[str] = Counter()
    for _ in range(20):
        for item in queue.take(1000):
            served[item.partition("-")[0]] += 1000 if item.startswith("mad") else 100
    assert abs(served["mad"] - served["busy"]) <= 1000, served


def test_who_comes_back_at_once_waits_its_turn(queue: Queue) -> None:
    """One large request at a time is no way round it."""
    _put(queue, "mad-0", 10_000)
    assert queue.take(4000) == ["mad-0"]
    _put(queue, "mad-1", 10_000)
    _flood(queue, "b", 3, seats=3000)
    assert [queue.take(4000) for _ in range(4)] == [["b-0"], ["b-1"], ["b-2"], ["mad-1"]]


def test_after_a_rest_all_are_equal_again(queue: Queue) -> None:
    _put(queue, "mad-0", 10_000)
    queue.take(4000)
    queue.rest()
    _put(queue, "mad-1", 4000)
    _put(queue, "b-0", 4000)
    assert queue.take(4000) == ["mad-1"]


def test_leases_come_first_then_returns_and_none_starves_another(queue: Queue) -> None:
    _flood(queue, "acquirer", 3)
    _flood(queue, "returner", 3, urgency=RETURN)
    for batch in range(3):
        for number in range(20):
            _put(queue, f"pbx{number}-{batch}", urgency=LEASE)
        served = queue.take(10)
        assert {f"acquirer-{batch}", f"returner-{batch}"} < set(served)
        assert len(served) == 12, "leases fill what a batch holds"
    assert queue.take(10**6) == [f"pbx{number}-{batch}" for batch in (1, 2) for number in range(20)][-30:]


def test_who_renews_does_not_wait_for_what_is_very_large_and_keeps_it_waiting_once(queue: Queue) -> None:
    _flood(queue, "mad", 2, seats=10_000)
    _put(queue, "early-0", urgency=LEASE)
    served = []
    for batch in range(4):
        served.append(queue.take(4000, large=4000))
        _put(queue, f"pbx{batch}-0", urgency=LEASE)
    assert served == [["early-0"], ["mad-0", "pbx0-0"], ["pbx1-0"], ["mad-1", "pbx2-0"]]
    _put(queue, "mad-2", 10_000)
    assert queue.take(4000, large=4000) == ["pbx3-0"]
    assert queue.take(4000, large=4000) == ["mad-2"]


@pytest.mark.parametrize(
    ("limits", "heavy"),
    [
        ({"length_max": 10}, Load(1)),
        ({"seats_max": 10_000}, Load(1000)),
        ({"bytes_max": 10_000}, Load(1, 1000)),
    ],
    ids=["requests", "seats", "bytes"],
)
def test_a_full_queue_is_full_for_whoever_filled_it(limits: dict[str, int], heavy: Load) -> None:
    queue = _queue(**limits)
    for number in range(10):
        assert not queue.put(f"mad-{number}", lane="mad", urgency=ACQUIRE, load=heavy)
    assert queue.put("mad-10", lane="mad", urgency=ACQUIRE, load=heavy) == ["mad-10"]
    assert queue.put("b-0", lane="b", urgency=LEASE, load=Load(1, 1)) == ["mad-9"]
    assert queue.put("c-0", lane="c", urgency=ACQUIRE, load=heavy) == ["mad-8"]
    assert {"b-0", "c-0"} <= set(queue.take(10**6))


def test_among_equals_the_newcomer_goes(queue: Queue) -> None:
    queue = _queue(length_max=3)
    assert [_put(queue, f"{lane}-0") for lane in "abc"] == [[], [], []]
    assert _put(queue, "d-0") == ["d-0"]


def test_what_is_given_up_leaves_room_and_is_not_served() -> None:
    queue = _queue(seats_max=300)
    _flood(queue, "a", 3, seats=100)
    for item in ("a-0", "a-0", "a-2", "never there"):
        queue.discard(item)
    assert (len(queue), queue.seats) == (1, 100)
    assert not _put(queue, "a-3", 200)
    assert queue.take(1000) == ["a-1", "a-3"]


def test_an_item_is_let_in_whatever_it_costs_where_nothing_waits() -> None:
    queue = _queue(seats_max=10)
    assert not _put(queue, "a-0", 1000)
    assert _put(queue, "b-0", 1) == ["a-0"]


def test_what_is_remembered_is_bounded() -> None:
    queue = _queue(length_max=10)
    _flood(queue, "mad", 5)
    for number in range(20_000):
        _put(queue, f"pbx{number}-0")
        queue.discard(f"pbx{number}-0") if number % 2 else queue.take(1)
        if number % 100 == 0:
            _flood(queue, f"mad{number}", 1)
    assert len(queue._served) < 3000
    assert sum(len(turns) for turns in queue._turns.values()) < 3000


class _Plain(FairQueue[str]):
    """Looks at all lanes whenever it is full."""

    def _greediest(self, measure: str, newcomer: object) -> Any:
        of_newcomer = getattr(newcomer.total, measure)  # type: ignore[attr-defined]
        if newcomer.waiting and of_newcomer * len(self._lanes) >= getattr(self._total, measure):  # type: ignore[attr-defined]
            return newcomer
        return max(self._lanes.values(), key=lambda lane: getattr(lane.total, measure))


def test_a_full_queue_turns_away_whoever_has_most_whatever_happened_before() -> None:
    chance = random.Random(7)
    limits = QueueLimits(40, 300, 4000)
    queue, plain = Queue(limits), _Plain(limits)
    waiting: list[str] = []
    for number in range(20_000):
        lane = f"pbx{min(chance.randrange(30), chance.randrange(30))}"
        match chance.randrange(12):
            case 0:
                taken = queue.take(40)
                assert taken == plain.take(40)
                waiting = [item for item in waiting if item not in taken]
            case 1 if waiting:
                item = waiting.pop(chance.randrange(len(waiting)))
                queue.discard(item)
                plain.discard(item)
            case _:
                item, seats, size = f"{lane}-{number}", chance.randrange(20), chance.randrange(200)
                gone = _put(queue, item, seats, size=size)
                assert gone == _put(plain, item, seats, size=size)
                waiting = [item for item in [*waiting, item] if item not in gone]


def test_a_full_queue_costs_a_newcomer_no_look_at_all_lanes() -> None:
    queue = _queue(length_max=2000)
    for number in range(2000):
        _put(queue, f"pbx{number % 1000}-{number}")
    calls = 0

    def count(_frame: object, what: str, _about: object) -> None:
        nonlocal calls
        calls += what in ("call", "c_call")

    sys.setprofile(count)
    try:
        gone = [_put(queue, f"new{number}-0") for number in range(500)]
    finally:
        sys.setprofile(None)
    assert all(len(items) == 1 and items[0].startswith("pbx") for items in gone)
    assert calls < 50_000
    for number in range(5000):
        _put(queue, f"mad-{number}")
    assert sum(map(len, queue._heaviest.values())) < 5000  # also where nothing is taken
