"""The statements of the agreement ledger: appended to, read whole or a page at a time; no entry is ever changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import convert, to_builtins

from master.domain.agreements.ledger.entries import Entry
from master.domain.catalog.subjects import Subject
from master.store.backends.database import Row, Tx
from master.store.tables.columns import insert_into

_COLUMN_NAMES = (
    "number", "recorded_at", "day", "kind", "subject_kind", "subject_id", "policy", "details", "reason", "rules",
    "caller", "order_number", "given_reason",
)  # fmt: skip
_COLUMNS = ", ".join(_COLUMN_NAMES)


def entries(tx: Tx, project_id: int, *, after: int = 0) -> list[Entry]:
    """Return a project's ledger entries with numbers above `after`, in the order of their numbers."""
    statement = f"SELECT {_COLUMNS} FROM agreement_entry WHERE project_id = ?1 AND number > ?2 ORDER BY number"
    rows = tx.rows(statement, project_id, after)
    return [_entry(row) for row in rows]


def last_number(tx: Tx, project_id: int) -> int:
    """Return the number of the latest entry; 0 where there is none."""
    rows = tx.rows("SELECT MAX(number) FROM agreement_entry WHERE project_id = ?1", project_id)
    return int(rows[0][0] or 0)


def append(tx: Tx, project_id: int, new: Sequence[Entry]) -> None:
    """Append entries to a project's ledger; the project must be locked.

    A number that is taken breaks the primary key: two masters never write the same number.
    """
    tx.many(
        insert_into("agreement_entry", ["project_id", *_COLUMN_NAMES]),
        [(project_id, *(stored[name] for name in _COLUMN_NAMES)) for stored in map(_stored, new)],
    )


def last_recorded_at(tx: Tx, project_id: int) -> float:
    """Return when the latest entry was written, UNIX seconds; 0 where there is none."""
    rows = tx.rows(
        "SELECT recorded_at FROM agreement_entry WHERE project_id = ?1 ORDER BY number DESC LIMIT 1", project_id
    )
    return float(rows[0][0]) if rows else 0.0


def page_of_entries(
    tx: Tx, project_id: int, *, after: int, before: float | None, subject: Subject | None, limit: int
) -> list[Entry]:
    """Return entries numbered above `after`, written before a moment (UNIX seconds), about a subject, where given."""
    about = Subject("", "") if subject is None else subject
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM agreement_entry WHERE project_id = ?1 AND number > ?2 AND recorded_at < ?3"
        " AND (?4 = 0 OR (subject_kind = ?5 AND subject_id = ?6)) ORDER BY number LIMIT ?7",
        project_id,
        after,
        float("inf") if before is None else before,
        int(subject is not None),
        about.kind,
        about.id,
        limit,
    )
    return [_entry(row) for row in rows]


def projects_with_entries(tx: Tx) -> list[str]:
    """Return the names of projects that have a ledger, sorted."""
    rows = tx.rows(
        "SELECT name FROM project WHERE deleted_at IS NULL AND EXISTS"
        " (SELECT 1 FROM agreement_entry e WHERE e.project_id = project.id) ORDER BY name"
    )
    return [str(row[0]) for row in rows]


def import_moments(tx: Tx, project_id: int) -> dict[str, float]:
    """Return when each vendor's file was imported, UNIX seconds, by file id."""
    return {
        row[0]: row[1] for row in tx.rows("SELECT id, imported_at FROM license_file WHERE project_id = ?1", project_id)
    }


def _stored(entry: Entry) -> dict[str, Any]:
    """Return an entry as values by column name."""
    plain: dict[str, Any] = to_builtins(entry)
    return plain | {
        "subject_kind": entry.subject.kind,
        "subject_id": entry.subject.id,
        "details": json.dumps(entry.details, ensure_ascii=False),
        "rules": " ".join(entry.rules),
        "order_number": entry.order,
    }


def _entry(row: Row) -> Entry:
    stored = dict(zip(_COLUMN_NAMES, row, strict=True))
    parts = {
        "subject": (stored["subject_kind"], stored["subject_id"]),
        "details": json.loads(stored["details"]),
        "rules": stored["rules"].split(),
        "order": stored["order_number"],
    }
    return convert(stored | parts, Entry)
