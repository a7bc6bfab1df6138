"""The command, pointed at a master in this process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.cli.command import Done, run
from tests.support.masters import Clock, InProcess, in_process_master

Cli = Callable[..., Awaitable[Done]]


@pytest.fixture
async def today_master(sqlite_database_url: str) -> AsyncIterator[InProcess]:
    """A master whose clock stands ten minutes ahead: what the commands issue during a test is not too new for it."""
    async with in_process_master(sqlite_database_url, Clock(time.time() + 600)) as running:
        yield running


def pointed_at(master: InProcess) -> Cli:
    """The command, pointed at a master."""

    async def command(*arguments: str | Path, **options: object) -> Done:
        typed = map(str, arguments)
        return await run(*typed, LICENSE_MASTER_SERVER=master.wire.address, **options)  # type: ignore[arg-type]

    return command


@pytest.fixture
def today(today_master: InProcess) -> Cli:
    """The command, pointed at that master."""
    return pointed_at(today_master)


@pytest.fixture
def cli(master: InProcess) -> Cli:
    """The command, pointed at the test's master."""
    return pointed_at(master)
