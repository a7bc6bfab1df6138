"""Hands free seats on to those who wait for them, and tells them their places.

Looks whose turn it is, and has each of their PBXs granted its seats by an ordinary request in the same queue as the
living: decided again under lock, so two masters that look at once hand each seat on once. Woken when a batch of this
master's left fewer seats counted, an operator changed anything, or somebody began to wait; looks by itself at an
interval for what nobody says: what other masters did, rules that begin or end, PBXs that are heard of again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter

import structlog
from msgspec import Struct

from master.domain.allocation.overdraft import overdraft_allowed
from master.domain.allocation.pool_division import PoolDivision
from master.domain.allocation.waiting_line import in_line, place_told
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.monitoring.policy_uses import HANDS_ON
from master.domain.seats.pools import grantable
from master.domain.seats.seat_working_set import PoolScore
from master.domain.seats.seats import Key, Want
from master.domain.seats.waiting_queue import WaitingQueue
from master.service.batch.answers import SeatsAcquired
from master.service.batch.prefetch import read_queue, read_turns
from master.service.batch.requests import GrantWaiting
from master.service.estates.estate_cache import read_estate
from master.service.estates.service_context import ServiceContext
from master.service.leases.committer import Committer
from master.service.runtime.names import PbxName, UnknownProjectError
from master.service.runtime.periodic import PeriodicTask
from master.store.backends.database import Tx, json_text
from master.store.statements import waiting as store
from master.store.statements.events import Event, write_events
from master.store.statements.projects.projects import lock_for_apply
from master.store.statements.seats import read_pools
from master.values import field

_log = structlog.get_logger(__name__)
_CALLER = HANDS_ON
_PBXS_AT_ONCE = 100
_RESTS = 4
"""How many times as long as it worked the task rests at least, where it is woken again and again."""
_PLACES_REST = 50
"""The same factor for telling places in long queues: that reads all who wait, and places matter less than turns."""


class _Line(Struct):
    """What is to be done for those who wait, as last looked up."""

    turns: defaultdict[PbxName, list[Want]] = field(default_factory=lambda: defaultdict(list))
    places: list[tuple[PbxName, int, Key, int]] = field(default_factory=list)
    """Places that have changed and are to be told: PBX, its id, seat, place."""
    endless: list[tuple[str, str]] = field(default_factory=list)
    """(project, license type) that nobody may wait for any longer."""
    long: list[tuple[str, int]] = field(default_factory=list)
    """(project, pool id) of long queues, whose places are not in `places`."""
    is_empty: bool = True


class WaitingTask(PeriodicTask):
    """Hands seats on whenever some may be free, and at an interval."""

    def __init__(
        self,
        context: ServiceContext,
        *,
        committer: Committer,
        interval_seconds: float,
        granted: Callable[[PbxName, SeatsAcquired], None],
    ) -> None:
        """`granted` is called with the seats that were handed on to a PBX."""
        super().__init__(interval_seconds=interval_seconds)
        self._context = context
        self._committer = committer
        self._granted = granted
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._anybody_waits = True
        """Whether anybody may be waiting; True until the first look, as that is not known before."""
        context.hub.seats_freed = self.came_back
        self._took_seconds = 0.0
        """How many seconds the last run took: the longer it took, the less often the task looks."""
        self._places_at: float | None = None
        """When places of long queues are due, by `perf_counter`; None while no queue is long."""

    def began(self) -> None:
        """Note that somebody waits: a place has to be told, and seats that come back matter from now on."""
        self._anybody_waits = True
        self._woken.set()

    def came_back(self) -> None:
        """Note that seats may have come free, or may now be had by others."""
        if self._anybody_waits:
            self._woken.set()

    async def run_once(self) -> int:
        """Hand on the seats that can be handed on now, and tell all places; return how many seats were handed on. A run
        waits for the run before it to end.
        """
        async with self._turn:
            seats, line = await self._hand_on_all()
            await self._tell_long_queues(line)
            return seats

    async def run_in_turn(self) -> None:
        async with self._turn:
            started = perf_counter()
            try:
                _, line = await self._hand_on_all()
            finally:
                self._took_seconds = perf_counter() - started
            if not line.long:
                self._places_at = None
            elif self._places_at is None:  # it grows quickly at first
                self._places_at = started + self._interval_seconds
            elif self._places_at <= started:
                started = perf_counter()
                await self._tell_long_queues(line)
                self._places_at = perf_counter() + _PLACES_REST * (perf_counter() - started)

    async def _hand_on_all(self) -> tuple[int, _Line]:
        total = 0
        while True:
            time = self._context.lease_time()
            line = await self._context.database.read(lambda tx, time=time: self._look(tx, time))  # type: ignore[misc]
            self._anybody_waits = not line.is_empty
            for project, license_type in line.endless:
                await self._end(project, license_type, time)
            await self._tell(line)
            seats = await self._hand_on(list(line.turns.items())[:_PBXS_AT_ONCE])
            total += seats
            if not seats:
                return total, line

    async def _tell_long_queues(self, long: _Line) -> None:
        """Tell the places of those who wait in long queues; other calls are served meanwhile."""

        def look(tx: Tx) -> _Line:
            line, now = _Line(), self._context.lease_time().now
            for project, pool_id in long.long:
                with suppress(UnknownProjectError):
                    estate = read_estate(tx, self._context.estates, project)
                    if estate.shared_pools.get(pool_id) in estate.allocation.queues:
                        _look_at_places(estate, line, *read_queue(tx, estate, pool_id, now=now))
            return line

        if long.long:
            await self._tell(await self._context.database.ask(look))

    async def _tell(self, line: _Line) -> None:
        if line.places:
            places = [place[1:] for place in line.places]
            await self._context.database.transact(lambda tx: store.tell_places(tx, places))
        for name in {name for name, *_ in line.places}:
            self._context.hub.wake(name)

    async def _hand_on(self, turns: Sequence[tuple[PbxName, Sequence[Want]]]) -> int:
        """Have PBXs granted the seats whose turn has come; return how many seats.

        A refusal to one PBX, because it was removed meanwhile or the queue of requests is full, keeps nothing from
        the others; the first of these errors is raised at the end.
        """
        requests = [GrantWaiting(pbx=name, caller=_CALLER, wants=wants) for name, wants in turns]
        answers = await asyncio.gather(*map(self._committer.submit, requests), return_exceptions=True)
        seats = 0
        for request, answer in zip(requests, answers, strict=True):
            if not isinstance(answer, BaseException) and answer.outcomes:
                seats += len(answer.outcomes)
                self._granted(request.pbx, answer)
                _log.info("seats handed on", pbx=str(request.pbx), seats=len(answer.outcomes))
            self._context.hub.wake(request.pbx)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return seats

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.sleep(_RESTS * self._took_seconds)
                await self._woken.wait()
        self._woken.clear()

    def _look(self, tx: Tx, time: LeaseTime) -> _Line:
        line = _Line()
        for project, license_type in store.queued_types(tx):
            line.is_empty = False
            with suppress(UnknownProjectError):  # it was removed meanwhile
                estate = read_estate(tx, self._context.estates, project)
                self._look_at(tx, estate, license_type, time, line)
        return line

    def _look_at(self, tx: Tx, estate: Estate, license_type: str, time: LeaseTime, line: _Line) -> None:
        master = estate.master.device.id
        pool_id = estate.pool_ids.get((master, license_type))
        if pool_id is None or license_type not in estate.allocation.queues:
            line.endless.append((estate.name, license_type))
            return
        pool = read_pools(tx, [pool_id])[pool_id]
        leaving = estate.installations[master].leaving.get(license_type, 0)
        free = 0 if estate.learns(time.ends_by) else _free(estate, pool_id, pool, leaving, time)
        queue, division = read_turns(tx, estate, pool_id, free, now=time.now)
        for waiter in queue.turns(free, division).served:
            name = PbxName(estate.name, estate.pbxs[waiter.pbx_id].name)
            line.turns[name].append(queue.wants[waiter.pbx_id, waiter.key])
        if queue.is_long:
            line.long.append((estate.name, pool_id))
        else:
            _look_at_places(estate, line, queue, division)

    async def _end(self, project: str, license_type: str, time: LeaseTime) -> None:
        """End all waiting for a license type whose policy no longer lets anybody wait."""

        def work(tx: Tx) -> int:
            lock_for_apply(tx, project)
            estate = read_estate(tx, self._context.estates, project)
            if license_type in estate.allocation.queues:
                return 0
            ended = store.end_queue(tx, estate.project_id, license_type)
            details = json_text({"type": license_type, "seats": ended})
            if ended:
                write_events(tx, [Event(time.now, estate.project_id, "", "queue.ended", _CALLER, None, details)])
            return ended

        if ended := await self._context.database.transact(work):
            self._context.hub.wake_all()
            _log.warning("nobody waits any longer", project=project, license_type=license_type, seats=ended)


def _look_at_places(estate: Estate, line: _Line, queue: WaitingQueue, division: PoolDivision) -> None:
    """Note the places that differ from what PBXs were told last."""
    for place, waiter in enumerate(in_line(queue.waiters.values(), queue.policy, division, now=queue.now), 1):
        if queue.told[waiter.pbx_id, waiter.key] != (now_told := place_told(place)):
            name = PbxName(estate.name, estate.pbxs[waiter.pbx_id].name)
            line.places.append((name, waiter.pbx_id, waiter.key, now_told))


def _free(estate: Estate, pool_id: int, pool: PoolScore, leaving: int, time: LeaseTime) -> int:
    """Return how many seats of a pool may be free; whether they are is decided with each request."""
    free = grantable(capacity=pool.capacity, counted=pool.used, leaving=leaving)
    policy = estate.overdraft_of(pool_id)
    if free or policy is None or leaving:
        return free
    return max(overdraft_allowed(policy, pool.account, time.now) - pool.overdrawn, 0)
