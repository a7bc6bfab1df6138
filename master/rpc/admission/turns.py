"""Turns of calls: a call over its caller's pace waits for its turn, and is refused after a wait where that is far off.

A call that waits costs a timer. So a caller never costs more calls, served or refused, than its pace allows, whatever
it sends; and a caller that is over its pace for a moment only is not refused at all. The number of waiting calls is
bounded; a call stops waiting when its caller gives up, or the master stops.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Hashable

from master.auth.callers.limits import COME_BACK_SECONDS, CallerLimitError, Paces

WAIT_SECONDS_MAX = 10.0
"""Seconds after which at the latest a caller is told that it asks too much."""
_SOON_SECONDS = 2.0
"""Seconds within which a call's turn must come for the call to be served; it is refused otherwise."""
_WAITING_MAX = 4_000
"""The most calls that may wait, of all callers; further ones are refused at once."""


class Turns:
    """The calls that wait for their turn."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def take(self, paces: Paces, key: Hashable, *, what: str) -> bool:
        """Count a call of `key`, and wait for its turn; return whether it waited. `what` names the calls in the error's
        text.
        Raises CallerLimitError if the call's turn is too far off, or too many calls wait; the call counts nevertheless.
        """
        paces.take(key, 1)
        if not (seconds := paces.wait_seconds(key)):
            return False
        is_full, is_soon = len(self._waiting) >= _WAITING_MAX, seconds <= _SOON_SECONDS
        if not is_full and not self._stopped:  # those that came at once and are refused do not come at once again
            await self._wait(seconds if is_soon else seconds * random.uniform(0.5, 1))
        if is_full or not is_soon:
            problem = f"more than {paces.per_second:g} {what}"
            raise CallerLimitError(problem, max(paces.wait_seconds(key), COME_BACK_SECONDS))
        return True

    async def wait(self, paces: Paces, key: Hashable) -> bool:
        """Wait until what `key` took so far is paid for, 10 s at most; return whether it waited. Counts and refuses
        nothing."""
        if not (seconds := paces.wait_seconds(key)) or self._stopped:
            return False
        await self._wait(seconds)
        return True

    def stop(self) -> None:
        """End the waiting of all calls at once, and keep no further call waiting, because the master stops."""
        self._stopped = True
        for waiting in self._waiting:
            _end(waiting)

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _end, waiting)
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting.discard(waiting)


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
