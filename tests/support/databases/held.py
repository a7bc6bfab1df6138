"""A database whose writer is busy, for as long as a test wants it to be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from master.store.backends.database import Tx
from master.store.tables.names import TABLES
from tests.support.masters import InProcess


def busy(begun: threading.Event, end: threading.Event) -> Callable[[Tx], bool]:
    """Work that goes on until it is told to end."""

    def work(tx: Tx) -> bool:
        begun.set()
        return end.wait()

    return work


@asynccontextmanager
async def writer_held(master: InProcess, database_url: str) -> AsyncIterator[None]:
    """Somebody is in the middle of changing everything: no other change is written until the end of this block."""
    if database_url.startswith("sqlite"):
        begun, end = threading.Event(), threading.Event()
        holding = asyncio.create_task(master.running.database.transact(busy(begun, end)))
        await asyncio.to_thread(begun.wait)
        try:
            yield
        finally:
            end.set()
            await holding
        return
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            tables = ", ".join(f'"{name}"' for name in TABLES)
            await connection.execute(f"LOCK TABLE {tables} IN EXCLUSIVE MODE")  # nobody else may lock a row
            yield
    finally:
        await connection.close()
