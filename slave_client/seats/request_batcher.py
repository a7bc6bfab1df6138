"""Joins the requests of concurrent callers into one call at a time.

While a call is under way, whatever arrives waits; all of it goes out as the next call. A lone caller waits for nothing.

Decides: which items go out together, and that items with the same key go out in the order they came, never in one call.
Leaves to others: what a call is, its retries and its time limit. A caller that is cancelled harms nobody: an item that
has not gone out is dropped, the result of one that has is handed to `orphaned`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    answer: asyncio.Future[Result]


class RequestBatcher(Generic[Item, Result]):
    """A queue of items that go out in joined calls, one call at a time.

    `call` gets 1 to `items_max` items and returns one result per item, in order. Where it raises, every caller of that
    call gets the exception, and the next call goes on as ever. `orphaned` gets item and result where the caller left.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        key: Callable[[Item], Hashable],
        orphaned: Callable[[Item, Result], None],
        items_max: int = 1000,
    ) -> None:
        if items_max < 1:
            raise ValueError("items_max must be at least 1")
        self._call = call
        self._key = key
        self._orphaned = orphaned
        self._items_max = items_max
        self._pending: Counter[Hashable] = Counter()
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._under_way: Sequence[_Entry[Item, Result]] = ()
        self._worker: asyncio.Task[None] | None = None

    async def submit_many(self, items: Sequence[Item]) -> list[Result]:
        """Send items with the next calls; return their results, in order. Raises the exception of a failed call."""
        loop = asyncio.get_running_loop()
        entries: list[_Entry[Item, Result]] = [_Entry(item, loop.create_future()) for item in items]
        self._waiting.extend(entries)
        self._pending.update(self._key(item) for item in items)
        if entries and self._worker is None:
            self._worker = asyncio.create_task(self._work())
        try:
            return [await entry.answer for entry in entries]
        except BaseException:
            self._abandon(entries)
            raise

    @property
    def unanswered(self) -> list[Item]:
        """The items under way, or else those that wait; without items whose callers left."""
        return [entry.item for entry in self._under_way or self._waiting if not entry.answer.cancelled()]

    def is_pending(self, key: Hashable) -> bool:
        """Tell whether an item with that key is waiting or under way."""
        return key in self._pending

    async def drained(self) -> None:
        """Wait until nothing is waiting or under way."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    def _abandon(self, entries: Sequence[_Entry[Item, Result]]) -> None:
        """Drop the entries of a caller who left; hand the results of those that went out to `orphaned`."""
        for entry in entries:
            if not entry.answer.done():
                entry.answer.cancel()
            elif not entry.answer.cancelled() and entry.answer.exception() is None:
                self._orphaned(entry.item, entry.answer.result())

    async def _work(self) -> None:
        try:
            while batch := self._take():
                self._under_way = batch
                await self._send(batch)
        finally:
            self._under_way, self._worker = (), None

    def _take(self) -> list[_Entry[Item, Result]]:
        """Remove and return the next call's entries: in order, each key once; entries with one key keep their order."""
        batch: list[_Entry[Item, Result]] = []
        later: deque[_Entry[Item, Result]] = deque()
        keys: set[Hashable] = set()
        while self._waiting and len(batch) < self._items_max:
            entry = self._waiting.popleft()
            key = self._key(entry.item)
            if entry.answer.cancelled():
                self._no_longer_pending(entry)
                continue
            (later if key in keys else batch).append(entry)
            keys.add(key)
        later.extend(self._waiting)
        self._waiting = later
        return batch

    async def _send(self, batch: list[_Entry[Item, Result]]) -> None:
        try:
            results = await self._call([entry.item for entry in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items were sent, {len(results)} results came back")
        except Exception as failure:
            for entry in batch:
                self._no_longer_pending(entry)
                if not entry.answer.done():
                    entry.answer.set_exception(failure)
            return
        for entry in batch:
            self._no_longer_pending(entry)
        for entry, result in zip(batch, results, strict=True):
            if entry.answer.done():
                self._orphaned(entry.item, result)
            else:
                entry.answer.set_result(result)

    def _no_longer_pending(self, entry: _Entry[Item, Result]) -> None:
        """Note that an entry is neither waiting nor under way any more."""
        key = self._key(entry.item)
        self._pending[key] -= 1
        if not self._pending[key]:
            del self._pending[key]
