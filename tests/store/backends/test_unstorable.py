"""A value that a database cannot keep is the request's fault: it fails, and the database is as well as ever."""

from __future__ import annotations

from typing import Any

import pytest

from master.store.backends.database import Database, Tx
from master.store.backends.problems import UnstorableError


@pytest.mark.parametrize("value", [2**70, -(2**70)])
async def test_a_number_that_is_too_large(database: Database, value: int) -> None:
    def read(tx: Tx) -> Any:
        return tx.rows("SELECT id FROM project WHERE id = ?1", value)

    with pytest.raises(UnstorableError):
        await database.read(read)
    with pytest.raises(UnstorableError):
        await database.transact(read)
    assert await database.read(lambda tx: tx.rows("SELECT 1")[0][0]) == 1
    await database.verify()


async def test_a_text_that_is_none(database: Database) -> None:
    with pytest.raises(UnstorableError):
        await database.read(lambda tx: tx.rows("SELECT id FROM project WHERE name = ?1", "\ud800"))
    await database.verify()
