"""A task that runs again and again until it is stopped; a failure costs one run, never the task, and is logged.

While the database is away, it waits: that is logged once, not with every run.

Tasks of one master have their runs at places of their own within the interval, from the first one on. Were all of them
run as soon as a master starts, each would open a connection of its own for it, and several masters that start together
would come at once, again with every interval; what they look at does not change because a master starts. Only what has
an hour between its runs begins with the start.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

import structlog

from master.process.tasks import Kept, Tasks
from master.service.runtime.errors import QueueFullError, StoppedError
from master.service.runtime.names import UnknownPbxError
from master.store.backends.database import StorageError

_log = structlog.get_logger(__name__)


class PeriodicTask(ABC):
    """Calls `run_in_turn` at an interval; a task that needs the database waits while that is away."""

    needs_database = True
    begins_at_once = False
    """Whether the first run is at the start, whatever the task's place."""

    def __init__(self, *, interval_seconds: float, name: str = "") -> None:
        """`name` is what logs and metrics call the task; the class name where no name is given."""
        self._name = name or type(self).__name__
        self._interval_seconds = interval_seconds
        self._kept: Kept | None = None
        self._there: asyncio.Event | None = None
        self._place = 0.0
        self._waits = False

    @abstractmethod
    async def run_once(self) -> object:
        """Do the work once."""

    async def run_in_turn(self) -> object:
        """Do the work that is due; called again and again."""
        return await self.run_once()

    def start(self, tasks: Tasks, there: asyncio.Event | None = None, *, place: float = 0.0) -> None:
        """Begin; `there` is set while the database answers. With None, the run itself finds that out.

        `place` is the part of an interval that passes before the first run: 0 has it at once.
        """
        self._place = 0.0 if self.begins_at_once else place
        self._there = there if self.needs_database else None
        self._kept = tasks.keep(self._name, self._run)

    async def stop(self) -> None:
        """End the task; a run under way is cancelled."""
        if self._kept is not None:
            await self._kept.stop()

    async def _run(self) -> None:
        await self._rest(self._interval_seconds * self._place)
        while True:
            if self._there is not None:
                await self._there.wait()
            await self._look_safely()
            await self._rest(self._interval_seconds)

    async def _rest(self, seconds: float) -> None:
        """Wait some seconds until the next run, or less where something asks for a run."""
        await asyncio.sleep(seconds)

    async def _look_safely(self) -> None:
        try:
            await self.run_in_turn()
            self._waits = False
        except (StorageError, QueueFullError, StoppedError, UnknownPbxError) as error:
            if not self._waits:
                _log.warning("waits", task=self._name, reason=str(error))
            self._waits = True
        except Exception:
            if self._kept is not None:
                self._kept.count_failure()
            _log.exception("a run failed", task=self._name)


class PeriodicCall(PeriodicTask):
    """Calls one function at an interval."""

    def __init__(self, name: str, call: Callable[[], Awaitable[object]], *, interval_seconds: float) -> None:
        super().__init__(interval_seconds=interval_seconds, name=name)
        self._call = call

    async def run_once(self) -> object:
        return await self._call()


class RareCall(PeriodicCall):
    """A call with hours between its runs: the first run is at the start, whatever its place, so that
    none is put off.
    """

    begins_at_once = True


def places(count: int) -> list[float]:
    """Return parts of an interval, in order: a different one for each task, none at the start, and different at each
    master.
    """
    return [(number + random.random()) / (count + 1) for number in range(1, count + 1)]
