"""The statements of the hot path: lock, read and write what a batch of leases and seats needs.

Every master takes locks in one order: project (shared), PBXs, pools, ends of the audit, each by id. So a batch may
wait for another's end, but two never for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

from licensemaster.api_enums import HolderKind
from master.domain.allocation.overdraft import OverdraftAccount
from master.domain.catalog.versions import Version
from master.domain.leases.leases import Carrier, Lease, Phase
from master.domain.seats.refusals.reasons import MOST_HOLDERS
from master.domain.seats.seat_working_set import PoolScore, SeatWorkingSet
from master.domain.seats.seats import Key, Seat
from master.store.backends.database import Row, Tx
from master.store.tables.columns import upsert_into

_KINDS = {kind.value: kind for kind in HolderKind}

_SEAT = "s.pbx_id, s.type, s.kind, s.holder, s.user_name, s.line, s.pool_id, s.parent, s.acquired_at"
SEAT_COLUMNS = (
    ("pbx_id", "int"), ("type", "text"), ("kind", "int"), ("holder", "text"), ("user_name", "text"), ("line", "text"),
    ("pool_id", "int"), ("parent", "text"), ("acquired_at", "float8"),
)  # fmt: skip
_HOLDER = 3
"""The index of the column in which seats acquired together differ."""
SEAT_KEY_COLUMNS = (("pbx_id", "int"), ("holder", "text"), ("type", "text"), ("kind", "int"))
_SEAT_KEY = itemgetter(0, 3, 1, 2)
LEASE_COLUMNS = (
    "pbx_id", "epoch", "phase", "instance_id", "request_id", "software", "opened_at", "renewed_at", "ttl_seconds",
    "ends_at", "takeovers", "takeovers_since", "carrier_id", "carried_since", "primary_heard_at", "claimed",
    "unanswered_calls",
)  # fmt: skip
_LEASE = ", ".join(LEASE_COLUMNS)
_LEASE_UPSERT = upsert_into("lease", LEASE_COLUMNS, key=["pbx_id"])
_POOLS = "SELECT id, capacity, used, overdrawn, overdraft_spent, overdraft_at FROM pool WHERE id IN {?1:int}"
_POOL_UPDATE = """
    UPDATE pool SET
        used = used + ?2,
        peak = CASE WHEN used + ?2 > peak THEN used + ?2 ELSE peak END,
        peak_at = CASE WHEN used + ?2 > peak THEN ?3 ELSE peak_at END,
        overdrawn = ?4, overdraft_spent = ?5, overdraft_at = ?6
    WHERE id = ?1
"""
_USAGE_UPSERT = """
    INSERT INTO pool_usage (pool_id, pbx_id, seats, counted) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (pool_id, pbx_id) DO UPDATE SET
        seats = pool_usage.seats + excluded.seats, counted = pool_usage.counted + excluded.counted
"""


def lock_leases(tx: Tx, pbx_ids: Iterable[int]) -> dict[int, Lease]:
    """Lock PBXs against every other master, and read their leases."""
    ids = sorted(pbx_ids)
    if not ids:
        return {}
    tx.lock("SELECT 1 FROM pbx WHERE id IN {?1:int} ORDER BY id FOR NO KEY UPDATE", ids)
    return read_leases(tx, ids)


def read_leases(tx: Tx, pbx_ids: Sequence[int]) -> dict[int, Lease]:
    """Return leases by PBX id; PBXs without a lease are left out."""
    rows = tx.rows(f"SELECT {_LEASE} FROM lease WHERE pbx_id IN {{?1:int}}", list(pbx_ids))
    return {row[0]: lease_of(row) for row in rows}


def lease_of(row: Row) -> Lease:
    """Return a lease from its columns in table order."""
    return Lease(
        pbx_id=row[0],
        epoch=row[1],
        phase=Phase(row[2]),
        instance_id=row[3],
        request_id=row[4],
        software=Version.parse(row[5]),
        opened_at=row[6],
        renewed_at=row[7],
        ttl_seconds=row[8],
        ends_at=row[9],
        takeovers=row[10],
        takeovers_since=row[11],
        carrier=Carrier(row[12], row[13], row[14]) if row[12] is not None else None,
        claimed=bool(row[15]),
        unanswered_calls=row[16],
    )


def reclaimable_pbxs(tx: Tx, *, ended_before: float, limit: int) -> list[tuple[int, str, str]]:
    """Return (PBX id, project, PBX) of leases that ended before a moment, UNIX seconds, or expired with seats left."""
    statement = """
        SELECT lease.pbx_id, project.name, pbx.name FROM lease
        JOIN pbx ON pbx.id = lease.pbx_id JOIN project ON project.id = pbx.project_id
        WHERE (lease.phase = 'open' AND lease.ends_at < ?1)
           OR (lease.phase = 'expired' AND EXISTS (SELECT 1 FROM seat WHERE seat.pbx_id = lease.pbx_id))
        ORDER BY lease.ends_at LIMIT ?2
        """
    rows = tx.rows(statement, ended_before, limit)
    return [(row[0], row[1], row[2]) for row in rows]


def seats_of_holders(tx: Tx, holders: Iterable[tuple[int, str]]) -> list[Seat]:
    """Return all seats of holders, given as (PBX id, holder)."""
    pairs = list(holders)
    if not pairs:
        return []
    statement = f"SELECT {_SEAT} FROM {{pairs}} CROSS JOIN seat s WHERE s.pbx_id = a AND s.holder = b"
    return seats_of(tx.rows_for_pairs(statement, pairs))


def seats_on_behalf(tx: Tx, users: Iterable[tuple[int, str]]) -> list[Seat]:
    """Return all seats that other holders hold on behalf of users, given as (PBX id, user)."""
    pairs = list(users)
    if not pairs:
        return []
    statement = (
        f"SELECT {_SEAT} FROM {{pairs}} CROSS JOIN seat s WHERE s.pbx_id = a AND s.user_name = b AND s.user_name <> ''"
    )
    return seats_of(tx.rows_for_pairs(statement, pairs))


def seats_of_types(tx: Tx, types: Iterable[tuple[int, str]]) -> list[Seat]:
    """Return all seats of license types, given as (PBX id, license type)."""
    pairs = list(types)
    if not pairs:
        return []
    return seats_of(
        tx.rows_for_pairs(f"SELECT {_SEAT} FROM {{pairs}} CROSS JOIN seat s WHERE s.pbx_id = a AND s.type = b", pairs)
    )


def seats_of_pbxs(tx: Tx, pbx_ids: Sequence[int]) -> list[Seat]:
    if not pbx_ids:
        return []
    return seats_of(tx.rows(f"SELECT {_SEAT} FROM seat s WHERE s.pbx_id IN {{?1:int}}", list(pbx_ids)))


def seat_totals(tx: Tx, pbx_ids: Sequence[int]) -> dict[int, dict[tuple[str, int | None], int]]:
    """Return how many seats PBXs hold, by PBX id, and by type and pool; PBXs without seats are left out."""
    if not pbx_ids:
        return {}
    by_pbx: dict[int, dict[tuple[str, int | None], int]] = {}
    statement = (
        "SELECT pbx_id, type, pool_id, count(*) FROM seat WHERE pbx_id IN {?1:int} GROUP BY pbx_id, type, pool_id"
    )
    for pbx_id, license_type, pool_id, seats in tx.rows(statement, list(pbx_ids)):
        by_pbx.setdefault(pbx_id, {})[license_type, pool_id] = seats
    return by_pbx


def who_hold(tx: Tx, pbx_ids: Sequence[int]) -> set[int]:
    """Return the ids of those of some PBXs that hold any seat."""
    statement = "SELECT id FROM pbx WHERE id IN {?1:int} AND EXISTS (SELECT 1 FROM seat WHERE seat.pbx_id = pbx.id)"
    return {row[0] for row in tx.rows(statement, list(pbx_ids))} if pbx_ids else set()


def first_seats(tx: Tx, pbx_id: int, *, holders: int) -> list[Seat]:
    """Return all seats of a PBX's first holders: seats of one holder stay together (D1)."""
    statement = (
        f"SELECT {_SEAT} FROM seat s WHERE s.pbx_id = ?1 AND s.holder IN"
        " (SELECT DISTINCT holder FROM seat WHERE pbx_id = ?1 ORDER BY holder LIMIT ?2)"
    )
    return seats_of(tx.rows(statement, pbx_id, holders))


def lock_pools(tx: Tx, pool_ids: Iterable[int]) -> dict[int, PoolScore]:
    """Lock pools against every other master, and return how much of each is used, by pool id.

    A statement that waited for a row's lock reads what was committed last.
    """
    ids = sorted(pool_ids)
    return _pools(tx.rows(f"{_POOLS} ORDER BY id FOR NO KEY UPDATE", ids)) if ids else {}


def read_pools(tx: Tx, pool_ids: Iterable[int]) -> dict[int, PoolScore]:
    """Return how much of some pools is used, by pool id, without a lock: simultaneous changes may be missed."""
    return _pools(tx.rows(_POOLS, sorted(pool_ids)))


def _pools(rows: Iterable[Row]) -> dict[int, PoolScore]:
    return {row[0]: PoolScore(row[1], row[2], OverdraftAccount(row[3], row[4], row[5])) for row in rows}


def counted_of_pool(tx: Tx, pool_id: int, pbx_ids: Sequence[int] | None) -> dict[int, int]:
    """Return the seats counted of a pool by PBX id, for some PBXs or for all where `pbx_ids` is None, if any."""
    if pbx_ids is None:
        rows = tx.rows("SELECT pbx_id, counted FROM pool_usage WHERE pool_id = ?1 AND counted > 0", pool_id)
    else:
        statement = "SELECT pbx_id, counted FROM pool_usage WHERE pool_id = ?1 AND pbx_id IN {?2:int} AND counted > 0"
        rows = tx.rows(statement, pool_id, list(pbx_ids))
    return {row[0]: row[1] for row in rows}


def write_working_set(tx: Tx, working_set: SeatWorkingSet, *, now: float) -> bool:
    """Write what a batch changed: seats, pools with their peaks, and use by PBX; `now` is UNIX time in seconds.

    Return whether fewer seats are counted of any pool than before.
    """
    if removed := working_set.removed():
        tx.delete("seat", SEAT_KEY_COLUMNS, list(map(_SEAT_KEY, removed)), differ_in=1)
    tx.many("DELETE FROM seat WHERE pbx_id = ?1", [(pbx_id,) for pbx_id in working_set.emptied()])
    if added := working_set.added():
        tx.insert("seat", SEAT_COLUMNS, added, differ_in=_HOLDER)
    changes = working_set.pool_changes()
    totals: dict[int, int] = {}
    for (pool_id, _), (_, counted) in changes.items():
        totals[pool_id] = totals.get(pool_id, 0) + counted
    accounts = {pool_id: working_set.pools[pool_id].account_after(now) for pool_id in sorted(totals)}
    rows = [(key, totals[key], now, pool.overdrawn, pool.spent, pool.at) for key, pool in accounts.items()]
    tx.many(_POOL_UPDATE, rows)
    tx.many(_USAGE_UPSERT, [(*name, *change) for name, change in sorted(changes.items())])
    return min(totals.values(), default=0) < 0


def revoked_seats(tx: Tx, pbx_ids: Sequence[int]) -> dict[int, set[Key]]:
    """Return the seats that PBXs still have to give back after an operator took them away (L5), by PBX id."""
    by_pbx: dict[int, set[Key]] = {}
    if pbx_ids:
        rows = tx.rows("SELECT pbx_id, type, kind, holder FROM revocation WHERE pbx_id IN {?1:int}", list(pbx_ids))
        for row in rows:
            by_pbx.setdefault(row[0], set()).add((row[1], _KINDS[row[2]], row[3]))
    return by_pbx


def revoke_seats(tx: Tx, pbx_id: int, keys: Iterable[Key]) -> None:
    """Write that seats of a PBX are taken away."""
    statement = "INSERT INTO revocation (pbx_id, type, kind, holder) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
    tx.many(statement, [(pbx_id, kind_of_license, int(kind), holder) for kind_of_license, kind, holder in keys])


def forget_revoked(tx: Tx, pbx_id: int, keys: Iterable[Key]) -> None:
    """Delete the revocations of seats that were given back."""
    rows = [(pbx_id, kind_of_license, int(kind), holder) for kind_of_license, kind, holder in keys]
    tx.many("DELETE FROM revocation WHERE pbx_id = ?1 AND type = ?2 AND kind = ?3 AND holder = ?4", rows)


def write_leases(tx: Tx, leases: Iterable[Lease]) -> None:
    """Write leases that were opened, renewed or ended."""
    rows = [
        (
            lease.pbx_id, lease.epoch, lease.phase.value, lease.instance_id, lease.request_id, lease.software.reported,
            lease.opened_at, lease.renewed_at, lease.ttl_seconds, lease.ends_at, lease.takeovers, lease.takeovers_since,
            *_carrier_columns(lease.carrier), lease.claimed, lease.unanswered_calls,
        )
        for lease in leases
    ]  # fmt: skip
    tx.many(_LEASE_UPSERT, rows)


def _carrier_columns(carrier: Carrier | None) -> tuple[int | None, float | None, float | None]:
    return (None, None, None) if carrier is None else (carrier.pbx_id, carrier.since, carrier.primary_heard_at)


def holdings(tx: Tx, pbx_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return the seats debited, by PBX id and license type."""
    statement = """
        SELECT pool_usage.pbx_id, pool.type, SUM(pool_usage.seats) FROM pool_usage
        JOIN pool ON pool.id = pool_usage.pool_id
        WHERE pool_usage.pbx_id IN {?1:int} AND pool_usage.seats > 0 GROUP BY pool_usage.pbx_id, pool.type
        """
    rows = tx.rows(statement, list(pbx_ids))
    by_pbx: dict[int, dict[str, int]] = {}
    for pbx_id, license_type, seats in rows:
        by_pbx.setdefault(pbx_id, {})[license_type] = int(seats)
    return by_pbx


def biggest_holders(tx: Tx, pool_id: int) -> list[tuple[int, int]]:
    """Return (PBX id, seats) of the PBXs that use most of a pool."""
    statement = "SELECT pbx_id, seats FROM pool_usage WHERE pool_id = ?1 AND seats > 0 ORDER BY seats DESC LIMIT ?2"
    rows = tx.rows(statement, pool_id, MOST_HOLDERS)
    return [(row[0], row[1]) for row in rows]


def seats_of(rows: Iterable[Row]) -> list[Seat]:
    """Return seats from their columns in the order of `Seat`."""
    kinds = _KINDS
    return [Seat(row[0], row[1], kinds[row[2]], row[3], row[4], row[5], row[6], row[7], row[8]) for row in rows]
