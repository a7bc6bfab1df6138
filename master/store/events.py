"""The audit: what happened, written in the transaction that made it happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from master.store.database import Tx


class Event(NamedTuple):
    """One change."""

    at: float
    project_id: int
    pbx_id: int | None
    kind: str
    caller: str
    request_id: str | None
    details: str
    """JSON."""


def write_events(tx: Tx, events: Sequence[Event]) -> None:
    """Append events."""
    if events:
        tx.many(
            "INSERT INTO event (at, project_id, pbx_id, kind, caller, request_id, details)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            events,
        )


def details_of_request(tx: Tx, *, project_id: int, request_id: str) -> str | None:
    """The details of the event that a request id made, if it made one: a retry is answered from it."""
    rows = tx.rows("SELECT details FROM event WHERE project_id = ?1 AND request_id = ?2", project_id, request_id)
    return str(rows[0][0]) if rows else None
