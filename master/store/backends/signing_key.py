"""The signing key of a database, shared by its masters."""

from __future__ import annotations

from master.store.backends.database import Tx


def signing_key(tx: Tx, *, fresh: tuple[str, bytes], now: float) -> tuple[str, bytes]:
    """Return (key id, private key) of the database; `fresh` is stored and returned where it has none."""
    tx.lock("LOCK TABLE signing_key IN EXCLUSIVE MODE")
    rows = tx.rows("SELECT key_id, private_key FROM signing_key ORDER BY created_at")
    if not rows:
        tx.many("INSERT INTO signing_key (key_id, private_key, created_at) VALUES (?1, ?2, ?3)", [(*fresh, now)])
        return fresh
    return str(rows[0][0]), bytes(rows[0][1])
