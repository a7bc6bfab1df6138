"""Whose turn it is where PBXs wait for seats of a pool.

Pure: who waits, how the pool is divided and how many seats are free are handed in. Seats are handed on one by one,
each to the first waiter who could be granted a seat, in this order:

1. who has waited longer than the policy's patience, oldest first: nobody waits for ever; 2. whose site, or group, has
fewer seats than are reserved for it; 3. whose site has the higher priority; 4. who asked for so few seats at once that
the policy lets them go before larger calls; 5. whose site has fewest seats for its weight, seats handed on just before
included; 6. who asked first.

So of two who wait at one site for calls of the same size the older one is never overtaken. Who is not connected, and
whose site may not have more, keeps the place in line and delays nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import PRIORITY_USUAL, WEIGHT_USUAL, QueuePolicy
from master.domain.allocation.pool_division import PoolDivision

SeatName = tuple[str, HolderKind, str]
"""A seat within its PBX: license type, kind of holder, holder."""


class Waiter(NamedTuple):
    """One seat that a PBX waits for."""

    pbx_id: int
    site: str
    key: SeatName
    asked_at: float
    """When the seat was asked for, UNIX seconds."""
    call_seats: int
    """How many new seats of the type the call asked for."""
    is_there: bool
    """Whether the PBX is connected under a proven lease; a seat is handed on to no other PBX."""


class HandedOn(NamedTuple):
    """The result of handing free seats on to those who wait."""

    served: Sequence[Waiter]
    """The waiters who get a seat, in order."""
    free: int
    """Seats that are left."""
    division: PoolDivision
    """The division of the pool afterwards."""


def hand_on(
    waiters: Collection[Waiter], policy: QueuePolicy, division: PoolDivision, *, free: int, now: float
) -> HandedOn:
    """Hand free seats of a pool on to waiters, as far as these may have them; `now` is UNIX seconds."""
    division, served = division.copy(), list[Waiter]()
    full: set[str] = set()
    line = _Line(waiters, policy, division, now)
    for waiter in line:
        if not free:
            break
        if not waiter.is_there or waiter.site in full:
            continue
        if not division.left_for(waiter.pbx_id, free):
            full.add(waiter.site)
            continue
        division.count(waiter.pbx_id, 1)
        served.append(waiter)
        free -= 1
    return HandedOn(served, free, division)


def in_line(waiters: Collection[Waiter], policy: QueuePolicy, division: PoolDivision, *, now: float) -> list[Waiter]:
    """Return all waiters in the order of their turns if seats came free one by one; `now` is UNIX seconds."""
    division, ordered = division.copy(), list[Waiter]()
    for waiter in _Line(waiters, policy, division, now):
        division.count(waiter.pbx_id, 1)
        ordered.append(waiter)
    return ordered


def place_told(place: int) -> int:
    """Return a place in line as it is told to the PBX: from 10 on rounded up to one digit, to change seldom."""
    step = int("1" + "0" * (len(str(place)) - 1))
    return -(-place // step) * step


class _Line:
    """An iterator over waiters in the order of their turns; the division changes meanwhile, as seats are given."""

    def __init__(self, waiters: Collection[Waiter], policy: QueuePolicy, division: PoolDivision, now: float) -> None:
        self._policy = policy
        self._division = division
        patient: defaultdict[str, list[Waiter]] = defaultdict(list)
        self._impatient: list[Waiter] = []
        for waiter in waiters:
            if now - waiter.asked_at > policy.patience_seconds:
                self._impatient.append(waiter)
            else:
                patient[waiter.site].append(waiter)
        self._impatient.sort(key=_age)
        self._by_site = {
            site: sorted(of_site, key=self._within_site, reverse=True) for site, of_site in patient.items()
        }

    def __iter__(self) -> Iterator[Waiter]:
        yield from self._impatient
        heap = [self._turn(site) for site in self._by_site]
        heapify(heap)
        while heap:
            *_, site = heap[0]
            if heap[0] != (turn := self._turn(site)):  # its group was given something
                heapreplace(heap, turn)
                continue
            yield self._by_site[site].pop()
            if self._by_site[site]:
                heapreplace(heap, self._turn(site))
            else:
                heappop(heap)

    def _turn(self, site: str) -> tuple[bool, int, bool, float, tuple[float, int, SeatName], str]:
        rules, first = self._division.rules, self._by_site[site][-1]
        return (
            not self._division.is_below_reserve(site),
            -rules.priorities.get(site, PRIORITY_USUAL),
            not self._is_express(first),
            self._division.counted_at(site) / rules.weights.get(site, WEIGHT_USUAL),
            _age(first),
            site,
        )

    def _within_site(self, waiter: Waiter) -> tuple[bool, float, int, SeatName]:
        return (not self._is_express(waiter), *_age(waiter))

    def _is_express(self, waiter: Waiter) -> bool:
        return waiter.call_seats <= self._policy.express_seats_max


def _age(waiter: Waiter) -> tuple[float, int, SeatName]:
    """Return a sort key for who asked first; PBX ids and seat keys break ties, so that no two waiters are equal."""
    return waiter.asked_at, waiter.pbx_id, waiter.key
