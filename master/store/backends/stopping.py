"""Work that ends with whoever waits for it: it looks now and then whether anybody still does."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class GivenUpError(Exception):
    """Raised within work whose caller has gone."""


class Stop:
    """Whether work was given up. Usable from any thread."""

    def __init__(self) -> None:
        self.is_set = False

    def check(self) -> None:
        """Raise if whoever waits for the work has gone.

        Raises:
            GivenUpError: the work was given up.
        """
        if self.is_set:
            raise GivenUpError


async def until_ended(work: asyncio.Future[T], stop: Stop) -> T:
    """What comes of work. Whoever gives up waiting stops it, and stays until it has ended: it has its place so long."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.is_set = True
        work.add_done_callback(_unheard)
        await asyncio.wait([work])
        raise


def _unheard(work: asyncio.Future[Any]) -> None:
    """Nobody is there to hear how it ended."""
    if not work.cancelled():
        work.exception()
