"""The time by the database's clock, and the latest times that the database has."""

from __future__ import annotations

from master.store.backends.database import Tx

_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",  # a file has no clock but this machine's
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
}


def database_clock(tx: Tx) -> float:
    """Return the time by the database's clock, in UNIX seconds: now, not when the transaction began."""
    return float(tx.rows(_NOW[tx.dialect])[0][0])


def latest_moment(tx: Tx) -> float:
    """Return the latest time at which anything was written, in UNIX seconds; 0 where nothing was."""
    recorded = "SELECT max(event.time_us) FROM audit_head JOIN event USING (project_id, seq)"
    renewed = "SELECT max(renewed_at) FROM lease"
    return max((tx.rows(recorded)[0][0] or 0) / 1e6, tx.rows(renewed)[0][0] or 0.0)


def last_signed_end(tx: Tx) -> float:
    """Return the latest signed end that is not over, in UNIX seconds; 0 for none.

    While a restored master still learns which signed leases exist, the time until which it learns counts as well.
    """
    ends = (
        "SELECT max(ends_at) FROM lease WHERE phase = 'open'",
        "SELECT max(ends_at) FROM claim",
        "SELECT max(learning_until) FROM project",  # what it waits for was signed, and is forgotten here
    )
    return max(tx.rows(statement)[0][0] or 0.0 for statement in ends)


def write_nothing(tx: Tx) -> None:
    """Write a row as it already is, to find out whether the database commits."""
    tx.rows("UPDATE alembic_version SET version_num = version_num RETURNING version_num")
