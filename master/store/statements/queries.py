"""Reading for people: who holds what, how leases stand, what happened. Pages are cut by key, never by offset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select, tuple_

from master.domain.allocation.overdraft import OverdraftAccount
from master.domain.audit.chain import Record
from master.domain.leases.leases import Lease
from master.domain.monitoring.overview import PoolUse
from master.domain.monitoring.pool_counts import PoolUsage
from master.domain.seats.seats import Seat
from master.store import tables as t
from master.store.backends.database import Tx
from master.store.statements.events import record_of
from master.store.statements.seats import SEAT_COLUMNS, lease_of, seats_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatFilter:
    """Which seats; None means any."""

    pbx_ids: Sequence[int]
    license_type: str | None = None
    holder: str | None = None


SeatPlace = tuple[int, str, str, int]
"""Where a page of seats ended: PBX id, holder, type, kind."""


def list_seats(tx: Tx, which: SeatFilter, *, after: SeatPlace | None, limit: int) -> list[Seat]:
    """Seats by PBX, holder, type and kind, from behind `after` on."""
    seat = t.seat.c
    key = (seat.pbx_id, seat.holder, seat.type, seat.kind)
    query = (
        select(*(seat[name] for name, _ in SEAT_COLUMNS))
        .where(seat.pbx_id.in_(which.pbx_ids))
        .order_by(*key)
        .limit(limit)
    )
    if which.license_type is not None:
        query = query.where(seat.type == which.license_type)
    if which.holder is not None:
        query = query.where(seat.holder == which.holder)
    if after is not None:
        query = query.where(tuple_(*key) > after)
    return seats_of(tuple(row) for row in tx.connection.execute(query))


def leases_of_project(tx: Tx, project_id: int) -> dict[int, Lease]:
    """All leases of a project, by PBX id."""
    query = select(t.lease).join(t.pbx, t.pbx.c.id == t.lease.c.pbx_id).where(t.pbx.c.project_id == project_id)
    return {row[0]: lease_of(tuple(row)) for row in tx.connection.execute(query)}


def applied_at(tx: Tx, project_id: int) -> float:
    """When a project was last applied."""
    return float(tx.rows("SELECT applied_at FROM project WHERE id = ?1", project_id)[0][0])


def pools_used(tx: Tx, project_id: int) -> dict[int, int]:
    """Seats debited now, by pool id."""
    return {pool_id: use.used for pool_id, use in pool_uses(tx, project_id).items()}


def pool_uses(tx: Tx, project_id: int) -> dict[int, PoolUse]:
    """Seats debited now and at the peak, by pool id."""
    pool = t.pool.c
    query = select(
        pool.id, pool.used, pool.peak, pool.peak_at, pool.overdrawn, pool.overdraft_spent, pool.overdraft_at
    ).where(pool.project_id == project_id)
    return {
        row.id: PoolUse(row.used, row.peak, row.peak_at, OverdraftAccount(*row[4:]))
        for row in tx.connection.execute(query)
    }


def usage_of_project(tx: Tx, project_id: int) -> dict[tuple[int, int], PoolUsage]:
    """Seats debited and counted, by (pool id, PBX id); those without any are left out."""
    query = (
        select(t.pool_usage)
        .join(t.pool, t.pool.c.id == t.pool_usage.c.pool_id)
        .where(and_(t.pool.c.project_id == project_id, t.pool_usage.c.counted > 0))
    )
    return {(row.pool_id, row.pbx_id): PoolUsage(row.seats, row.counted) for row in tx.connection.execute(query)}


def counted_by_pbx(tx: Tx, project_id: int) -> dict[int, int]:
    """Seats held or promised in the name of each PBX of a project, by PBX id; those without any are left out."""
    rows = tx.rows(
        "SELECT pool_usage.pbx_id, SUM(pool_usage.counted) FROM pool_usage JOIN pool ON pool.id = pool_usage.pool_id"
        " WHERE pool.project_id = ?1 AND pool_usage.counted > 0 GROUP BY pool_usage.pbx_id",
        project_id,
    )
    return {row[0]: int(row[1]) for row in rows}


def seats_by_pool(tx: Tx) -> dict[tuple[int, int], int]:
    """Seats counted one by one, by (pool id, PBX id): what the counters must agree with."""
    query = (
        select(t.seat.c.pool_id, t.seat.c.pbx_id, func.count())
        .where(t.seat.c.pool_id.is_not(None))
        .group_by(t.seat.c.pool_id, t.seat.c.pbx_id)
    )
    return {(row[0], row[1]): int(row[2]) for row in tx.connection.execute(query)}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; an empty text and 0 mean any."""

    pbx: str = ""
    """The PBX's name, or the one it had."""
    kind: str = ""
    license_id: str = ""
    """A license that the details name."""
    caller: str = ""
    """A part of who asked."""
    since: float = 0
    """UNIX seconds; not those before."""


def list_events(tx: Tx, project_id: int, which: EventFilter, *, before: int | None, limit: int) -> list[Record]:
    """Events, newest first, from before the number `before` on."""
    event = t.event.c
    query = (
        select(*(event[name] for name in Record._fields))
        .where(event.project_id == project_id)
        .order_by(event.seq.desc())
        .limit(limit)
    )
    if which.pbx:
        query = query.where(event.pbx == which.pbx)
    if which.kind:
        query = query.where(event.kind == which.kind)
    if which.license_id:
        query = query.where(event.details.contains(json.dumps(which.license_id, ensure_ascii=False), autoescape=True))
    if which.caller:
        query = query.where(event.caller.contains(which.caller, autoescape=True))
    if which.since:
        query = query.where(event.time_us >= round(which.since * 1_000_000))
    if before is not None:
        query = query.where(event.seq < before)
    return [record_of(tuple(row)) for row in tx.connection.execute(query)]
