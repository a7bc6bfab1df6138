"""The stored answers to requests with an id; whoever writes one has locked the row of the project or of a PBX."""

from __future__ import annotations

from typing import NamedTuple

from master.store.backends.database import Tx


class StoredAnswer(NamedTuple):
    """The answer to one request, with the request's kind and fingerprint."""

    kind: str
    """The name of the call, e.g. "BindLicenses"."""
    fingerprint: str
    """The fingerprint of the request: the same for a retry, another for any other request."""
    answer: bytes


def read_answer(tx: Tx, project_id: int, request_id: str) -> StoredAnswer | None:
    """Return the answer to the request of an id; None where it is not kept, or no longer."""
    statement = "SELECT kind, fingerprint, answer FROM request_answer WHERE project_id = ?1 AND request_id = ?2"
    rows = tx.rows(statement, project_id, request_id)
    return StoredAnswer(rows[0][0], rows[0][1], bytes(rows[0][2])) if rows else None


def write_answer(tx: Tx, project_id: int, request_id: str, stored: StoredAnswer, *, answered_at: float) -> None:
    """Write an answer; an id that is taken breaks the primary key: two masters never carry out the same request."""
    statement = (
        "INSERT INTO request_answer (project_id, request_id, kind, fingerprint, answer, answered_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    )
    tx.rows(statement, project_id, request_id, *stored, answered_at)


def forget_answers(tx: Tx, project_id: int, *, answered_before: float) -> None:
    """Remove the answers of a project that are older than a moment, UNIX seconds."""
    tx.rows("DELETE FROM request_answer WHERE project_id = ?1 AND answered_at < ?2", project_id, answered_before)
