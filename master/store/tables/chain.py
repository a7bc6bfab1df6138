"""Alembic's chain in `migrations/`, run on a connection: it alone says what the tables consist of."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

_one_at_a_time = Lock()
"""Alembic has one context in a process, and a master makes a copy beside whatever else runs the chain."""


def run_chain(connection: Connection, folder: Path) -> None:
    """Bring a database to the newest revision of the chain in a folder."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _one_at_a_time:
        command.upgrade(config, "head")
