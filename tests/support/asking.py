"""Questions that last as long as a test needs them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from threading import Event

from master.store.backends.connections import QUESTIONS_MAX
from master.store.backends.database import Database, Tx
from master.store.backends.stopping import GivenUpError
from tests.support.waiting import until


class Endless:
    """A question that goes on, statement by statement, until it may end or is given up."""

    def __init__(self) -> None:
        self.may_end, self.began, self.given_up = Event(), Event(), Event()

    def __call__(self, tx: Tx) -> None:
        try:
            while not self.may_end.wait(0.001):
                tx.rows("SELECT 1")
                self.began.set()
        except GivenUpError:
            self.given_up.set()
            raise


@asynccontextmanager
async def asked(database: Database, *, times: int) -> AsyncIterator[tuple[Endless, list[asyncio.Task[None]]]]:
    """An endless question asked several times, begun; whatever happens, it has ended at the end."""
    question = Endless()
    asking = [asyncio.create_task(database.ask(question)) for _ in range(times)]
    try:
        await until(question.began.is_set, every_seconds=0.001)
        yield question, asking
    finally:
        question.may_end.set()
        await asyncio.gather(*asking, return_exceptions=True)


@asynccontextmanager
async def all_asked(database: Database) -> AsyncIterator[None]:
    """Nothing more is answered until the end."""
    async with AsyncExitStack() as stack:
        for _ in range(QUESTIONS_MAX if database.is_shared else 1):
            await stack.enter_async_context(asked(database, times=1))
        yield
