"""Alembic's chain in `migrations/`, run on a connection; the chain alone defines the tables."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

_one_at_a_time = Lock()
"""A lock: Alembic has one context in a process, and a master makes a copy beside other runs of the chain."""


def run_chain(connection: Connection, folder: Path) -> None:
    """Upgrade a database to the newest revision of the chain in a folder."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _one_at_a_time:
        command.upgrade(config, "head")
