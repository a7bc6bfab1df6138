"""All tables, by name. Alembic's chain in `migrations/` makes them; a test keeps the two alike."""

from __future__ import annotations

from master.store.tables import estates, history, leases, webhooks  # noqa: F401  # loaded, they add theirs
from master.store.tables.database import metadata

__all__ = ["metadata"]
