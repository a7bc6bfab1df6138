"""What is waiting while a call is under way goes out as the next one, and nobody is harmed by anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from slave_client.seats.request_batcher import RequestBatcher


class Counter:
    """A call that notes what it was given, and holds its answers until it is let go."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.orphans: list[tuple[str, str]] = []
        self.called = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[str]) -> list[str]:
        self.calls.append(list(items))
        async with self.called:
            self.called.notify_all()
        await self.gate.wait()
        if "poison" in items:
            raise ValueError("poison")
        return [item.upper() for item in items]

    async def wait_for_calls(self, count: int) -> None:
        async with self.called:
            await self.called.wait_for(lambda: len(self.calls) >= count)

    def batcher(self, items_max: int = 1000) -> RequestBatcher[str, str]:
        return RequestBatcher(
            self,
            key=lambda item: item.split("#")[0],
            orphaned=lambda item, result: self.orphans.append((item, result)),
            items_max=items_max,
        )


async def _submitted(batcher: RequestBatcher[str, str], item: str) -> str:
    (result,) = await batcher.submit_many([item])
    return result


async def test_concurrent_items_go_out_together() -> None:
    counter = Counter()
    batcher = counter.batcher()
    counter.gate.clear()
    first = asyncio.create_task(_submitted(batcher, "a"))
    await counter.wait_for_calls(1)
    rest = [asyncio.create_task(_submitted(batcher, item)) for item in "bcd"]
    await asyncio.sleep(0)
    counter.gate.set()
    assert await first == "A"
    assert await asyncio.gather(*rest) == ["B", "C", "D"]
    assert counter.calls == [["a"], ["b", "c", "d"]]


async def test_a_call_has_a_bound() -> None:
    counter = Counter()
    results = await counter.batcher(items_max=1000).submit_many([str(number) for number in range(2500)])
    assert results == [str(number) for number in range(2500)]
    assert [len(call) for call in counter.calls] == [1000, 1000, 500]


async def test_items_with_the_same_key_keep_their_order_and_never_share_a_call() -> None:
    counter = Counter()
    batcher = counter.batcher()
    assert await batcher.submit_many(["a#1", "b#1", "a#2", "a#3", "c#1"]) == ["A#1", "B#1", "A#2", "A#3", "C#1"]
    assert counter.calls == [["a#1", "b#1", "c#1"], ["a#2"], ["a#3"]]


async def test_a_failed_call_fails_its_own_callers_only() -> None:
    counter = Counter()
    batcher = counter.batcher()
    counter.gate.clear()
    poisoned = asyncio.create_task(_submitted(batcher, "poison"))
    await counter.wait_for_calls(1)
    healthy = asyncio.create_task(_submitted(batcher, "b"))
    counter.gate.set()
    with pytest.raises(ValueError, match="poison"):
        await poisoned
    assert await healthy == "B"


async def test_a_caller_cancelled_while_waiting_is_left_out() -> None:
    counter = Counter()
    batcher = counter.batcher()
    counter.gate.clear()
    first = asyncio.create_task(_submitted(batcher, "a"))
    await counter.wait_for_calls(1)
    gone, stays = asyncio.create_task(_submitted(batcher, "b")), asyncio.create_task(_submitted(batcher, "c"))
    await asyncio.sleep(0)
    assert batcher.is_pending("b")
    gone.cancel()
    counter.gate.set()
    assert await stays == "C"
    assert await first == "A"
    assert counter.calls == [["a"], ["c"]]
    assert counter.orphans == []
    assert not batcher.is_pending("b")


async def test_the_result_of_a_caller_cancelled_under_way_is_orphaned() -> None:
    counter = Counter()
    batcher = counter.batcher()
    counter.gate.clear()
    gone, stays = asyncio.create_task(_submitted(batcher, "a")), asyncio.create_task(_submitted(batcher, "b"))
    await counter.wait_for_calls(1)
    gone.cancel()
    counter.gate.set()
    assert await stays == "B"
    assert counter.orphans == [("a", "A")]
    await batcher.drained()


async def test_no_items_need_no_call() -> None:
    counter = Counter()
    assert await counter.batcher().submit_many([]) == []
    assert counter.calls == []
