"""Databases as the store sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from master.store.backends.database import Database
from master.store.backends.opening import open_database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An upgraded, empty database, open."""
    opened = open_database(database_url)
    yield opened
    await opened.close()
