"""What can go wrong, as data: each fault has a beginning and an end.

Decides: what a fault does to a world, and how it is undone. Leaves to others: when it begins and ends (`stories`).
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import Protocol

from tests.chaos.lines import FAIR, Weather
from tests.chaos.world import World


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
            await site.settle()
            site.live()

    async def end(self, world: World) -> None:
        """Nothing to put right."""
