"""Work on large requests and answers, beside the loop that everybody's calls wait for: one at a time, callers by turns.

Ten thousand seats take a tenth of a second to read, as long again to answer. On the loop a hundred such calls would
hold up every renewal for twenty seconds; beside it they wait for each other, and of one caller one is worked on, so
that another's waits for one of each caller at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_SMALL = 128
"""Elements that are soon done with; handing them over would cost more. A usual batch of a PBX has a hundred."""


class Aside:
    """A thread for what is large."""

    def __init__(self, caller: Callable[[], str]) -> None:
        """`caller` says whose call is being served."""
        self._caller = caller
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-requests")
        self._turns: dict[str, _Turn] = {}

    async def run(self, elements: int, work: Callable[[], T]) -> T:
        """What `work` returns or raises; it is about so many elements, and touches nothing that others change."""
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
    """One caller's."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
