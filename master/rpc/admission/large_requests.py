"""Work on large requests and answers in a thread beside the event loop: one at a time, callers by turns.

Ten thousand seats take a tenth of a second to read, as long again to answer. On the loop a hundred such calls would
hold up every renewal for twenty seconds; in the thread they wait for each other. Each caller has one piece of work in
it at a time, so that the work of another waits for one piece of each caller at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_SMALL = 128
"""Elements up to which work is done on the loop, as a thread would cost more. A usual batch of a PBX has a hundred."""


class Aside:
    """The thread for work on large requests and answers."""

    def __init__(self, caller: Callable[[], str]) -> None:
        """`caller` returns the caller of the call that is being served."""
        self._caller = caller
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-requests")
        self._turns: dict[str, _Turn] = {}

    async def run(self, elements: int, work: Callable[[], T]) -> T:
        """Do `work` on so many elements, in the thread where they are many, and return its result; `work` must touch
        nothing that others change."""
        if elements <= _SMALL:
            return work()
        caller = self._caller()
        turn = self._turns.setdefault(caller, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[caller]


class _Turn:
    """The lock of one caller, and how many pieces of its work need it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
