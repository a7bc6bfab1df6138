"""Seats held under other spellings of a name are found again after the migration, and none is lost or freed."""

from __future__ import annotations

import asyncio
import unicodedata

import pytest
from sqlalchemy import text

from master.store import schema
from master.store.database import Database, Tx
from tests.store.test_migration_standby import downgrade

JURGEN = "Jürgen Müller"
NFD = unicodedata.normalize("NFD", JURGEN)


@pytest.mark.rule("E3")
async def test_holders_are_respelt_and_nothing_is_freed(database: Database, database_url: str) -> None:
    await asyncio.to_thread(downgrade, database_url, "0014")
    seats = [
        (1, "anna ", "port", NFD, 1), (1, NFD, "port", "", 1), (1, f"{JURGEN} ", "port", "", 1),
        (2, NFD, "video", "", 1), (2, JURGEN, "video", "", 1), (2, NFD, "fax", "", 1), (3, "otto", "port", "", 1),
    ]  # fmt: skip

    def fill(tx: Tx) -> None:
        for pbx, holder, kind_of_license, user, kind in seats:
            tx.connection.execute(
                text(
                    "INSERT INTO seat (pbx_id, holder, type, kind, user_name, line, pool_id, parent, acquired_at)"
                    " VALUES (:pbx, :holder, :type, :kind, :user, '', 1, '', 0)"
                ),
                {"pbx": pbx, "holder": holder, "type": kind_of_license, "kind": kind, "user": user},
            )
            tx.connection.execute(
                text("INSERT INTO revocation VALUES (:pbx, :holder, :type, 1, 0)"),
                {"pbx": pbx, "holder": holder, "type": kind_of_license},
            )

    await database.transact(fill)
    await asyncio.to_thread(schema.upgrade, database_url)
    held, revoked = await database.read(
        lambda tx: (
            {tuple(row) for row in tx.rows("SELECT pbx_id, holder, type, user_name FROM seat")},
            {tuple(row) for row in tx.rows("SELECT pbx_id, holder, type FROM revocation")},
        )
    )
    assert held == {
        (1, "anna", "port", JURGEN), (1, JURGEN, "port", ""), (1, f"{JURGEN} ", "port", ""),
        (2, NFD, "video", ""), (2, JURGEN, "video", ""), (2, NFD, "fax", ""), (3, "otto", "port", ""),
    }  # fmt: skip
    assert revoked >= {(1, "anna", "port"), (1, JURGEN, "port"), (2, JURGEN, "video"), (3, "otto", "port")}
    assert not any(holder in (NFD, f"{JURGEN} ", "anna ") for _, holder, _ in revoked)
