"""Work that ends when its caller has gone: it checks now and then whether anybody still waits."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class GivenUpError(Exception):
    """An error raised within work whose caller has gone."""


class Stop:
    """A flag that says whether work was given up. Usable from any thread."""

    def __init__(self) -> None:
        self.is_set = False

    def check(self) -> None:
        """Raise GivenUpError if the caller of the work has gone."""
        if self.is_set:
            raise GivenUpError


async def until_ended(work: asyncio.Future[T], stop: Stop) -> T:
    """Return the result of work; on cancellation, stop the work and wait until it has ended, as it keeps its place."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.is_set = True
        work.add_done_callback(_unheard)
        await asyncio.wait([work])
        raise


def _unheard(work: asyncio.Future[Any]) -> None:
    """Read the error of work that nobody waits for, so that it is not reported as unread."""
    if not work.cancelled():
        work.exception()
