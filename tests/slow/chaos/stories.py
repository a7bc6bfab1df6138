"""The stories: what goes wrong, when, and for how long. Everything else is the same in each.

Decides: nothing but that; a story's chance is its seed's. Times are seconds from the beginning of a round; a round ends
when everything serves again, and a long run has many.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.slow.chaos import faults as f
from tests.slow.chaos.faults import During
from tests.slow.chaos.world.world import Lease
from tests.support.network.lines import Way, Weather

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
    in_ci: tuple[str, ...] = BOTH
    """On which of them it is played in its short form."""
    masters: int = 1
    """On PostgreSQL; a file has one."""
    lease: Lease = field(default_factory=Lease)
    moves_licenses: bool = True
    """Whether an operator lends the estate licenses meanwhile, and takes them away."""


def _once(begin: float, end: float, fault: f.Fault) -> Callable[[random.Random], Sequence[During]]:
    return lambda _: (During(begin=begin, end=end, fault=fault),)


def _lines(weather: Weather, share: float = 1, *, end: float = 1.5) -> Callable[[random.Random], Sequence[During]]:
    return _once(0.3, end, f.BadLines(weather, share))


def _clock(step: f.Fault) -> tuple[During, ...]:
    return During(begin=0.3, end=5.5, fault=f.SilentSite()), During(begin=0.7, end=0.7, fault=step)


_DRAWN: tuple[Callable[[random.Random], f.Fault], ...] = (
    lambda chance: f.BadLines(Weather(delay_seconds=chance.uniform(0, 0.2), jitter_seconds=0.2), chance.random()),
    lambda chance: f.BadLines(Weather(loss=0.1, reset=chance.uniform(0, 0.05)), chance.random()),
    lambda chance: f.BadLines(Weather(is_cut=True), chance.random()),
    lambda chance: f.BadLines(Weather(silent=chance.choice((Way.THERE, Way.BACK, Way.BOTH))), chance.random()),
    lambda _: f.Torn(),
    lambda chance: f.CrashedSites(chance.random()),
    lambda chance: f.SlowDisk(chance.uniform(0.02, 0.2)),
    lambda _: f.KilledMaster(),
    lambda _: f.FullDisk(),
)
_DRAWN_ON_SERVER: tuple[Callable[[random.Random], f.Fault], ...] = (
    lambda _: f.KilledDatabase(),
    lambda _: f.BrokenBackends(times=3),
    lambda _: f.BadDatabaseLine(Weather(silent=Way.BOTH)),
    lambda _: f.BadDatabaseLine(Weather(delay_seconds=0.02, jitter_seconds=0.05)),
)


def _drawn(chance: random.Random, *, on_server: bool) -> tuple[During, ...]:
    drawn = chance.sample([*_DRAWN, *(_DRAWN_ON_SERVER if on_server else ())], 3)
    begins = [chance.uniform(0.2, 1.5) for _ in drawn]
    return tuple(
        During(begin=begin, end=begin + chance.uniform(0.3, 1.5), fault=make(chance))
        for begin, make in zip(begins, drawn, strict=True)
    )


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
        in_ci=FILE,
    ),
    Story(
        name="cut",
        about="the lines of half of the sites are cut",
        faults=_lines(Weather(is_cut=True), 0.5),
        in_ci=SERVER,
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
        in_ci=FILE,
    ),
    Story(
        name="reconnect-storm",
        about="all connections break at once, three times",
        faults=lambda _: [During(begin=at, end=at, fault=f.Torn()) for at in (0.3, 0.6, 0.9)],
        masters=2,
        in_ci=SERVER,
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
        in_ci=FILE,
    ),
    Story(
        name="full-disk",
        about="the database's disk has no room",
        faults=_once(0.3, 1.5, f.FullDisk()),
        in_ci=FILE,
    ),
    Story(
        name="failing-disk",
        about="every sync of the database's disk fails",
        faults=_once(0.3, 1.3, f.FailingDisk()),
        in_ci=SERVER,
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
        in_ci=SERVER,
    ),
    Story(
        name="paused-site",
        about="a PBX's process sleeps longer than its lease lasts",
        faults=_once(0.3, 0.3, f.PausedSite()),
        databases=FILE,
        lease=Lease(grace_seconds=0),
        moves_licenses=False,
    ),
    Story(
        name="clock-set-back",
        about="the database's clock is set back by an hour while a site is cut off until its lease ends",
        faults=lambda _: _clock(f.ClockStep(-3600)),
        lease=Lease(grace_seconds=0),
        in_ci=FILE,
    ),
    Story(
        name="clock-set-forward",
        about="the database's clock is set forward by an hour while a site is cut off until its lease ends",
        faults=lambda _: _clock(f.ClockStep(3600)),
        lease=Lease(grace_seconds=0),
        in_ci=SERVER,
    ),
    Story(
        name="masters-clock-set",
        about="the masters' clocks are set an hour forward and two back, not the database's; a site is cut off",
        faults=lambda _: (*_clock(f.MastersClockStep(3600)), During(begin=1, end=1, fault=f.MastersClockStep(-7200))),
        databases=SERVER,
        masters=2,
        lease=Lease(grace_seconds=0),
    ),
    Story(
        name="two-copies",
        about="a second installation of a PBX takes its place, on lines that lose one piece in ten",
        faults=_once(0.4, 1.6, f.TwoCopies(Weather(loss=0.1, reset=0.02))),
        databases=FILE,
    ),
    Story(
        name="everything",
        about="three faults of the others, drawn by the seed, at once or one after the other",
        faults=lambda chance: _drawn(chance, on_server=False),
        databases=FILE,
    ),
    Story(
        name="everything-of-two",
        about="the same with two masters and a database server",
        faults=lambda chance: _drawn(chance, on_server=True),
        databases=SERVER,
        masters=2,
    ),
)
STORIES = {story.name: story for story in _STORIES}
