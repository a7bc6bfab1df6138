"""Dry runs: the same work, done on a copy of one project in memory, which nobody else sees or waits for.

The copy is read on one consistent state, on both kinds of database without the writer and without a lock. The work can
read again what it writes, which is discarded with the copy (`project_copies`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from master.store.backends.database import Transactions, Tx
from master.store.dry_runs.project_copies import SeatsOf, copy_of, rehearsed, tables_of

T = TypeVar("T")


class Rehearsals:
    """A queue that does work on copies, one at a time, so that all dry runs together hold one copy and one thread."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._turn = asyncio.Semaphore(1)
        self._tables = ""

    async def run(self, project: str, work: Callable[[Tx], T], *, seats_of: SeatsOf | None = None) -> T:
        """Return the result of work on a copy of a project; `seats_of` says which PBXs' seats are copied, else all.
        Raises StorageError if the copy could not be read, or the work not done."""
        await self._turn.acquire()
        try:
            tables = self._tables = self._tables or await tables_of(self._database)
            copy = await self._database.read(lambda tx: copy_of(tx, tables, project, seats_of or of_every_pbx))
            done = asyncio.get_running_loop().run_in_executor(None, rehearsed, copy, work)
        except BaseException:
            self._turn.release()
            raise
        done.add_done_callback(self._next)
        return await asyncio.shield(done)  # a thread goes on although its caller has gone: the next one waits for it

    def _next(self, done: asyncio.Future[Any]) -> None:
        self._turn.release()
        if not done.cancelled():
            done.exception()  # nobody may be there to hear of it


def of_every_pbx(tx: Tx, project_id: int) -> list[int]:
    return [row[0] for row in tx.rows("SELECT id FROM pbx WHERE project_id = ?1 ORDER BY id", project_id)]


def of_no_pbx(tx: Tx, project_id: int) -> list[int]:
    """Return no PBX, for work that reads no seats."""
    return []


def of_pair(name: str) -> SeatsOf:
    """Return a function to the ids of a PBX and of the PBX that it is the standby of."""

    def ids(tx: Tx, project_id: int) -> list[int]:
        statement = (
            "SELECT id FROM pbx WHERE project_id = ?1 AND (name = ?2 OR name IN"
            " (SELECT standby_for FROM pbx WHERE project_id = ?1 AND name = ?2)) ORDER BY id"
        )
        return [row[0] for row in tx.rows(statement, project_id, name)]

    return ids
