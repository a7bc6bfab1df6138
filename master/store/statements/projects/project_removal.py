"""The removal of a project from the tables.

The name, the audit, the agreement ledger, the highest epoch and, for a time, the answers to requests are kept.
"""

from __future__ import annotations

from typing import Final

from master.store.backends.database import Tx
from master.store.statements.projects.project_writes import remove_pbxs

REMOVED: Final = (
    "license_release", "pool", "license", "webhook", "vendor_key", "site_day", "site", "seat_queue", "rule_day",
    "pool_day", "license_file", "device", "denial", "allocation", "alarm",
)  # fmt: skip
"""The tables with rows to delete; a table that refers to another comes before it."""
KEPT: Final = frozenset({"event", "audit_head", "agreement_entry", "request_answer"})
"""The tables with rows to keep.

Chains and ledgers are only ever appended to: a project that comes back under the name carries them on. Answers stay
for their time, so that whoever deleted the project gets the same answer again.
"""


def delete_project(tx: Tx, project_id: int, *, now: float) -> None:
    """Delete everything of a project except what is kept; nothing of it may be leased, and its row must be locked.

    Its revision grows, so that no master takes a project that comes back for the one that it knows; so does its floor
    of epochs, so that no earlier signed lease is ever current again.
    """
    tx.rows("DELETE FROM pool_usage WHERE pool_id IN (SELECT id FROM pool WHERE project_id = ?1)", project_id)
    for of_pbxs in ("seat", "claim", "learning_seat"):
        tx.rows(f"DELETE FROM {of_pbxs} WHERE pbx_id IN (SELECT id FROM pbx WHERE project_id = ?1)", project_id)
    remove_pbxs(tx, project_id, keep=())
    for table in REMOVED:
        tx.rows(f"DELETE FROM {table} WHERE project_id = ?1", project_id)
    gone = "deleted_at = ?2, revision = revision + 1, learning_until = NULL"
    tx.rows(f"UPDATE project SET {gone} WHERE id = ?1", project_id, now)
