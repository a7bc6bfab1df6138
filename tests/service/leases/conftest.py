"""Backups, on the database that a test runs on, and a master over one that is older than what its sites know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.leases.restored import OLDER_SECONDS, OlderBackup, an_older_backup, restored
from tests.support.databases.restoring import BackUp, backing_up
from tests.support.masters import Clock, InProcess


@pytest.fixture
def back_up(tmp_path: Path, request: pytest.FixtureRequest) -> BackUp:
    return backing_up(tmp_path, lambda: request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def older_backups() -> dict[str, OlderBackup]:
    """Those that were made, by the kind of database: each is made once, and copied for every test."""
    return {}


@pytest.fixture
async def older(
    database_url: str,
    clock: Clock,
    back_up: BackUp,
    older_backups: dict[str, OlderBackup],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> OlderBackup:
    """A backup, and sites that know what happened after it was made."""
    kind = database_url.partition(":")[0]
    if kind not in older_backups:
        for_all = backing_up(tmp_path_factory.mktemp("older"), lambda: request.getfixturevalue("postgres"))
        older_backups[kind] = await an_older_backup(database_url, Clock(clock.now), for_all)
    clock.advance(OLDER_SECONDS)
    return await older_backups[kind].copied(back_up)


@pytest.fixture
async def learning(older: OlderBackup, clock: Clock) -> AsyncIterator[InProcess]:
    """A master over that backup, as the operator says."""
    async with restored(older.url, clock) as master:
        yield master
