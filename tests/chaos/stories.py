"""The stories: what goes wrong, when, and for how long. Everything else is the same in each.

Decides: nothing but that; a story's chance is its seed's. Times are seconds from the beginning of a round; a round ends
when everything serves again, and a long run has many.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos import faults as f
from tests.chaos.faults import During
from tests.chaos.lines import Way, Weather
from tests.chaos.world import Lease

BOTH = ("sqlite", "postgresql")
FILE = ("sqlite",)
SERVER = ("postgresql",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One thing that goes wrong."""

    name: str
    about: str
    faults: Callable[[random.Random], Sequence[During]]
    databases: tuple[str, ...] = BOTH
    masters: int = 1
    """On PostgreSQL; a file has one."""
    lease: Lease = field(default_factory=Lease)


def _once(begin: float, end: float, fault: f.Fault) -> Callable[[random.Random], Sequence[During]]:
    return lambda _: (During(begin=begin, end=end, fault=fault),)


def _lines(weather: Weather, share: float = 1, *, end: float = 1.5) -> Callable[[random.Random], Sequence[During]]:
    return _once(0.3, end, f.BadLines(weather, share))


_STORIES = (
    Story(
        name="delay",
        about="every line is 0.1 to 0.3 s late each way",
        faults=_lines(Weather(delay_seconds=0.1, jitter_seconds=0.2)),
        databases=FILE,
    ),
    Story(
        name="loss",
        about="one piece in ten is lost and sent again, one in fifty tears its connection; lines are thin",
        faults=_lines(Weather(loss=0.1, reset=0.02, bytes_per_second=100_000)),
    ),
    Story(
        name="cut",
        about="the lines of half of the sites are cut",
        faults=_lines(Weather(is_cut=True), 0.5),
    ),
    Story(
        name="half-open",
        about="lines fall silent, one way or both; nobody closes them",
        faults=lambda chance: (
            During(
                begin=0.3,
                end=1.8,
                fault=f.BadLines(Weather(silent=chance.choice((Way.THERE, Way.BACK, Way.BOTH))), 0.5),
            ),
        ),
    ),
    Story(
        name="reconnect-storm",
        about="all connections break at once, three times",
        faults=lambda _: [During(begin=at, end=at, fault=f.Torn()) for at in (0.3, 0.6, 0.9)],
        masters=2,
    ),
    Story(
        name="crashed-sites",
        about="half of the PBXs die and start again from their disks",
        faults=_once(0.5, 0.5, f.CrashedSites()),
        databases=FILE,
    ),
    Story(
        name="slow-disk",
        about="every sync of the database's disk takes 0.15 s longer",
        faults=_once(0.3, 1.8, f.SlowDisk(0.15)),
    ),
    Story(
        name="full-disk",
        about="the database's disk has no room",
        faults=_once(0.3, 1.5, f.FullDisk()),
    ),
    Story(
        name="failing-disk",
        about="every sync of the database's disk fails",
        faults=_once(0.3, 1.3, f.FailingDisk()),
    ),
    Story(
        name="killed-master",
        about="the master is killed in the middle of its commits, and started again",
        faults=_once(0.5, 0.7, f.KilledMaster()),
        databases=FILE,
    ),
    Story(
        name="killed-master-of-two",
        about="one of two masters is killed, and started again later",
        faults=_once(0.5, 1.5, f.KilledMaster()),
        databases=SERVER,
        masters=2,
    ),
    Story(
        name="killed-database",
        about="the database server is killed, and started again",
        faults=_once(0.5, 1.0, f.KilledDatabase()),
        databases=SERVER,
        masters=2,
    ),
    Story(
        name="broken-backends",
        about="the database ends the masters' connections again and again",
        faults=_once(0.3, 1.5, f.BrokenBackends()),
        databases=SERVER,
        masters=2,
    ),
    Story(
        name="silent-database",
        about="the line between masters and database falls silent; nobody closes it",
        faults=_once(0.3, 1.8, f.BadDatabaseLine(Weather(silent=Way.BOTH))),
        databases=SERVER,
        masters=2,
    ),
    Story(
        name="paused-master",
        about="a master sleeps longer than a lease lasts, and goes on where it was",
        faults=_once(0.3, 6.5, f.PausedMaster()),
        masters=2,
        lease=Lease(grace_seconds=0),
    ),
)
STORIES = {story.name: story for story in _STORIES}
