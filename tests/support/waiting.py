"""Waiting for what tells nobody that it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.limits import HANG_SECONDS


async def until(holds: Callable[[], object], *, every_seconds: float = 0.01) -> None:
    """Look again and again, until what is seen, or what a coroutine of it brings, is true."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(every_seconds)
