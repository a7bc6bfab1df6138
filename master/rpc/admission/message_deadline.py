"""How long a call waits for its message: one timer for all calls, as all wait equally long.

A timer of its own for each call costs more than to read what it brings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from master.rpc.errors import MessageLateError

T = TypeVar("T")


class MessageDeadline:
    """Ends the reading of messages that do not come in time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at: dict[asyncio.Task[object], float] = {}
        """By the task that reads, by the loop's clock; the first to end comes first."""
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, reading: Awaitable[T]) -> T:
        """What is read, in time.

        Raises:
            MessageLateError: it did not come.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._ends_at[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end_late)
        try:
            return await reading
        except asyncio.CancelledError:
            if task not in self._late or task.uncancel():  # it was cancelled otherwise, or that as well
                raise
            raise MessageLateError(f"no message came within {self._seconds:g} s of its call") from None
        finally:
            del self._ends_at[task]
            self._late.discard(task)

    def _end_late(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, ends_at in self._ends_at.items():
            if ends_at > loop.time():
                self._timer = loop.call_at(ends_at, self._end_late)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()
