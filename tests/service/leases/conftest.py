"""Backups, on the database that a test runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.databases.restoring import BackUp, backing_up

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def back_up(tmp_path: Path, request: pytest.FixtureRequest) -> BackUp:
    return backing_up(tmp_path, lambda: request.getfixturevalue("postgres"))
