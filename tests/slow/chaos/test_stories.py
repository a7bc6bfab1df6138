"""Every story in its short form. `make chaos` plays them at length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.chaos.meddling import NoCompilerError, library
from tests.slow.chaos.play import Ground, play
from tests.slow.chaos.stories import STORIES
from tests.slow.chaos.world.databases import Server, own_server

_SEED = 4


@pytest.fixture(scope="session")
def chaos_server() -> Iterator[Server]:
    with own_server() as server:
        yield server


SHORT = [
    (story.name, database) for story in STORIES.values() for database in story.databases if database in story.in_ci
]


@pytest.mark.parametrize(("name", "database"), SHORT)
async def test_nothing_is_lost_and_everything_comes_back(
    name: str, database: str, tmp_path: Path, sqlite_template: Path, request: pytest.FixtureRequest
) -> None:
    try:
        library()
    except NoCompilerError as missing:
        pytest.skip(str(missing))
    server: Server | None = request.getfixturevalue("chaos_server") if database == "postgresql" else None
    folder = tmp_path / "story"
    folder.mkdir()
    ground = Ground(template=sqlite_template, server=server)
    outcome = await play(STORIES[name], ground, folder, database=database, seed=_SEED, seconds=0)
    assert outcome.violations == [], outcome.log[-5000:]
    assert outcome.faults.total() > 0
    assert outcome.checks > 0
    assert outcome.seats["granted by master"] > 0
