"""What the fair queue costs a request, put and taken, beside a plain deque."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from statistics import median

from bench.figures import Figure, Plan, Report
from master.service.runtime.fair_queue import FairQueue, Load, QueueLimits, Urgency

_REQUESTS = 90_000
_Item = tuple[int, str, Urgency, Load]


async def queue(plan: Plan, report: Report) -> list[Figure]:
    """CPU time for a request, by how many PBXs ask and how many requests wait when the next batch is taken."""
    figures = []
    for pbxs, waiting in ((1, 1), (1, 100), (1000, 32), (1000, 1000), (1000, 9000)):
        items = _items(pbxs)
        fair = median(_seconds(items, waiting, _through_queue) for _ in range(plan.rounds))
        plain = median(_seconds(items, waiting, _through_deque) for _ in range(plan.rounds))
        name = f"fair queue, {pbxs:,} PBXs, {waiting:,} waiting"
        figures.append(Figure(name, fair * 1e6, "us per request", fair / plain, "a plain deque"))
        report(f"{name}: {fair * 1e6:.1f} us")
    return figures


def _items(pbxs: int) -> list[_Item]:
    drawn = random.Random(1)
    return [
        (number, f"p{drawn.randrange(pbxs)}", drawn.choice(list(Urgency)), Load(drawn.choice([1, 1, 1, 100]), 500))
        for number in range(_REQUESTS)
    ]


def _seconds(items: list[_Item], waiting: int, through: Callable[[list[_Item]], None]) -> float:
    started = time.process_time()
    for first in range(0, len(items), waiting):
        through(items[first : first + waiting])
    return (time.process_time() - started) / len(items)


_FAIR: FairQueue[int] = FairQueue(QueueLimits(10_000, 4_000_000, 2**40))
_PLAIN: deque[_Item] = deque()


def _through_queue(items: list[_Item]) -> None:
    for number, lane, urgency, load in items:
        _FAIR.put(number, lane=lane, urgency=urgency, load=load)
    while _FAIR:
        _FAIR.take(4000)
    _FAIR.rest()


def _through_deque(items: list[_Item]) -> None:
    for item in items:
        _PLAIN.append(item)
    while _PLAIN:
        _PLAIN.popleft()
