"""What the tables are called; a test compares it with their description."""

from __future__ import annotations

from typing import Final

TABLES: Final = frozenset({
    "agreement_entry", "alarm", "allocation", "audit_head", "claim", "database_identity", "denial", "device", "event",
    "learning_seat", "lease", "lease_stream", "license", "license_file", "license_release", "pbx", "pool", "pool_day",
    "pool_usage", "project", "request_answer", "revocation", "rule_day", "seat", "seat_queue", "signing_key", "site",
    "site_day", "standby_lease", "vendor_key", "waiter", "webhook", "webhook_delivery",
})  # fmt: skip
"""Those of this version, without Alembic's."""
