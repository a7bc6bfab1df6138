"""Backups of a database that no master serves: whole copies, on both kinds of database."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.databases.postgres import PostgresServer

BackUp = Callable[[str], Awaitable[str]]
"""From a database's URL to that of a copy; nobody may be connected to it."""


def backing_up(folder: Path, postgres: Callable[[], PostgresServer]) -> BackUp:
    """Copies go to `folder`, or to the same server."""
    made = 0

    async def back_up(url: str) -> str:
        nonlocal made
        made += 1
        if url.startswith("postgresql"):
            return await postgres().new_database(like=urlsplit(url).path.removeprefix("/"))
        copy = folder / f"backup-{made}.db"
        shutil.copy(url.removeprefix("sqlite:///"), copy)
        return f"sqlite:///{copy}"

    return back_up
