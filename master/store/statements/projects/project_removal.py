"""Removes a project from the tables; what stays is its name, its audit, its agreement ledger,
the highest epoch and, for a time, what requests were answered with."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, select, update

from master.store import tables as t
from master.store.backends.database import Tx
from master.store.statements.projects.project_writes import remove_pbxs

_STAY: Final = frozenset({t.event, t.audit_head, t.agreement_entry, t.request_answer})
"""Chains and ledgers are only ever appended to: a project that comes back under the name carries them on. Answers stay
for their time, so that whoever deleted the project is answered alike."""


def delete_project(tx: Tx, project_id: int, *, now: float) -> None:
    """Remove everything of a project but what stays; nothing of it may be leased, and its row must be locked.

    Its revision grows, so that no master takes a project that comes back for the one that it knows; so does its floor
    of epochs, so that no signed lease of before is ever current again.
    """
    pools = select(t.pool.c.id).where(t.pool.c.project_id == project_id)
    pbxs = select(t.pbx.c.id).where(t.pbx.c.project_id == project_id)
    tx.connection.execute(delete(t.pool_usage).where(t.pool_usage.c.pool_id.in_(pools)))
    for of_pbxs in (t.seat, t.claim, t.learning_seat):
        tx.connection.execute(delete(of_pbxs).where(of_pbxs.c.pbx_id.in_(pbxs)))
    remove_pbxs(tx, project_id, keep=())
    for table in reversed(t.metadata.sorted_tables):
        if "project_id" in table.c and table not in _STAY:
            tx.connection.execute(delete(table).where(table.c.project_id == project_id))
    gone = {"deleted_at": now, "revision": t.project.c.revision + 1, "learning_until": None}
    tx.connection.execute(update(t.project).where(t.project.c.id == project_id).values(gone))
