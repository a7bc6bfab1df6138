"""A master that has something to lose; started once for all the bad input that must not change anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.rpc.failures import everything
from tests.support.databases.postgres import PostgresServer
from tests.support.masters import Clock, Wire, in_process_master, sqlite_url, upgraded
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project


@dataclass(frozen=True, slots=True)
class Estate:
    """A master, and a PBX with a lease and two seats."""

    wire: Wire
    berlin: BarePbx
    before: tuple[str, ...]
    """Everything that the API tells, when nothing bad had been sent yet."""


ON_BOTH_DATABASES = pytest.mark.parametrize(
    "long_lived_estate", ["sqlite", "postgresql"], indirect=True, scope="module"
)
"""For what is asked of the database; other bad input is refused before."""


@pytest_asyncio.fixture(params=["sqlite"], scope="module", loop_scope="module")
async def long_lived_estate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Estate]:
    """One master for a whole module, on SQLite; `ON_BOTH_DATABASES` also on PostgreSQL."""
    folder: Path = tmp_path_factory.mktemp("estate")
    if request.param == "sqlite":
        url = await upgraded(sqlite_url(folder))
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = await upgraded(await server.new_database())
    async with in_process_master(url, Clock()) as master:
        await master.wire.apply(project({"PBX-Port12": 5, "PBX Video12": 5}))
        berlin = await opened(master.wire, "berlin")
        granted(await berlin.acquire(*seats("port", 2)))
        yield Estate(master.wire, berlin, await everything(master.wire))


@pytest_asyncio.fixture(loop_scope="module")
async def estate(long_lived_estate: Estate) -> AsyncIterator[Estate]:
    """Whatever the test sends, nothing may have changed when it ends."""
    yield long_lived_estate
    assert await everything(long_lived_estate.wire) == long_lived_estate.before
