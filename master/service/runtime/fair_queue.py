"""Who is served next where many wait, and who has to come back later: arithmetic only.

Every item waits in a lane, in the order of its arrival; lanes take turns by what they cost, in seats (start-time fair
queueing: a lane's next turn comes after what it was served so far, so that one who asks for much waits for the others,
and one who asks for little is served at once). Leases come first, then what gives seats back, then who wants new ones;
of each of these at least one item is served each time, so that none starves another; but a very large one lets those
before it go ahead once, so that they do not wait for it.

What waits is bounded. When it becomes too much, the newest item goes of the lane that has most waiting: nobody can fill
the queue for others.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from enum import IntEnum
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

from msgspec import Struct

from master.values import Value, field

T = TypeVar("T", bound=Hashable)
_SPARE = 1024
"""How many outdated entries are kept before they are removed."""


class Urgency(IntEnum):
    """The order in which requests are served."""

    LEASE = 0
    """Requests that open, renew, close or take over leases."""
    RETURN = 1
    """Requests that give seats back."""
    ACQUIRE = 2
    """Requests that want seats."""


class Load(Value):
    """How much work an item is, in seats, and how many bytes it takes while it waits."""

    seats: int
    bytes: int = 0


class QueueLimits(Value):
    """How many items, seats and bytes may wait in all. A single item is accepted whatever it costs."""

    length_max: int
    seats_max: int
    bytes_max: int


class _Waiting(Struct, Generic[T], eq=False):
    item: T
    lane: Hashable
    urgency: Urgency
    number: int
    load: Load


class _Sum(Struct, eq=False):
    length: int = 0
    seats: int = 0
    bytes: int = 0

    def add(self, load: Load, sign: int) -> None:
        self.length += sign
        self.seats += sign * load.seats
        self.bytes += sign * load.bytes


class _Lane(Struct, Generic[T], eq=False):
    number: int
    """The number of the first item of the lane."""
    waiting: OrderedDict[T, _Waiting[T]] = field(default_factory=OrderedDict)
    total: _Sum = field(default_factory=_Sum)

    @property
    def first(self) -> _Waiting[T]:
        return next(iter(self.waiting.values()))

    @property
    def newest(self) -> _Waiting[T]:
        return next(reversed(self.waiting.values()))


class FairQueue(Generic[T]):
    """A queue of items that wait in lanes, each item once."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._waiting: dict[T, _Waiting[T]] = {}
        self._lanes: dict[Hashable, _Lane[T]] = {}
        self._total = _Sum()
        self._arrived = 0
        self._turns: dict[Urgency, list[tuple[int, int, Hashable]]] = {urgency: [] for urgency in Urgency}
        """The first item of each lane: when its turn is, its number, its lane. Entries of items that are no longer
        first stay.
        """
        self._waited: set[Urgency] = set()
        """The urgencies whose first item, being very large, was left for the next time."""
        self._now = dict.fromkeys(Urgency, 0)
        """The turn that was served last, by urgency."""
        self._served: dict[tuple[Hashable, Urgency], int] = {}
        """When the next turn of a lane is, by lane and urgency, if that turn is still to come."""
        self._heaviest: dict[str, list[tuple[int, int, Hashable]]] = {}
        """From when the queue is full until items are taken: for each measure that was exceeded, how much each lane has
        (negative), its number, and the lane. Entries that say too much stay.
        """

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    @property
    def seats(self) -> int:
        """The number of seats that the waiting items are about."""
        return self._total.seats

    def put(self, item: T, *, lane: Hashable, urgency: Urgency, load: Load) -> list[T]:
        """Append an item to its lane; return the items for which no room is left, perhaps the new item itself."""
        self._arrived += 1
        entry = self._waiting[item] = _Waiting(item, lane, urgency, self._arrived, load)
        of_lane = self._lanes.setdefault(lane, _Lane(self._arrived))
        of_lane.waiting[item] = entry
        of_lane.total.add(load, 1)
        self._total.add(load, 1)
        for full_of, heaviest in [*self._heaviest.items()]:
            if len(heaviest) > 2 * len(self._lanes) + _SPARE:
                del self._heaviest[full_of]
            else:
                heappush(heaviest, (-getattr(of_lane.total, full_of), of_lane.number, lane))
        if len(of_lane.waiting) == 1:
            self._take_turn(entry)
        gone: list[T] = []
        while len(self._waiting) > 1 and (measure := self._exceeded()) is not None:
            gone.append(self._greediest(measure, of_lane).newest.item)
            self.discard(gone[-1])
        return gone

    def take(self, seats_max: int, *, large: float = math.inf) -> list[T]:
        """Take the items that are served next, in the order of arrival: the first item of each urgency, and others
        while they fit. An item of more than `large` seats is served with others only where it has let others go ahead.
        """
        taken: list[_Waiting[T]] = []
        begun: set[Urgency] = set()
        still = list(Urgency)
        while (entry := self._next(still)) is not None:
            if taken and entry.load.seats > large and entry.urgency not in self._waited | begun:
                self._waited.add(entry.urgency)
                still.remove(entry.urgency)
                continue
            if entry.urgency in begun and entry.load.seats > seats_max:
                still.remove(entry.urgency)  # and those behind it do not overtake it
                continue
            begun.add(entry.urgency)
            if entry.load.seats > large:
                self._waited.discard(entry.urgency)
            seats_max -= entry.load.seats
            turn, _, lane = heappop(self._turns[entry.urgency])
            self._now[entry.urgency] = turn
            self._served[lane, entry.urgency] = turn + entry.load.seats
            self.discard(entry.item)
            taken.append(entry)
        self._tidy()
        return [entry.item for entry in sorted(taken, key=lambda entry: entry.number)]

    def discard(self, item: T) -> None:
        """Remove an item whose caller waits no more, if the item still waits."""
        entry = self._waiting.pop(item, None)
        if entry is None:
            return
        lane = self._lanes[entry.lane]
        was_first = lane.first is entry
        del lane.waiting[item]
        lane.total.add(entry.load, -1)
        self._total.add(entry.load, -1)
        if not lane.waiting:
            del self._lanes[entry.lane]
        elif was_first:
            self._take_turn(lane.first)

    def rest(self) -> None:
        """Forget who was served before; call this when nobody waits and nobody is served."""
        if not self._waiting:
            self._served.clear()
            self._turns = {urgency: [] for urgency in Urgency}

    def _take_turn(self, entry: _Waiting[T]) -> None:
        turn = max(self._now[entry.urgency], self._served.get((entry.lane, entry.urgency), 0))
        heappush(self._turns[entry.urgency], (turn, entry.number, entry.lane))

    def _next(self, urgencies: list[Urgency]) -> _Waiting[T] | None:
        for urgency in urgencies:
            turns = self._turns[urgency]
            while turns:
                if self._is_first(turns[0]):
                    return self._lanes[turns[0][2]].first
                heappop(turns)
        return None

    def _is_first(self, turn: tuple[int, int, Hashable]) -> bool:
        lane = self._lanes.get(turn[2])
        return lane is not None and lane.first.number == turn[1]

    def _exceeded(self) -> str | None:
        limits, total = self._limits, self._total
        if total.length > limits.length_max:
            return "length"
        if total.seats > limits.seats_max:
            return "seats"
        return "bytes" if total.bytes > limits.bytes_max else None

    def _greediest(self, measure: str, newcomer: _Lane[T]) -> _Lane[T]:
        """Return a newcomer's lane, if that has no less of a measure than the average; else the lane with most."""
        of_newcomer = getattr(newcomer.total, measure)
        if newcomer.waiting and of_newcomer * len(self._lanes) >= getattr(self._total, measure):
            return newcomer
        heaviest = self._heaviest.get(measure)
        if heaviest is None:
            heaviest = [(-getattr(lane.total, measure), lane.number, key) for key, lane in self._lanes.items()]
            heapify(heaviest)
            self._heaviest[measure] = heaviest
        while True:
            said, number, key = heaviest[0]
            lane = self._lanes.get(key)
            if lane is None or lane.number != number:
                heappop(heaviest)
            elif (has := getattr(lane.total, measure)) != -said:
                heapreplace(heaviest, (-has, number, key))
            else:
                return lane

    def _tidy(self) -> None:
        """Drop turns that have passed, and the callers served least lately, once they outnumber those who wait."""
        self._heaviest.clear()
        for turns in self._turns.values():
            if len(turns) > 2 * len(self._lanes) + _SPARE:
                turns[:] = filter(self._is_first, turns)
                heapify(turns)
        if len(self._served) > 2 * len(self._lanes) + _SPARE:  # who was served most is remembered longest
            later = [(turn, key) for key, turn in self._served.items() if turn > self._now[key[1]]]
            later.sort(key=lambda pair: pair[0])
            self._served = {key: turn for turn, key in later[-len(self._lanes) - _SPARE // 2 :]}
