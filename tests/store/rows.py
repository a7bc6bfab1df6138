"""The smallest work there is, on the table that needs no other."""

from __future__ import annotations

from master.store.backends.database import Tx

INSERT = "INSERT INTO signing_key (key_id, private_key, created_at) VALUES (?1, ?2, ?3)"


def add(tx: Tx, *names: str) -> None:
    """One row per name."""
    tx.many(INSERT, [(name, b"key", 0.0) for name in names])


def names(tx: Tx) -> list[str]:
    return [row[0] for row in tx.rows("SELECT key_id FROM signing_key ORDER BY key_id")]


def bump(tx: Tx, name: str) -> float:
    """Add one to a row in two steps, which is only right where nobody comes between."""
    tx.lock("SELECT 1 FROM signing_key WHERE key_id = ?1 FOR UPDATE", name)
    (row,) = tx.rows("SELECT created_at FROM signing_key WHERE key_id = ?1", name)
    tx.many("UPDATE signing_key SET created_at = ?2 WHERE key_id = ?1", [(name, row[0] + 1)])
    return float(row[0])
