"""The audit: events, written in the transaction that made them happen, as one hash chain per project.

`master/domain/audit/chain.py` says what the chain is and how it is verified; here are its statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from master.domain.audit.chain import ChainEnd, Record, event_hash, genesis
from master.domain.monitoring.policy_uses import (
    ACQUIRED,
    AWAITED,
    DROPPED,
    GIVEN_UP,
    HANDS_ON,
    OVERDRAFT_ENDED,
    OVERDRAWN,
)
from master.store.backends.database import Row, Tx, Written

_RECORD = "seq, time_us, kind, pbx, caller, request_id, reason, details, hash"
_INSERT = f"INSERT INTO event (project_id, {_RECORD}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
_HEAD_UPSERT = (
    "INSERT INTO audit_head (project_id, seq, hash) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (project_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash"
)
_OF_POLICIES = (
    f"kind IN ('{AWAITED}', '{GIVEN_UP}', '{DROPPED}', '{OVERDRAWN}', '{OVERDRAFT_ENDED}')"
    f" OR (kind = '{ACQUIRED}' AND caller = '{HANDS_ON}')"
)
"""Events of queues and overdrafts, in the exact words of the condition of `ix_event_policy`, so that it is used."""
POLICY_EVENTS = f"SELECT {_RECORD} FROM event WHERE project_id = ?1 AND time_us >= ?2 AND ({_OF_POLICIES}) ORDER BY seq"


class Event(NamedTuple):
    """One event of the audit: who, what, when, why."""

    at: float
    """When the event happened, UNIX seconds."""
    project_id: int
    pbx: str
    """The short name of the PBX concerned; empty where there is none."""
    kind: str
    """The kind of event, e.g. "lease.opened"."""
    caller: str
    request_id: str | None
    """The id of the request, unique within the project; None where there is none."""
    details: str
    """The details as JSON: the values before and after, where the kind does not say them."""
    reason: str = ""
    """Why, in the caller's words."""


class AuditHeadMissingError(Exception):
    """An error for a project that has events while the end of its chain is missing from the database."""

    def __init__(self, project: str) -> None:
        super().__init__(
            f"the end of the audit chain of project {project} is missing from the table audit_head, so nothing can be"
            " written; restore the database from a backup (docs/audit.md)"
        )


class _Head(NamedTuple):
    project: str
    end: ChainEnd


def write_events(tx: Tx, events: Sequence[Event]) -> None:
    """Append events to the chains of their projects, in the order given.

    Call this once, as the last thing that a transaction locks: the ends of the chains are locked here, after projects,
    PBXs and pools, and stay locked until the commit. A master that locked them earlier could wait for another that
    waits for it.
    Raises AuditHeadMissingError if somebody removed the end of a chain from the database.
    """
    if not events:
        return
    heads = _lock_heads(tx, sorted({event.project_id for event in events}))
    rows = []
    for event in events:
        at, project_id, pbx, kind, caller, request_id, details, reason = event
        project, end = heads[project_id]
        seq, time_us = end.seq + 1, round(at * 1_000_000)
        record = Record(seq, time_us, kind, pbx, caller, request_id or "", reason, details)
        moved = ChainEnd(seq, event_hash(end.hash, project, record))
        heads[project_id] = _Head(project, moved)
        rows.append((project_id, seq, time_us, kind, pbx, caller, request_id or None, reason, details, moved.hash))
    tx.written = Written(project_id, seq, time_us, moved.hash)
    tx.many(_INSERT, rows)
    tx.many(_HEAD_UPSERT, [(project_id, *head.end) for project_id, head in heads.items()])


def _lock_heads(tx: Tx, project_ids: list[int]) -> dict[int, _Head]:
    rows = tx.rows(
        "SELECT h.project_id, p.name, h.seq, h.hash FROM audit_head h JOIN project p ON p.id = h.project_id"
        " WHERE h.project_id IN {?1:int} ORDER BY h.project_id FOR UPDATE OF h",
        project_ids,
    )
    heads = {row[0]: _Head(row[1], ChainEnd(row[2], _bytes(row[3]))) for row in rows}
    if len(heads) < len(project_ids):
        heads |= _first_heads(tx, [project_id for project_id in project_ids if project_id not in heads])
    return heads


def _first_heads(tx: Tx, project_ids: list[int]) -> dict[int, _Head]:
    """Return the beginnings of chains without events; nobody else writes to them, as the project commits with them."""
    heads = {}
    for project_id, name, has_events in tx.rows(
        "SELECT id, name, EXISTS (SELECT 1 FROM event WHERE event.project_id = project.id) FROM project"
        " WHERE id IN {?1:int}",
        project_ids,
    ):
        if has_events:
            raise AuditHeadMissingError(name)
        heads[project_id] = _Head(name, genesis(name))
    return heads


def names_request(tx: Tx, project_id: int, request_id: str) -> bool:
    """Tell whether an event was made by the request of an id."""
    return bool(tx.rows("SELECT 1 FROM event WHERE project_id = ?1 AND request_id = ?2", project_id, request_id))


class StoredChain(NamedTuple):
    """The end of a project's chain as the database has it at one moment."""

    project_id: int
    end: ChainEnd | None
    """The end by audit_head; None where audit_head has none."""
    last_seq: int
    """The highest event number, 0 for no events; not that of `end` where somebody tampered."""


def stored_chain(tx: Tx, project: str) -> StoredChain | None:
    """Return the end of a project's chain; None where there is no such project."""
    rows = tx.rows(
        "SELECT p.id, h.seq, h.hash, (SELECT MAX(e.seq) FROM event e WHERE e.project_id = p.id)"
        " FROM project p LEFT JOIN audit_head h ON h.project_id = p.id WHERE p.name = ?1",
        project,
    )
    if not rows:
        return None
    project_id, seq, head_hash, last_seq = rows[0]
    return StoredChain(project_id, None if seq is None else ChainEnd(seq, _bytes(head_hash)), last_seq or 0)


def read_records(
    tx: Tx, project_id: int, *, after: int, up_to: int, events_max: int, details_length_max: int
) -> list[Record]:
    """Return the events of a chain behind `after` to `up_to`, oldest first, as many as can be held; none at the end.

    Their details have fewer than `details_length_max` characters in all, the last event's not counted.
    """
    rows = tx.rows(
        f"""
        SELECT {_RECORD} FROM (
            SELECT {_RECORD}, SUM(LENGTH(details)) OVER (ORDER BY seq) - LENGTH(details) AS length_before FROM (
                SELECT * FROM event WHERE project_id = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4
            ) AS piece
        ) AS measured
        WHERE length_before < ?5 ORDER BY seq
        """,
        project_id, after, up_to, events_max, details_length_max,
    )  # fmt: skip
    return [record_of(row) for row in rows]


def hash_of_event(tx: Tx, project_id: int, seq: int) -> bytes | None:
    """Return the hash of an event; None where there is no such event."""
    rows = tx.rows("SELECT hash FROM event WHERE project_id = ?1 AND seq = ?2", project_id, seq)
    return _bytes(rows[0][0]) if rows else None


def policy_events(tx: Tx, project_id: int, *, since: float) -> list[Record]:
    """Return the events of queues and overdrafts since a moment, UNIX seconds, oldest first."""
    return [record_of(row) for row in tx.rows(POLICY_EVENTS, project_id, round(since * 1_000_000))]


def record_of(row: Row) -> Record:
    """Return an event from its columns in the order of `Record`."""
    return Record(row[0], row[1], row[2], row[3], row[4], row[5] or "", row[6], row[7], _bytes(row[8]))


def _bytes(stored: bytes | str) -> bytes:
    """Return a stored hash; a text, which SQLite would take from somebody who tampers, becomes some wrong hash."""
    return stored.encode() if isinstance(stored, str) else bytes(stored)
