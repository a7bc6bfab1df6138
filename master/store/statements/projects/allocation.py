"""An operator's rules for dividing a project's pools, stored as one document with the project."""

from __future__ import annotations

from msgspec import json

from master.domain.allocation.policies import NO_ALLOCATION, Allocation
from master.store.backends.database import Tx, json_text


def load_allocation(tx: Tx, project_id: int) -> Allocation:
    """Return the allocation that was written last; an empty one where there is none."""
    rows = tx.rows("SELECT document FROM allocation WHERE project_id = ?1", project_id)
    return json.decode(rows[0][0], type=Allocation) if rows else NO_ALLOCATION


def write_allocation(tx: Tx, project_id: int, allocation: Allocation) -> None:
    """Write an allocation in place of the one before."""
    statement = (
        "INSERT INTO allocation (project_id, document) VALUES (?1, ?2)"
        " ON CONFLICT (project_id) DO UPDATE SET document = excluded.document"
    )
    tx.rows(statement, project_id, json_text(allocation))
