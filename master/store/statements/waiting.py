"""Seats that PBXs wait for, and seats handed on that their PBX has not taken up yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import starmap

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import QueuePolicy
from master.domain.allocation.waiting_line import Waiter
from master.domain.catalog.versions import Version
from master.domain.leases.notices import Awaited
from master.domain.seats.seats import Key, Want
from master.store.backends.database import Row, Tx

_NAME = "pbx_id = ?1 AND holder = ?2 AND type = ?3 AND kind = ?4"


_IS_THERE = "lease.phase = 'open' AND lease.renewed_at + lease.ttl_seconds >= {now}"
_COLUMNS = (
    "waiter.pbx_id, waiter.type, waiter.kind, waiter.holder, waiter.user_name, waiter.line, waiter.application,"
    " waiter.asked_at, waiter.call_seats, waiter.place"
)
_OF_TYPE = "waiter.type = ?2 AND waiter.place > 0 AND (SELECT project_id FROM pbx WHERE pbx.id = waiter.pbx_id) = ?1"
"""A subquery: with statistics from when nobody waited, a join would be planned that reads all PBXs for each row."""

_WRITTEN = (
    ("pbx_id", "int"), ("holder", "text"), ("type", "text"), ("kind", "int"), ("user_name", "text"), ("line", "text"),
    ("application", "text"), ("asked_at", "float8"), ("call_seats", "int"), ("place", "int"),
)  # fmt: skip
_HOLDER = 1
"""The index of the column in which seats differ that are asked for together."""

Waiting = tuple[Waiter, Want, int]
"""The waiter, without the site, which the estate knows; the wanted seat; and the place that the PBX was told."""


def waiters_of_type(tx: Tx, project_id: int, license_type: str, *, now: float) -> list[Waiting]:
    """Return who waits for seats of a type in a project; `now` is UNIX seconds."""
    statement = (
        f"SELECT {_COLUMNS}, {_IS_THERE.format(now='?3')} FROM waiter"
        f" LEFT JOIN lease ON lease.pbx_id = waiter.pbx_id WHERE {_OF_TYPE}"
    )
    return _waiting(tx.rows(statement, project_id, license_type, now))


def waiters_at(tx: Tx, pbx_ids: Sequence[int], *, now: float) -> dict[int, list[Waiting]]:
    """Return what PBXs wait for and what was handed on to them, with place 0, by PBX id; `now` is UNIX seconds."""
    by_pbx: dict[int, list[Waiting]] = {pbx_id: [] for pbx_id in pbx_ids}
    statement = (
        f"SELECT {_COLUMNS}, {_IS_THERE.format(now='?2')} FROM waiter LEFT JOIN lease ON lease.pbx_id = waiter.pbx_id"
        " WHERE waiter.pbx_id IN {?1:int}"
    )
    for waiting in _waiting(tx.rows(statement, list(pbx_ids), now)) if pbx_ids else ():
        by_pbx[waiting[0].pbx_id].append(waiting)
    return by_pbx


def queue_length(tx: Tx, project_id: int, license_type: str) -> int:
    """Return how many seats of a type a project waits for."""
    rows = tx.rows("SELECT waiting FROM seat_queue WHERE project_id = ?1 AND type = ?2", project_id, license_type)
    return int(rows[0][0]) if rows else 0


def waiting_pbxs(tx: Tx, license_type: str) -> list[int]:
    """Return the ids of PBXs of all projects that wait for seats of a type.

    Reads one entry of an index for each PBX, however many seats the PBX waits for.
    """
    after = "(SELECT MIN(waiter.pbx_id) FROM waiter WHERE waiter.type = ?1 AND waiter.pbx_id > waits.pbx_id)"
    rows = tx.rows(
        "WITH RECURSIVE waits(pbx_id) AS (SELECT MIN(pbx_id) FROM waiter WHERE type = ?1"
        f" UNION ALL SELECT {after} FROM waits WHERE waits.pbx_id IS NOT NULL)"
        " SELECT pbx_id FROM waits WHERE pbx_id IS NOT NULL",
        license_type,
    )
    return [row[0] for row in rows]


def first_waiters(
    tx: Tx, pbx_ids: Sequence[int], license_type: str, policy: QueuePolicy, *, of_each: int, now: float
) -> list[Waiting]:
    """Return up to `of_each` first waiters for a type, of each connected one of some PBXs; `now` is UNIX seconds."""
    statement = f"""
        SELECT pbx_id, type, kind, holder, user_name, line, application, asked_at, call_seats, place, true FROM (
            SELECT {_COLUMNS}, ROW_NUMBER() OVER (
                PARTITION BY waiter.pbx_id
                ORDER BY CASE WHEN asked_at < ?4 THEN 0 WHEN call_seats <= ?5 THEN 1 ELSE 2 END, asked_at, kind, holder
            ) AS turn
            FROM waiter JOIN lease ON lease.pbx_id = waiter.pbx_id
            WHERE waiter.pbx_id IN {{?1:int}} AND waiter.type = ?2 AND waiter.place > 0
                AND {_IS_THERE.format(now="?3")}
        ) AS line WHERE turn <= ?6
    """
    impatient_since = now - policy.patience_seconds
    return _waiting(
        tx.rows(statement, list(pbx_ids), license_type, now, impatient_since, policy.express_seats_max, of_each)
    )


def _waiting(rows: Iterable[Row]) -> list[Waiting]:
    waiting = []
    for pbx_id, license_type, kind, holder, user, line, application, asked_at, call_seats, place, is_there in rows:
        version = Version.parse(application) if application else None
        want = Want(license_type, HolderKind(kind), holder, user, line, version)
        waiting.append((Waiter(pbx_id, "", want[:3], asked_at, call_seats, bool(is_there)), want, place))
    return waiting


def awaited_by(tx: Tx, pbx_ids: Sequence[int]) -> dict[int, dict[Key, Awaited]]:
    """Return what PBXs wait for and what was handed on to them, by PBX id; PBXs without any are left out."""
    by_pbx: dict[int, dict[Key, Awaited]] = {}
    if pbx_ids:
        statement = "SELECT pbx_id, type, kind, holder, place FROM waiter WHERE pbx_id IN {?1:int}"
        for pbx_id, license_type, kind, holder, place in tx.rows(statement, list(pbx_ids)):
            key = (license_type, HolderKind(kind), holder)
            by_pbx.setdefault(pbx_id, {})[key] = Awaited(key, place)
    return by_pbx


def queued_types(tx: Tx) -> list[tuple[str, str]]:
    """Return (project, license type) of all queues with waiters, sorted."""
    rows = tx.rows(
        "SELECT project.name, seat_queue.type FROM seat_queue JOIN project ON project.id = seat_queue.project_id"
        " WHERE seat_queue.waiting > 0"
    )
    return sorted((row[0], row[1]) for row in rows)


def waits_of_project(tx: Tx, project_id: int) -> dict[tuple[str, int], int]:
    """Return how many seats a project's PBXs wait for, by (license type, PBX id)."""
    rows = tx.rows(
        "SELECT waiter.type, waiter.pbx_id, COUNT(*) FROM waiter JOIN pbx ON pbx.id = waiter.pbx_id"
        " WHERE pbx.project_id = ?1 AND waiter.place > 0 GROUP BY waiter.type, waiter.pbx_id",
        project_id,
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


def write_waiters(tx: Tx, waiters: Iterable[Waiting]) -> None:
    """Write new waiters, with the place that each is told."""
    rows = [
        (
            waiter.pbx_id, want.holder, want.type, int(want.kind), want.user, want.line,
            want.application.reported if want.application is not None else "",
            waiter.asked_at, waiter.call_seats, place,
        )
        for waiter, want, place in waiters
    ]  # fmt: skip
    if rows:
        tx.insert("waiter", _WRITTEN, rows, differ_in=_HOLDER)


def tell_places(tx: Tx, places: Iterable[tuple[int, Key, int]]) -> None:
    """Write the places that PBXs are told for seats still waited for, given as (PBX id, seat, place)."""
    rows = sorted((*_row(pbx_id, key), place) for pbx_id, key, place in places)
    tx.many(f"UPDATE waiter SET place = ?5 WHERE {_NAME} AND place > 0", rows)


def note_handed_on(tx: Tx, names: Iterable[tuple[int, Key]]) -> None:
    """Mark seats as handed on to PBXs that waited for them, given as (PBX id, seat)."""
    tx.many(f"UPDATE waiter SET place = 0 WHERE {_NAME}", sorted(starmap(_row, names)))


def forget_waiters(tx: Tx, names: Iterable[tuple[int, Key]]) -> None:
    """Delete waiters that wait no longer or took up what was handed on, given as (PBX id, seat)."""
    tx.many(f"DELETE FROM waiter WHERE {_NAME}", sorted(starmap(_row, names)))


def _row(pbx_id: int, key: Key) -> tuple[int, str, str, int]:
    license_type, kind, holder = key
    return pbx_id, holder, license_type, int(kind)


def lengthen_queues(tx: Tx, changes: Mapping[tuple[int, str], int]) -> None:
    """Add to the queue lengths, in seats, by (project id, license type); a change may be negative."""
    tx.many(
        "INSERT INTO seat_queue (project_id, type, waiting) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (project_id, type) DO UPDATE SET waiting = seat_queue.waiting + excluded.waiting",
        [(*queue, change) for queue, change in sorted(changes.items()) if change],
    )


def count_queues(tx: Tx, project_id: int) -> None:
    """Count a project's queues anew; the project's lock must keep every batch out."""
    tx.rows("DELETE FROM seat_queue WHERE project_id = ?1", project_id)
    tx.rows(
        "INSERT INTO seat_queue (project_id, type, waiting) SELECT ?1, waiter.type, COUNT(*) FROM waiter"
        " JOIN pbx ON pbx.id = waiter.pbx_id WHERE pbx.project_id = ?1 AND waiter.place > 0 GROUP BY waiter.type",
        project_id,
    )


def end_queue(tx: Tx, project_id: int, license_type: str) -> int:
    """Delete all waiters for a type in a project, and return how many; its lock must keep every batch out."""
    ended = queue_length(tx, project_id, license_type)
    mine = "type = ?2 AND place > 0 AND pbx_id IN (SELECT id FROM pbx WHERE project_id = ?1)"
    tx.rows(f"DELETE FROM waiter WHERE {mine}", project_id, license_type)
    tx.rows("DELETE FROM seat_queue WHERE project_id = ?1 AND type = ?2", project_id, license_type)
    return ended
