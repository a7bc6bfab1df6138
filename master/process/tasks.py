"""Keeps long-lived tasks going. Whatever ends one, it is logged and started again; where that does not help, or cannot
be done, the master serves no more and its process ends, so that whoever runs it starts a new one.

Every task of a master that is to last as long as it does is kept here, none is started otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any

import structlog

from master.metrics import Metrics

_log = structlog.get_logger(__name__)
_FIRST_WAIT_SECONDS = 0.1
_IN_A_ROW_MAX = 6
"""How many times in a row a task may end, each time within a minute of its start, before it is given up."""
_IN_A_ROW_SECONDS = 60.0


class TaskLostError(Exception):
    """A task has ended and cannot be kept going; the master cannot go on without it."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"the task {name} has ended and could not be started again: {why}")


class IfEnded(Enum):
    """What to do where a task has ended."""

    START_AGAIN = "start_again"
    END_PROCESS = "end_process"


class Tasks:
    """The long-lived tasks of one master."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._kept: dict[str, Kept] = {}
        self._lost: asyncio.Future[TaskLostError] = asyncio.get_running_loop().create_future()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._kept)

    def keep(
        self, name: str, run: Callable[[], Coroutine[Any, Any, None]], *, if_ended: IfEnded = IfEnded.START_AGAIN
    ) -> Kept:
        """Run a task from now on until it is stopped; `run` is called anew for each start."""
        kept = self._kept[name] = Kept(name, run, if_ended, self._metrics, self._give_up)
        return kept

    async def lost(self) -> TaskLostError:
        """Wait until a task is given up; return the error that says so."""
        return await asyncio.shield(self._lost)

    def _give_up(self, name: str, why: str) -> None:
        if not self._lost.done():
            self._lost.set_result(TaskLostError(name, why))


class Kept:
    """A task that is kept going."""

    def __init__(
        self,
        name: str,
        run: Callable[[], Coroutine[Any, Any, None]],
        if_ended: IfEnded,
        metrics: Metrics,
        give_up: Callable[[str, str], None],
    ) -> None:
        self._name = name
        self._run = run
        self._if_ended = if_ended
        self._up = metrics.task_up.labels(name)
        self._failures = metrics.task_failures.labels(name)
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._in_a_row = 0
        self._again: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._start()

    def count_failure(self) -> None:
        """Count that something the task does failed; the task goes on."""
        self._failures.inc()

    async def stop(self) -> None:
        """Cancel the task, and wait until it has ended."""
        self._stopping()
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def finish(self) -> None:
        """Wait until the task ends by itself."""
        self._stopping()
        await asyncio.wait((self._task,))

    def _stopping(self) -> None:
        self._is_stopping = True
        if self._again is not None:
            self._again.cancel()

    def _start(self) -> None:
        self._again = None
        self._since = self._loop.time()
        self._task = self._loop.create_task(self._run(), name=self._name)
        self._task.add_done_callback(self._ended)
        self._up.set(1)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()  # asked for, so that nobody misses it
        if self._is_stopping:
            return
        self._in_a_row = self._in_a_row + 1 if self._loop.time() - self._since < _IN_A_ROW_SECONDS else 1
        why = "it was cancelled" if task.cancelled() else "it returned" if error is None else repr(error)
        goes_on = self._if_ended is IfEnded.START_AGAIN and self._in_a_row <= _IN_A_ROW_MAX
        if goes_on:
            wait_seconds = _FIRST_WAIT_SECONDS * 2 ** (self._in_a_row - 1)
            self._again = self._loop.call_later(wait_seconds, self._start)
        else:
            self._give_up(self._name, why)
        self._up.set(0)
        self._failures.inc()
        _log.error("a task ended", task=self._name, why=why, starts_again=goes_on, exc_info=error)
