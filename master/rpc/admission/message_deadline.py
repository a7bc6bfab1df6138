"""How long a call waits for its message: one timer for all calls, as all wait equally long.

A timer for each call would cost more than reading its message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from licensemaster.daemon.halts import HALTED_SECONDS, was_halted
from master.rpc.errors import MessageLateError

T = TypeVar("T")


class MessageDeadline:
    """Ends the reading of messages that do not come in time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at: dict[asyncio.Task[object], float] = {}
        """When reading must end, on the loop's clock, by the task that reads; the first to end comes first."""
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, reading: Awaitable[T]) -> T:
        """Return what `reading` reads. Raises MessageLateError if nothing came in time."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._ends_at[task] = loop.time() + self._seconds
        if self._timer is None:
            self._look_at(self._ends_at[task])
        try:
            return await reading
        except asyncio.CancelledError:
            if task not in self._late or task.uncancel():  # it was cancelled otherwise, or that as well
                raise
            raise MessageLateError(f"no message came within {self._seconds:g} s of its call") from None
        finally:
            del self._ends_at[task]
            self._late.discard(task)

    def _look_at(self, due: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(due, self._end_late, due)

    def _end_late(self, due: float) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        if was_halted(due=due, now=now):  # messages may be there, and are read next
            self._look_at(now + HALTED_SECONDS)
            return
        for task, ends_at in self._ends_at.items():
            if ends_at > now:
                self._look_at(ends_at)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()
