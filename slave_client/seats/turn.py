"""Who may change the local seats now: calls together, or a reconciliation alone.

Decides: calls that overlap have one turn together, from the first one's begin to the last one's end. All else that has
a turn has it alone, in the order in which it came. Leaves to others: that calls do not go on overlapping for ever, and
that no two of them are about one seat (both `request_batcher`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turn(asyncio.Lock):
    """Held as a lock by who has it alone."""

    def __init__(self) -> None:
        super().__init__()
        self._entrance = asyncio.Lock()
        self._sharing = 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Have a turn together with others who share it."""
        async with self._entrance:
            if not self._sharing:
                await self.acquire()
            self._sharing += 1
        try:
            yield
        finally:
            self._sharing -= 1
            if not self._sharing:
                self.release()
