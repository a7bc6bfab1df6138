"""The queue of one pool as a batch works on it: who waits, whose turn it is, and what that leaves to whoever else asks.

A newcomer never overtakes: it gets what is left once everybody who waits, and could be granted a seat, has got one.
What is reserved for its own site stays its own. The order is that of `domain/allocation/waiting_line.py`.

Of a long queue only those are there whom a batch may concern: PBXs that ask, and of each other one as many as there may
be free seats, first in line. Of the others only the number is known, which is enough: no more than that many can be
served, whatever the order between PBXs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from master.domain.allocation.policies import QueuePolicy
from master.domain.allocation.pool_division import PoolDivision
from master.domain.allocation.waiting_line import HandedOn, SeatName, Waiter, hand_on, in_line, place_told
from master.domain.seats.seats import Want

Name = tuple[int, SeatName]
"""A seat that is waited for, by the id of its PBX and its name there."""

SHORT = 200
"""Up to how many wait in a queue that is read whole, and whose places are known at once."""


class Unread(NamedTuple):
    """Those in a queue of whom only the number is known."""

    waiting: int
    """They count as connected."""
    free_max: int
    """Up to how many free seats it does not matter who they are."""


NOBODY = Unread(0, 0)


class WaitingQueue:
    """Who waits for seats of one pool."""

    def __init__(
        self, policy: QueuePolicy, waiters: Iterable[tuple[Waiter, Want, int]], now: float, unread: Unread = NOBODY
    ) -> None:
        """`waiters` have the place that they were told; `now` is UNIX seconds."""
        self.policy = policy
        self.now = now
        self._unread = unread
        self._waiters: dict[Name, Waiter] = {}
        self.wants: dict[Name, Want] = {}
        """What they asked for; of those who left as well."""
        self.told: dict[Name, int] = {}
        """The places that those were told who waited before; of those who left as well."""
        for waiter, want, place in waiters:
            self.join(waiter, want)
            self.told[waiter.pbx_id, waiter.key] = place
        self._handed_on: HandedOn | None = None
        self._served: frozenset[Name] = frozenset()
        """Whose turn it is, as `_handed_on` has it."""

    def __len__(self) -> int:
        return len(self._waiters) + self._unread.waiting

    def __contains__(self, name: object) -> bool:
        return name in self._waiters

    def copy(self) -> WaitingQueue:
        """A copy to try something on."""
        other = WaitingQueue(self.policy, (), self.now, self._unread)
        other._waiters, other.wants, other.told = dict(self._waiters), self.wants, self.told
        return other

    @property
    def is_full(self) -> bool:
        """Whether nobody more may wait."""
        return len(self) >= self.policy.length_max

    @property
    def is_long(self) -> bool:
        """Whether places are told now and then only, and most of who waits may not be known."""
        return len(self) > SHORT

    @property
    def waiters(self) -> Mapping[Name, Waiter]:
        """Who waits now, as far as it is known."""
        return self._waiters

    @property
    def first_in_turn(self) -> int:
        """How many could be granted a seat, were there any; at most."""
        return sum(waiter.is_there for waiter in self._waiters.values()) + self._unread.waiting

    def join(self, waiter: Waiter, want: Want) -> None:
        """Wait from now on, at the place that the order gives."""
        name = waiter.pbx_id, waiter.key
        self._waiters[name], self.wants[name] = waiter, want
        self.changed()

    def leave(self, pbx_id: int, keys: Iterable[SeatName]) -> None:
        """Wait no longer, because the seat is held, or not wanted any more."""
        for key in keys:
            if self._waiters.pop((pbx_id, key), None) is not None:
                self.changed()

    def changed(self) -> None:
        """What is counted of the pool, or who waits, is not what it was."""
        self._handed_on = None

    def turns(self, free: int, division: PoolDivision) -> HandedOn:
        """Whose turn it is where so many seats are free, and what is left then."""
        if free > self._unread.free_max:  # beyond that, whoever is not known may get one
            free = max(free - self._unread.waiting, self._unread.free_max)
        if self._handed_on is None or len(self._handed_on.served) + self._handed_on.free != free:
            self._handed_on = hand_on(self._waiters.values(), self.policy, division, free=free, now=self.now)
            self._served = frozenset((waiter.pbx_id, waiter.key) for waiter in self._handed_on.served)
        return self._handed_on

    def left_for(self, pbx_id: int, key: SeatName | None, free: int, division: PoolDivision) -> int:
        """How many of the free seats there are for a want: its own where it waits and its turn has come; else what
        those who wait leave."""
        left = division.left_for(pbx_id, free)
        if not left or not len(self):
            return left
        turns = self.turns(free, division)
        if key is not None and (pbx_id, key) in self._waiters:
            return int((pbx_id, key) in self._served)
        return turns.division.left_for(pbx_id, turns.free)

    def places(self, names: Iterable[Name], division: PoolDivision) -> dict[Name, int]:
        """The places of some who wait, 1 for the next: in a queue that is not short the place that each was told last,
        or the end of the line for who has just begun to wait."""
        if self._unread.waiting or self.is_long:
            end = len(self)
            return {name: min(self.told.get(name, place_told(end)), end) for name in names}
        ordered = in_line(self._waiters.values(), self.policy, division, now=self.now)
        places = {(waiter.pbx_id, waiter.key): place for place, waiter in enumerate(ordered, 1)}
        return {name: places[name] for name in names}
