"""The database's clock, and the moments that the database knows of."""

from __future__ import annotations

from master.store.backends.database import Tx

_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",  # a file has no clock but this machine's
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
}


def database_clock(tx: Tx) -> float:
    """What the database's clock shows, in UNIX seconds: at this moment, not when the transaction began."""
    return float(tx.rows(_NOW[tx.dialect])[0][0])


def latest_moment(tx: Tx) -> float:
    """The latest time at which anything was written: UNIX seconds, 0 where nothing was."""
    recorded = "SELECT max(event.time_us) FROM audit_head JOIN event USING (project_id, seq)"
    renewed = "SELECT max(renewed_at) FROM lease"
    return max((tx.rows(recorded)[0][0] or 0) / 1e6, tx.rows(renewed)[0][0] or 0.0)


def last_signed_end(tx: Tx) -> float:
    """The latest end that was signed and is not over, or is learned of: UNIX seconds, 0 where there is none."""
    ends = (
        "SELECT max(ends_at) FROM lease WHERE phase = 'open'",
        "SELECT max(ends_at) FROM claim",
        "SELECT max(learning_until) FROM project",  # what it waits for was signed, and is forgotten here
    )
    return max(tx.rows(statement)[0][0] or 0.0 for statement in ends)


def write_nothing(tx: Tx) -> None:
    """Change a row to what it is: the commit shows whether commits come through."""
    tx.rows("UPDATE alembic_version SET version_num = version_num RETURNING version_num")
