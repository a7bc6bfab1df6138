"""Large requests are worked on beside the loop: one at a time, callers by turns, and small ones where they are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from master.rpc.admission.large_requests import Aside
from tests.support.limits import HANG_SECONDS

LARGE = 10_000


async def test_callers_take_turns_whatever_one_of_them_asks() -> None:
    who, order = "mad", list[str]()
    aside = Aside(lambda: who)
    begun, go_on = threading.Event(), threading.Event()

    def waits() -> None:
        begun.set()
        go_on.wait(HANG_SECONDS)

    def noted(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    jobs = [asyncio.create_task(aside.run(LARGE, waits))]
    await asyncio.to_thread(begun.wait, HANG_SECONDS)
    jobs += [asyncio.create_task(aside.run(LARGE, noted("mad"))) for _ in range(5)]
    await asyncio.sleep(0)
    who = "berlin"
    jobs.append(asyncio.create_task(aside.run(LARGE, noted("berlin"))))
    await aside.run(1, noted("small"))
    assert order == ["small"]  # nobody waits for the thread who needs none
    go_on.set()
    await asyncio.gather(*jobs)
    assert order == ["small", "berlin", *["mad"] * 5]


async def test_who_gives_up_leaves_its_turn_and_what_fails_fails_for_its_caller() -> None:
    aside = Aside(lambda: "mad")
    begun, go_on = threading.Event(), threading.Event()

    def waits() -> None:
        begun.set()
        go_on.wait(HANG_SECONDS)

    first = asyncio.create_task(aside.run(LARGE, waits))
    await asyncio.to_thread(begun.wait, HANG_SECONDS)
    second = asyncio.create_task(aside.run(LARGE, lambda: pytest.fail("nobody waits for it")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    go_on.set()
    await first
    with pytest.raises(ZeroDivisionError):
        await aside.run(LARGE, lambda: 1 // 0)
    assert await aside.run(LARGE, lambda: 1) == 1
    assert not aside._turns
