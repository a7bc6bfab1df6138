"""All tables. Alembic's chain in `migrations/` makes them; a test keeps the two alike."""

from __future__ import annotations

from master.store.tables.database import database_identity, metadata, signing_key
from master.store.tables.estates import (
    allocation,
    device,
    license_,
    license_file,
    license_release,
    pbx,
    pool,
    project,
    site,
    vendor_key,
)
from master.store.tables.history import (
    agreement_entry,
    audit_head,
    denial,
    event,
    pool_day,
    request_answer,
    rule_day,
    site_day,
)
from master.store.tables.leases import (
    claim,
    learning_seat,
    lease,
    lease_stream,
    pool_usage,
    revocation,
    seat,
    seat_queue,
    standby_lease,
    waiter,
)
from master.store.tables.webhooks import alarm, webhook, webhook_delivery

__all__ = [
    "agreement_entry",
    "alarm",
    "allocation",
    "audit_head",
    "claim",
    "database_identity",
    "denial",
    "device",
    "event",
    "learning_seat",
    "lease",
    "lease_stream",
    "license_",
    "license_file",
    "license_release",
    "metadata",
    "pbx",
    "pool",
    "pool_day",
    "pool_usage",
    "project",
    "request_answer",
    "revocation",
    "rule_day",
    "seat",
    "seat_queue",
    "signing_key",
    "site",
    "site_day",
    "standby_lease",
    "vendor_key",
    "waiter",
    "webhook",
    "webhook_delivery",
]
