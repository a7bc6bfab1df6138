"""An estate with leases and seats out comes through the standby migration, and goes on."""

from __future__ import annotations

import asyncio

from alembic import command
from sqlalchemy import Connection, text

from master.store import schema
from master.store.database import Database, Tx
from master.store.integrity import counter_mismatches
from master.store.urls import parse_url

BEFORE = "0003"


async def test_what_is_out_stays_counted(database: Database, database_url: str) -> None:
    await asyncio.to_thread(downgrade, database_url, BEFORE)
    statements = (
        "INSERT INTO project (id, name, display_name, catalog, revision, applied_at, epoch_floor)"
        " VALUES (1, 'acme', '', 'innovaphone', 1, 0, 0)",
        "INSERT INTO device (id, project_id, name, platform, model) VALUES (1, 1, 'hq-box', 'gateway', '')",
        "INSERT INTO pbx (id, project_id, name, site, device_id, role, software_version, standby_for)"
        " VALUES (1, 1, 'hq', 'hq', 1, 1, '12', '')",
        "INSERT INTO pool (id, project_id, device_id, type, capacity, used) VALUES (1, 1, 1, 'port', 5, 1)",
        "INSERT INTO pool_usage (pool_id, pbx_id, seats) VALUES (1, 1, 1)",
        "INSERT INTO seat (pbx_id, holder, type, kind, user_name, line, pool_id, parent, acquired_at)"
        " VALUES (1, 'anna', 'port', 1, '', '', 1, '', 0)",
        "INSERT INTO lease (pbx_id, epoch, phase, instance_id, request_id, software, opened_at, renewed_at,"
        " ttl_seconds, ends_at, takeovers, takeovers_since)"
        " VALUES (1, 3, 'open', 'one', 'first', '12', 0, 0, 60, 100, 0, 0)",
    )

    def fill(tx: Tx) -> None:
        for statement in statements:
            tx.connection.execute(text(statement))

    await database.transact(fill)
    await asyncio.to_thread(schema.upgrade, database_url)
    found = await database.read(
        lambda tx: (
            [tuple(row) for row in tx.rows("SELECT seats, counted FROM pool_usage")],
            [(row[0], bool(row[1])) for row in tx.rows("SELECT carrier_id, claimed FROM lease")],
            counter_mismatches(tx),
        )
    )
    assert found == ([(1, 1)], [(None, False)], [])


def downgrade(database_url: str, revision: str) -> None:
    """Back to an earlier schema."""

    def run(connection: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    schema._with_connection(parse_url(database_url), run)
