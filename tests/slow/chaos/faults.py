"""What can go wrong, as data: each fault has a beginning and an end.

Decides: what a fault does to a world, and how it is undone. Leaves to others: when it begins and ends (`stories`).
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from slave_client import State
from tests.slow.chaos.world.world import ALLOWANCE_SECONDS, LOOK_SECONDS, World
from tests.support.network.lines import FAIR, Weather

_SLACK_SECONDS = 60.0
"""A busy machine's; far less than the hour by which clocks are set."""


class Fault(Protocol):
    """Something that goes wrong and is put right again."""

    async def begin(self, world: World) -> None:
        """Let it go wrong."""

    async def end(self, world: World) -> None:
        """Put it right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class During:
    """A fault, from and until so many seconds after the beginning of a round."""

    begin: float
    end: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class BadLines:
    """Weather on the lines of a share of the sites, and fair weather again."""

    weather: Weather
    share: float = 1

    async def begin(self, world: World) -> None:
        for line in world.lines_of(world.some_sites(self.share)):
            line.weather = self.weather
            world.done["line made bad"] += 1

    async def end(self, world: World) -> None:
        for line in world.lines.values():
            line.weather = FAIR


@dataclass(frozen=True, slots=True)
class BadDatabaseLine:
    """Weather on the line between the masters and their database."""

    weather: Weather

    async def begin(self, world: World) -> None:
        assert world.store.line is not None
        world.store.line.weather = self.weather
        world.done["database line made bad"] += 1

    async def end(self, world: World) -> None:
        assert world.store.line is not None
        world.store.line.weather = FAIR


@dataclass(frozen=True, slots=True)
class Torn:
    """Every connection breaks at the same moment, and all sites come back at once."""

    async def begin(self, world: World) -> None:
        for line in world.lines.values():
            line.tear()
        world.done["all connections torn"] += 1

    async def end(self, world: World) -> None:
        """Nothing to put right."""


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """Every sync takes longer."""

    seconds: float

    async def begin(self, world: World) -> None:
        world.store.meddling.slow_disk(self.seconds)
        world.done["disk slow"] += 1

    async def end(self, world: World) -> None:
        world.store.meddling.slow_disk(0)


@dataclass(frozen=True, slots=True)
class FullDisk:
    """No file can grow; a server that gave up over it is started again."""

    async def begin(self, world: World) -> None:
        world.store.meddling.full_disk(True)
        world.done["disk full"] += 1

    async def end(self, world: World) -> None:
        world.store.meddling.full_disk(False)
        await world.store.revive()


@dataclass(frozen=True, slots=True)
class FailingDisk:
    """Every sync fails with an input/output error; a server is started anew after it.

    PostgreSQL gives up at the first such error, and again while it recovers; 18 then waits to be started anew.
    """

    async def begin(self, world: World) -> None:
        world.store.meddling.failing_disk(True)
        world.done["disk failing"] += 1

    async def end(self, world: World) -> None:
        world.store.meddling.failing_disk(False)
        await world.store.restart()


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The clock of whoever keeps the database is set, and stays so."""

    seconds: float

    async def begin(self, world: World) -> None:
        world.store.meddling.step_clock(self.seconds)
        world.done["clock set"] += 1

    async def end(self, world: World) -> None:
        """It stays as it is."""


@dataclass(frozen=True, slots=True)
class MastersClockStep:
    """The clocks of the masters' own machines are set, not the database's, and stay so."""

    seconds: float

    async def begin(self, world: World) -> None:
        world.store.master_meddling.step_clock(self.seconds)
        world.done["masters' clocks set"] += 1

    async def end(self, world: World) -> None:
        """They stay as they are."""


@dataclass(frozen=True, slots=True)
class SilentSite:
    """One site is cut off until its lease is over: its seats go back then, neither sooner (I2) nor much later."""

    async def begin(self, world: World) -> None:
        (site,) = world.some_sites(0)
        world.silent = site, monotonic()
        for line in world.lines_of([site]):
            line.weather = Weather(is_cut=True)
        world.done["site cut off until its lease ends"] += 1

    async def end(self, world: World) -> None:
        assert world.silent is not None
        site, since = world.silent
        latest = world.lease.seconds + ALLOWANCE_SECONDS + LOOK_SECONDS + _SLACK_SECONDS
        while (there := await world.records.compare(world.reading)) is None or there.get(site.name):
            if monotonic() - since > latest:
                world.records.violated(
                    f"a lease is stretched: {site.name} has its seats {latest:.1f} s after its last word"
                )
                break
            await asyncio.sleep(0.05)
        for line in world.lines_of([site]):
            line.weather = FAIR


@dataclass(frozen=True, slots=True)
class TwoCopies:
    """A second installation says that it is this PBX, on bad lines: the first one is fenced, and ends."""

    weather: Weather

    async def begin(self, world: World) -> None:
        (site,) = world.some_sites(0)
        for line in world.lines_of([site]):
            line.weather = self.weather
        world.fenced = await site.be_copied()
        world.done["PBX copied"] += 1

    async def end(self, world: World) -> None:
        for line in world.lines.values():
            line.weather = FAIR
        assert world.fenced is not None
        try:
            await world.fenced.wait_for_state(State.FENCED, timeout_seconds=_SLACK_SECONDS + world.lease.ttl_seconds)
        except TimeoutError:
            world.records.violated(f"fencing: the older copy is {world.fenced.state.value}, not fenced")
        if world.fenced.held:
            world.records.violated("fencing: the older copy still uses seats")
        await world.fenced.stop()


@dataclass(frozen=True, slots=True)
class PausedSite:
    """A PBX's process sleeps longer than its lease lasts; when it wakes up it must not go on with its seats."""

    async def begin(self, world: World) -> None:
        await world.sleeper.at_work()
        world.sleeper.pause()
        world.done["PBX paused"] += 1
        await asyncio.sleep(world.lease.seconds + ALLOWANCE_SECONDS + 1)
        world.sleeper.resume()

    async def end(self, world: World) -> None:
        """It was put right already."""


@dataclass(frozen=True, slots=True)
class KilledMaster:
    """SIGKILL, and a start."""

    at: int = 0

    async def begin(self, world: World) -> None:
        await world.masters[self.at].kill()
        world.done["master killed"] += 1

    async def end(self, world: World) -> None:
        await world.masters[self.at].start()


@dataclass(frozen=True, slots=True)
class PausedMaster:
    """A master sleeps, with whatever it was about to do, and wakes up later."""

    at: int = 0

    async def begin(self, world: World) -> None:
        world.signal_master(self.at, signal.SIGSTOP)
        world.done["master paused"] += 1

    async def end(self, world: World) -> None:
        world.signal_master(self.at, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class KilledDatabase:
    """SIGKILL to the database server, and a start."""

    async def begin(self, world: World) -> None:
        await world.store.kill()
        world.done["database killed"] += 1

    async def end(self, world: World) -> None:
        await world.store.revive()


@dataclass(frozen=True, slots=True)
class BrokenBackends:
    """The database ends the masters' connections, again and again."""

    every_seconds: float = 0.2
    times: int = 5

    async def begin(self, world: World) -> None:
        for _ in range(self.times):
            world.done["database connection broken"] += await world.store.break_connections()
            await asyncio.sleep(self.every_seconds)

    async def end(self, world: World) -> None:
        """Nothing to put right."""


@dataclass(frozen=True, slots=True)
class CrashedSites:
    """PBXs die, and start again from what they have on disk."""

    share: float = 0.5

    async def begin(self, world: World) -> None:
        chosen = world.some_sites(self.share)
        await asyncio.gather(*(site.crash() for site in chosen))
        world.done["PBX killed"] += len(chosen)
        for site in chosen:
            await site.restart()
            await site.reconcile()
            site.live()

    async def end(self, world: World) -> None:
        """Nothing to put right."""
