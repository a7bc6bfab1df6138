"""Calls change the local seats together, all else alone."""

from __future__ import annotations

import asyncio

from slave_client.seats.turn import Turn


async def test_calls_share_a_turn_and_nothing_else_does() -> None:
    turn, events = Turn(), list[str]()
    first, second = asyncio.Event(), asyncio.Event()

    async def call(name: str, end: asyncio.Event) -> None:
        async with turn.shared():
            events.append(f"{name} begins")
            await end.wait()
            events.append(f"{name} ends")

    async def reconcile() -> None:
        async with turn:
            events.append("alone")

    calls = [asyncio.create_task(call("first", first))]
    await asyncio.sleep(0)
    reconciling = asyncio.create_task(reconcile())
    calls.append(asyncio.create_task(call("second", second)))
    await asyncio.sleep(0)
    first.set()
    await calls[0]
    assert events == ["first begins", "second begins", "first ends"]
    second.set()
    await asyncio.gather(reconciling, *calls)
    assert events[-2:] == ["second ends", "alone"]


async def test_a_call_waits_for_who_is_alone() -> None:
    turn = Turn()
    begun = asyncio.Event()

    async def call() -> None:
        async with turn.shared():
            begun.set()

    async with turn:
        calls = [asyncio.create_task(call()) for _ in range(3)]
        calls.pop().cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not begun.is_set()
    await asyncio.gather(*calls)
    assert not turn.locked()
