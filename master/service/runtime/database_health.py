"""Asks the database at an interval whether it answers, and what time it is there.

Decides: whether this master can serve at all, which health tells the world, and when a clock is so far off that people
should know. Leaves to others: what time it is for leases (`lease_clock`), and each call's own failure (`committer`).

After a commit that the database did not answer, reading is not enough: a database that waits for a replica that is gone
still reads. Until one commit has come through, the question is asked with a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from master.metrics import Metrics
from master.service.runtime.lease_clock import STEP_SECONDS, Correction, LeaseClock, Reading
from master.service.runtime.periodic import PeriodicTask
from master.store.backends.clock import database_clock, last_signed_end, latest_moment, write_nothing
from master.store.backends.database import Database, StorageError, StorageProblem, Tx
from master.values import Value

_log = structlog.get_logger(__name__)
_DOWN_INTERVAL_SECONDS = 0.5
"""How often a database that is away is asked, in seconds: often, so that sites are served as soon as it is back.
`Attempts` decides how many of these become an attempt.
"""

_RIGHT_AGAIN = 0.5
"""The part of a limit below which a clock that was off is right again: one that stays about it is told of once."""
_TELL_SECONDS = 5.0
"""How long `tell` may take to report a change."""


class Clocks(Value):
    """This machine's clocks."""

    steady: Callable[[], float]
    """A clock that never jumps, in seconds."""
    wall: Callable[[], float]
    """This machine's time of day, UNIX seconds; it may be wrong, and may be set."""


async def started_lease_clock(database: Database, clocks: Clocks) -> LeaseClock:
    """Read the database's clock and start the clock that leases go by.
    Raises StorageError if the database does not answer."""

    def look(tx: Tx) -> tuple[Reading, float]:
        return _read(tx, clocks), latest_moment(tx)

    first, known = await database.read(look)
    clock = LeaseClock(first, known=known, steady=clocks.steady)
    if clock.ahead_seconds > STEP_SECONDS:
        _log.warning("the database knows of a later time than its clock shows", ahead_seconds=clock.ahead_seconds)
    return clock


class HealthTimes(Value):
    """How often the database is asked, and how long it may take to answer."""

    interval_seconds: float
    answer_seconds_max: float
    clock_offset_max_seconds: float


class DatabaseHealth(PeriodicTask):
    """Checks at an interval whether the database answers, and at once when somebody doubts it.

    `tell` is awaited with whether this master can serve, each time that this changes; it can at first. `lease_clock` is
    None where somebody else says what time it is.
    """

    def __init__(
        self,
        *,
        database: Database,
        clocks: Clocks,
        lease_clock: LeaseClock | None,
        metrics: Metrics,
        times: HealthTimes,
        tell: Callable[[bool], Awaitable[None]],
    ) -> None:
        super().__init__(interval_seconds=times.interval_seconds)
        self._database = database
        self._clocks = clocks
        self._lease_clock = lease_clock
        self._metrics = metrics
        self._times = times
        self._tell = tell
        self.there = asyncio.Event()
        """Set while the database answers."""
        self.there.set()
        self._lost_at: float | None = None
        self._told = True
        self._lost_for: StorageProblem | None = None
        self._doubted = asyncio.Event()
        self._is_off = False
        self._is_ahead = False

    def doubt(self, reason: str) -> None:
        """Ask the database soon, because a commit failed that the database did not answer."""
        if not self._doubted.is_set() and self._lost_at is None:
            _log.warning("a commit failed", reason=reason)
        self._doubted.set()

    async def run_once(self) -> None:
        """Ask the database once; report a change by `tell`, and in the log and the metrics."""
        asks_for_commit, is_certain = self._doubted.is_set(), False
        self._doubted.clear()  # whoever doubts from here on, doubts what comes after the answer
        try:
            reading = await self._answered(self._ask_with_commit if asks_for_commit else self._ask)
            is_certain = True
        except StorageError as error:
            if not error.problem.ends_service:
                raise
            asks_for_commit = True
            self._lost(error)
        else:
            self._found()
            if self._lease_clock is not None:
                self._compare(reading)
                self._correct(self._lease_clock, reading)
        finally:
            if asks_for_commit and not is_certain:
                self._doubted.set()
        await self._tell_if_new()

    async def _rest(self, seconds: float) -> None:
        if self._doubted.is_set():
            await asyncio.sleep(min(_DOWN_INTERVAL_SECONDS, seconds))
            return
        try:
            async with asyncio.timeout(seconds):
                await self._doubted.wait()
        except TimeoutError:
            return

    async def _ask(self) -> Reading:
        return await self._database.read(lambda tx: _read(tx, self._clocks))

    async def _ask_with_commit(self) -> Reading:
        def work(tx: Tx) -> Reading:
            write_nothing(tx)
            return _read(tx, self._clocks)

        return await self._database.transact(work)

    async def _answered(self, ask: Callable[[], Awaitable[Reading]]) -> Reading:
        try:
            async with asyncio.timeout(self._times.answer_seconds_max):  # a disk that hangs says nothing, either
                await self._database.verify()
                return await ask()
        except TimeoutError as error:
            why = f"no answer for {self._times.answer_seconds_max:g} s"
            raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, why) from error

    def _lost(self, error: StorageError) -> None:
        if self._lost_for is not error.problem:
            until = " until it does" if error.problem is StorageProblem.STORAGE_UNAVAILABLE else ""
            _log.error(f"{error.problem.value}; this master serves nobody{until}", reason=str(error))
            self._show(error.problem)
        if self._lost_at is None:
            self._lost_at = self._clocks.steady()
            self.there.clear()

    def _found(self) -> None:
        if self._lost_at is not None:
            away_seconds, self._lost_at = self._clocks.steady() - self._lost_at, None
            self.there.set()
            _log.warning("the database answers again", away_seconds=round(away_seconds, 1))
            self._show(None)

    async def _tell_if_new(self) -> None:
        """Call `tell` if this master's ability to serve changed; where `tell` fails, checking goes on, and `tell` is
        called again the next time.
        """
        serving = self._lost_at is None
        if serving is not self._told:
            async with asyncio.timeout(_TELL_SECONDS):
                await self._tell(serving)
            self._told = serving

    def _show(self, problem: StorageProblem | None) -> None:
        if self._lost_for is not None:
            self._metrics.storage_problem.labels(self._lost_for.name).set(0)
        if problem is not None:
            self._metrics.storage_problem.labels(problem.name).set(1)
        self._lost_for = problem

    def _compare(self, reading: Reading) -> None:
        offset = reading.wall - reading.likely
        self._metrics.clock_offset.set(offset)
        is_off = abs(offset) > self._times.clock_offset_max_seconds * (_RIGHT_AGAIN if self._is_off else 1)
        if is_off is not self._is_off:
            self._is_off = is_off
            how = "is off the database's" if is_off else "agrees with the database's again"
            _log.warning(f"this machine's clock {how}; leases go by the database's", offset_seconds=round(offset, 3))

    def _correct(self, clock: LeaseClock, reading: Reading) -> None:
        if clock.take(reading) is Correction.SET_FORWARD:
            waits = round(clock.stepped_seconds(), 3)
            _log.warning("the database's clock was set forward; ended leases wait longer", longer_seconds=waits)
        is_ahead = clock.ahead_seconds > STEP_SECONDS * (_RIGHT_AGAIN if self._is_ahead else 1)
        if is_ahead is not self._is_ahead:
            self._is_ahead = is_ahead
            how = "was set back; time goes on without it" if is_ahead else "has caught up"
            _log.warning(f"the database's clock {how}", ahead_seconds=round(clock.ahead_seconds, 3))
        self._metrics.clock_ahead.set(clock.ahead_seconds)
        self._metrics.clock_stepped.set(clock.stepped_seconds())


def _read(tx: Tx, clocks: Clocks) -> Reading:
    asked = clocks.steady()
    seconds = database_clock(tx)
    answered, wall = clocks.steady(), clocks.wall()
    return Reading(seconds=seconds, asked=asked, answered=answered, wall=wall, last_end=last_signed_end(tx))
