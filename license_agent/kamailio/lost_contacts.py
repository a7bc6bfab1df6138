"""Removes the contacts of phones that lost their seat; of a phone that is in a call, after the call.

Decides: when; never while the phone is being answered, whose contact could come just before and go with the others.
Leaves to others: which seats are lost. What the phone does next, it does like any other: it registers again, and is
answered.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from license_agent.kamailio.locations import Locations, LocationsError

_log = structlog.get_logger(__name__)
_LOOK_SECONDS: Final = 1.0


class LostContacts:
    """The contacts to be removed; `is_licensed` tells whether a holder has a seat (again), or needs none."""

    def __init__(self, locations: Locations, is_licensed: Callable[[str], bool]) -> None:
        self._locations, self._is_licensed = locations, is_licensed
        self._due: dict[str, float] = {}
        self._spared: Counter[str] = Counter()
        self._being_removed, self._is_removed = "", asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def holders(self) -> frozenset[str]:
        """The holders whose contacts are to be removed."""
        return frozenset(self._due)

    def add(self, holder: str, *, after_seconds: float = 0) -> None:
        """Remove a holder's contacts after `after_seconds`, unless the holder has a seat by then."""
        self._due[holder] = asyncio.get_running_loop().time() + after_seconds
        if self._task is None:
            self._task = asyncio.create_task(self._remove_all())

    @asynccontextmanager
    async def spared(self, holders: Collection[str]) -> AsyncIterator[None]:
        """Keep these holders' contacts until the context ends; wait first for a removal that is under way."""
        self._spared.update(holders)
        try:
            while self._being_removed in holders:
                await self._is_removed.wait()
            yield
        finally:
            self._spared -= Counter(holders)

    def spares(self, holder: str) -> bool:
        """Tell whether a holder's contacts are kept now, because its registration is being answered."""
        return holder in self._spared

    async def stop(self) -> None:
        """Stop removing contacts; the next comparison finds those that are left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _remove_all(self) -> None:
        try:
            while self._due:
                try:
                    await self._remove_due()
                except LocationsError as error:
                    _log.warning("contacts stay for now", holders=len(self._due), reason=str(error))
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._task = None

    async def _remove_due(self) -> None:
        await self._locations.forget_licensed()  # first: from here on every refresh is asked about
        in_call = await self._locations.in_call()
        now = asyncio.get_running_loop().time()
        for holder, due in list(self._due.items()):
            if self._is_licensed(holder):
                self._due.pop(holder, None)
            elif due <= now and holder not in in_call and not self.spares(holder):
                await self._remove(holder)
                if self._due.get(holder) == due:
                    del self._due[holder]

    async def _remove(self, holder: str) -> None:
        self._being_removed = holder
        self._is_removed.clear()
        try:
            await self._locations.remove(holder)
        finally:
            self._being_removed = ""
            self._is_removed.set()
