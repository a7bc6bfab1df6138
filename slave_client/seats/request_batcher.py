"""Joins what concurrent callers ask for into few calls.

While a call is under way, whatever arrives waits; all of it goes out as the next call. A lone caller waits for nothing,
and many do not wait for a call of a few: what waits goes out beside the calls under way once it is several times as
much as any of them. As each is so much larger than those before, there are few, and there comes an end to them.

Decides: which items go out together, and that items with the same key go out in the order they came, never in one call,
nor in two at the same time.
Leaves to others: what a call is, its retries and its time limit. A caller that is cancelled harms nobody: an item that
has not gone out is dropped, the result of one that has is handed to `orphaned`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_BESIDE_MIN: Final = 16
_BESIDE_TIMES: Final = 3
"""A call goes out beside others with so many items at least, and so many times the items of any of them: a call itself
costs a master as much as some thirty seats."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    answer: asyncio.Future[Result]


class RequestBatcher(Generic[Item, Result]):
    """One lane of joined calls.

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
        self._under_way: list[Sequence[_Entry[Item, Result]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def submit_many(self, items: Sequence[Item]) -> list[Result]:
        """Send items with the next calls and return their results in order; raises what a call raises."""
        loop = asyncio.get_running_loop()
        entries: list[_Entry[Item, Result]] = [_Entry(item, loop.create_future()) for item in items]
        self._waiting.extend(entries)
        self._pending.update(self._key(item) for item in items)
        if entries:
            loop.call_soon(self._send_more)  # together with what others submit right now
        try:
            return [await entry.answer for entry in entries]
        except BaseException:
            self._abandon(entries)
            raise

    @property
    def unanswered(self) -> list[Item]:
        """The items under way, or else those that go out next; those whose callers left are not among them."""
        batches = self._under_way or [self._waiting]
        return [entry.item for batch in batches for entry in batch if not entry.answer.cancelled()]

    def is_pending(self, key: Hashable) -> bool:
        """Tell whether an item with that key is waiting or under way."""
        return key in self._pending

    async def drained(self) -> None:
        """Wait until nothing is waiting or under way."""
        while self._sending or self._waiting:
            await (asyncio.wait(self._sending) if self._sending else asyncio.sleep(0))

    def _abandon(self, entries: Sequence[_Entry[Item, Result]]) -> None:
        """Drop the entries of a caller who left; hand the results of those that went out to `orphaned`."""
        for entry in entries:
            if not entry.answer.done():
                entry.answer.cancel()
            elif not entry.answer.cancelled() and entry.answer.exception() is None:
                self._orphaned(entry.item, entry.answer.result())

    def _send_more(self) -> None:
        """Begin calls with what waits, unless it had better wait for those under way."""
        while min(len(self._waiting), self._items_max) >= self._worth_a_call and (batch := self._take()):
            self._under_way.append(batch)
            task = asyncio.create_task(self._send(batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    @property
    def _worth_a_call(self) -> int:
        """How many items have to wait for a call of theirs."""
        most = max(map(len, self._under_way), default=0)
        return max(_BESIDE_MIN, _BESIDE_TIMES * most) if most else 1

    def _take(self) -> list[_Entry[Item, Result]]:
        """Take the next call's entries: in order, each key once, nothing overtaking or joining one with its own key."""
        batch: list[_Entry[Item, Result]] = []
        later: deque[_Entry[Item, Result]] = deque()
        keys = {self._key(entry.item) for under_way in self._under_way for entry in under_way}
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

    async def _send(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        results: Sequence[Result] = ()
        failure: Exception | None = None
        try:
            results = await self._call([entry.item for entry in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items were sent, {len(results)} results came back")
        except Exception as error:
            failure = error
        finally:
            self._under_way = [other for other in self._under_way if other is not batch]
            for entry in batch:
                self._no_longer_pending(entry)
        self._send_more()  # before the callers go on
        if failure is not None:
            for entry in batch:
                if not entry.answer.done():
                    entry.answer.set_exception(failure)
            return
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
