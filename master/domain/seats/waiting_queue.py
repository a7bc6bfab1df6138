"""The queue of one pool as a batch works on it: who waits, whose turn it is, and how many seats are left for others.

A newcomer never overtakes: it gets what is left once everybody who waits, and could be granted a seat, has got one.
What is reserved for its own site stays its own. The order is that of `domain/allocation/waiting_line.py`.

Of a long queue only those are read whom a batch may concern: PBXs that ask, and of each other PBX as many as there may
be free seats, first in line. Of the others only the number is known, which is enough: no more than that many can be
served, whatever the order between PBXs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from master.domain.allocation.policies import QueuePolicy
from master.domain.allocation.pool_division import PoolDivision
from master.domain.allocation.waiting_line import HandedOn, SeatName, Waiter, hand_on, in_line, place_told
from master.domain.seats.seats import Want

Name = tuple[int, SeatName]
"""The name of a seat that is waited for: the id of its PBX, and its key there."""

SHORT = 200
"""The length up to which a queue is read whole, so that all its places are known."""


class Unread(NamedTuple):
    """Those seats waited for in a queue of which only the number is known."""

    waiting: int
    """How many seats these are; their PBXs count as connected."""
    free_max: int
    """The most free seats for which it does not matter which seats these are."""


NOBODY = Unread(0, 0)


class WaitingQueue:
    """The seats that are waited for in one pool."""

    def __init__(
        self, policy: QueuePolicy, waiters: Iterable[tuple[Waiter, Want, int]], now: float, unread: Unread = NOBODY
    ) -> None:
        """Begin with `waiters`, each with the place that its PBX was told; `now` is UNIX seconds."""
        self.policy = policy
        self.now = now
        self._unread = unread
        self._waiters: dict[Name, Waiter] = {}
        self._by_pbx = Counter[int]()
        self.wants: dict[Name, Want] = {}
        """The wants, by name; also of those who left."""
        self.told: dict[Name, int] = {}
        """The places told before, by name; also of those who left."""
        for waiter, want, place in waiters:
            self.join(waiter, want)
            self.told[waiter.pbx_id, waiter.key] = place
        self._handed_on: HandedOn | None = None
        self._served: frozenset[Name] = frozenset()
        """The names whose turn it is, taken from `_handed_on`."""

    def __len__(self) -> int:
        return len(self._waiters) + self._unread.waiting

    def __contains__(self, name: object) -> bool:
        return name in self._waiters

    def copy(self) -> WaitingQueue:
        """Copy the queue, to try something on the copy."""
        other = WaitingQueue(self.policy, (), self.now, self._unread)
        other._waiters, other.wants, other.told = dict(self._waiters), self.wants, self.told
        other._by_pbx = self._by_pbx.copy()
        return other

    @property
    def places_left(self) -> int:
        """How many more seats the queue takes."""
        return max(self.policy.length_max - len(self), 0)

    def waited_for_by(self, pbx_id: int) -> int:
        """Return how many seats a PBX waits for, one of those whose seats were read."""
        return self._by_pbx[pbx_id]

    def takes(self, pbx_id: int) -> bool:
        """Tell whether a PBX may wait for one seat more: it leaves as many places to others as it has itself."""
        return self.waited_for_by(pbx_id) < self.places_left

    @property
    def is_long(self) -> bool:
        """Whether places are told only now and then, and most of those who wait may be unknown."""
        return len(self) > SHORT

    @property
    def waiters(self) -> Mapping[Name, Waiter]:
        """Who waits now, by name, as far as they are known."""
        return self._waiters

    @property
    def first_in_turn(self) -> int:
        """The most seats that could be granted to those who wait, if that many were free."""
        return sum(waiter.is_there for waiter in self._waiters.values()) + self._unread.waiting

    def join(self, waiter: Waiter, want: Want) -> None:
        """Put a seat into the queue, at the place that the order gives."""
        name = waiter.pbx_id, waiter.key
        self._by_pbx[waiter.pbx_id] += name not in self._waiters
        self._waiters[name], self.wants[name] = waiter, want
        self.changed()

    def leave(self, pbx_id: int, keys: Iterable[SeatName]) -> None:
        """Take seats out of the queue, because they are held or not wanted any more."""
        for key in keys:
            if self._waiters.pop((pbx_id, key), None) is not None:
                self._by_pbx[pbx_id] -= 1
                self.changed()

    def changed(self) -> None:
        """Forget whose turn it is, as what is counted of the pool, or who waits, has changed."""
        self._handed_on = None

    def turns(self, free: int, division: PoolDivision) -> HandedOn:
        """Return whose turn it is where `free` seats are free, and how many seats are left then."""
        if free > self._unread.free_max:  # beyond that, whoever is not known may get one
            free = max(free - self._unread.waiting, self._unread.free_max)
        if self._handed_on is None or len(self._handed_on.served) + self._handed_on.free != free:
            self._handed_on = hand_on(self._waiters.values(), self.policy, division, free=free, now=self.now)
            self._served = frozenset((waiter.pbx_id, waiter.key) for waiter in self._handed_on.served)
        return self._handed_on

    def left_for(self, pbx_id: int, key: SeatName | None, free: int, division: PoolDivision) -> int:
        """Return how many of the free seats a wanted seat may have: 1 or 0 where it is waited for, as its turn has come
        or not; else what those who wait leave."""
        left = division.left_for(pbx_id, free)
        if not left or not len(self):
            return left
        turns = self.turns(free, division)
        if key is not None and (pbx_id, key) in self._waiters:
            return int((pbx_id, key) in self._served)
        return turns.division.left_for(pbx_id, turns.free)

    def places(self, names: Iterable[Name], division: PoolDivision) -> dict[Name, int]:
        """Return the places of seats waited for, 1 for the next. In a queue that is not short it is the place that each
        was told last, or the end of the queue where the wait has just begun."""
        if self._unread.waiting or self.is_long:
            end = len(self)
            return {name: min(self.told.get(name, place_told(end)), end) for name in names}
        ordered = in_line(self._waiters.values(), self.policy, division, now=self.now)
        places = {(waiter.pbx_id, waiter.key): place for place, waiter in enumerate(ordered, 1)}
        return {name: places[name] for name in names}
