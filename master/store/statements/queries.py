"""Reads for people: who holds what, the state of leases, events. Pages are cut by key, never by offset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from master.domain.allocation.overdraft import OverdraftAccount
from master.domain.audit.chain import Record
from master.domain.leases.leases import Lease
from master.domain.monitoring.overview import PoolUse
from master.domain.monitoring.pool_counts import PoolUsage
from master.domain.seats.seats import Seat
from master.store.backends.database import Tx, json_text
from master.store.statements.events import record_of
from master.store.statements.seats import LEASE_COLUMNS, SEAT_COLUMNS, lease_of, seats_of
from master.values import Value

_CONTAINS = "{} LIKE ? ESCAPE '/'"


SeatPlace = tuple[int, str, str, int]
"""The last seat of a page: PBX id, holder, type, kind."""


def list_seats(
    tx: Tx, pbx_ids: Sequence[int], *, license_type: str = "", holder: str = "", after: SeatPlace | None, limit: int
) -> list[Seat]:
    """Return seats by PBX, holder, type and kind, from behind `after` on; an empty text means any."""
    names = ", ".join(name for name, _ in SEAT_COLUMNS)
    conditions = ["pbx_id IN {?1:int}"]
    values: list[Any] = [list(pbx_ids), limit]
    for column, value in (("type", license_type), ("holder", holder)):
        if value:
            values.append(value)
            conditions.append(f"{column} = ?{len(values)}")
    if after is not None:
        first = len(values) + 1
        conditions.append(f"(pbx_id, holder, type, kind) > (?{first}, ?{first + 1}, ?{first + 2}, ?{first + 3})")
        values += after
    statement = (
        f"SELECT {names} FROM seat WHERE {' AND '.join(conditions)} ORDER BY pbx_id, holder, type, kind LIMIT ?2"
    )
    return seats_of(tx.rows(statement, *values))


def leases_of_project(tx: Tx, project_id: int) -> dict[int, Lease]:
    """Return all leases of a project, by PBX id."""
    columns = ", ".join(f"lease.{column}" for column in LEASE_COLUMNS)
    rows = tx.rows(f"SELECT {columns} FROM lease JOIN pbx ON pbx.id = lease.pbx_id WHERE project_id = ?1", project_id)
    return {row[0]: lease_of(row) for row in rows}


def applied_at(tx: Tx, project_id: int) -> float:
    """Return when a project was last applied, UNIX seconds."""
    return float(tx.rows("SELECT applied_at FROM project WHERE id = ?1", project_id)[0][0])


def pools_used(tx: Tx, project_id: int) -> dict[int, int]:
    """Return the seats debited now, by pool id."""
    return {pool_id: use.used for pool_id, use in pool_uses(tx, project_id).items()}


def pool_uses(tx: Tx, project_id: int) -> dict[int, PoolUse]:
    """Return the seats debited now and at the peak, and the overdraft, by pool id."""
    rows = tx.rows(
        "SELECT id, used, peak, peak_at, overdrawn, overdraft_spent, overdraft_at FROM pool WHERE project_id = ?1",
        project_id,
    )
    return {row[0]: PoolUse(row[1], row[2], row[3], OverdraftAccount(row[4], row[5], row[6])) for row in rows}


def usage_of_project(tx: Tx, project_id: int) -> dict[tuple[int, int], PoolUsage]:
    """Return the seats debited and counted, by (pool id, PBX id), where any are counted."""
    rows = tx.rows(
        "SELECT pool_id, pbx_id, seats, counted FROM pool_usage JOIN pool ON pool.id = pool_usage.pool_id"
        " WHERE pool.project_id = ?1 AND counted > 0",
        project_id,
    )
    return {(row[0], row[1]): PoolUsage(row[2], row[3]) for row in rows}


def counted_by_pbx(tx: Tx, project_id: int) -> dict[int, int]:
    """Return the seats held or promised in the name of each PBX of a project, by PBX id, where there are any."""
    rows = tx.rows(
        "SELECT pool_usage.pbx_id, SUM(pool_usage.counted) FROM pool_usage JOIN pool ON pool.id = pool_usage.pool_id"
        " WHERE pool.project_id = ?1 AND pool_usage.counted > 0 GROUP BY pool_usage.pbx_id",
        project_id,
    )
    return {row[0]: int(row[1]) for row in rows}


def seats_by_pool(tx: Tx) -> dict[tuple[int, int], int]:
    """Return the number of seat rows by (pool id, PBX id), which the counters must agree with."""
    rows = tx.rows("SELECT pool_id, pbx_id, COUNT(*) FROM seat WHERE pool_id IS NOT NULL GROUP BY pool_id, pbx_id")
    return {(row[0], row[1]): int(row[2]) for row in rows}


class EventFilter(Value, kw_only=True):
    """Which events to list; an empty text and 0 mean any."""

    pbx: str = ""
    """The name of the PBX, present or removed."""
    kind: str = ""
    license_id: str = ""
    """The id of a license that the details name."""
    caller: str = ""
    """A part of the caller's name."""
    since: float = 0
    """The earliest time, UNIX seconds."""


def list_events(tx: Tx, project_id: int, which: EventFilter, *, before: int | None, limit: int) -> list[Record]:
    """Return the events of a filter with numbers below `before`, newest first."""
    details = json_text(which.license_id) if which.license_id else ""
    conditions = ["project_id = ?1"]
    values: list[Any] = [project_id, limit]
    for condition, value in (
        ("pbx = ?", which.pbx),
        ("kind = ?", which.kind),
        (_CONTAINS.format("details"), _pattern(details)),
        (_CONTAINS.format("caller"), _pattern(which.caller)),
        ("time_us >= ?", round(which.since * 1_000_000)),
    ):
        if value:
            values.append(value)
            conditions.append(condition.replace("?", f"?{len(values)}"))
    if before is not None:
        values.append(before)
        conditions.append(f"seq < ?{len(values)}")
    statement = f"SELECT {', '.join(Record._fields)} FROM event WHERE {' AND '.join(conditions)}"
    return [record_of(row) for row in tx.rows(f"{statement} ORDER BY seq DESC LIMIT ?2", *values)]


def _pattern(part: str) -> str:
    """Return a LIKE pattern for texts that contain a part; empty for an empty part."""
    escaped = re.sub("[/%_]", r"/\g<0>", part)
    return f"%{escaped}%" if part else ""
