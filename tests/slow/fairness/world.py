"""Plays a scenario against a real master: phones come and go by the minute, and what sites had is noted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from licensemaster.v1 import lease_pb2, license_pb2
from tests.support.databases.truth import held_by_pbx, mismatches, used
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import BarePbx, opened, seat
from tests.support.projects.allocations import Part, lay_down
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release

MINUTE = 60.0
TTL_SECONDS, GRACE_SECONDS = 180, 60
_LEAVING = "leaving"
Demand = Callable[[int], int | None]
"""Phones that want a seat in a minute; None while the site is cut off and asks nobody."""
Act = Callable[[InProcess], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Who competes for what, and what happens meanwhile."""

    title: str
    capacity: int
    minutes: int
    demands: Mapping[str, Demand]
    """By site; they ask in turn, each minute another one first, and wait for what they miss where there is a queue."""
    turnover: float = 0.0
    """What part of a site's phones leaves each minute, others taking their places."""
    allocation: Sequence[Part] = ()
    leaving: int = 0
    """How many of the licenses are a file's of their own, which `release_with_seats` takes away."""
    events: Mapping[int, Act] = field(default_factory=dict)
    """What happens at the beginning of a minute."""


@dataclass
class History:
    """What each site wanted and had at the end of each minute."""

    wanted: dict[str, list[int]]
    had: dict[str, list[int]]

    def satisfaction(self, site: str, minutes: slice = slice(None)) -> float:
        """What part of the seats that a site wanted it had; 1 where it wanted none."""
        wanted = sum(self.wanted[site][minutes])
        return sum(map(min, self.had[site][minutes], self.wanted[site][minutes])) / wanted if wanted else 1.0

    def moves(self, site: str, minutes: slice) -> int:
        """How many seats a site was given or lost while it wanted the same all the time."""
        had = self.had[site][minutes]
        return sum(abs(after - before) for before, after in pairwise(had))


def evenness(shares: Sequence[float]) -> float:
    """Jain's index: 1 where all have the same, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


class _Site:
    """A PBX whose phones come and go."""

    def __init__(self, master: InProcess, pbx: BarePbx) -> None:
        self._master = master
        self._pbx = pbx
        self.away = False

    @property
    def name(self) -> str:
        """projects/PROJECT/pbxs/PBX"""
        return self._pbx.name

    async def live(self, demand: int | None, first: int) -> None:
        """Come to a minute's demand, as far as the master grants it; `first` is the number of its first phone."""
        if demand is None:
            self.away = True
            return
        if self.away:  # it has restarted, and knows of nothing
            self._pbx.epoch = 0
            await self._pbx.open()
            self.away = False
        else:
            await self._give_up_what_was_revoked((await self._pbx.renew()).notices)
        wanted = [seat("port", f"phone-{number}") for number in range(first, first + demand)]
        await self._pbx.sync(*wanted, wait=True)

    async def _give_up_what_was_revoked(self, notices: Sequence[lease_pb2.Notice]) -> None:
        for notice in notices:
            if notice.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED:
                await self._pbx.give_back(*notice.seats)


async def release_with_seats(master: InProcess) -> None:
    """Release the licenses that may leave, and take the seats away that are then too many (L5)."""
    await release(master.wire, _LEAVING, in_use=license_pb2.IN_USE_REVOKE)


async def _install_leaving(master: InProcess, quantity: int) -> None:
    with TemporaryDirectory() as folder:
        await imported(master.wire, Vendor(), {_LEAVING: ("PBX-Port12", quantity)}, now=master.clock.now)
        await enrolled(master.wire, Path(folder), "hq-box")
        await bind(master.wire, "hq-box", _LEAVING)


async def play(scenario: Scenario, database_url: str) -> History:
    """Play a scenario; at no moment there are more seats out than licenses, and in the end all counters are right."""
    clock = Clock()
    history = History({site: [] for site in scenario.demands}, {site: [] for site in scenario.demands})
    async with in_process_master(database_url, clock) as master:
        pbxs = dict.fromkeys(scenario.demands, "slave 12 gateway")
        licenses = {"PBX-Port12": scenario.capacity - scenario.leaving}
        lease = {"ttl_seconds": TTL_SECONDS, "grace_seconds": GRACE_SECONDS}
        await master.wire.apply(project(licenses, pbxs=pbxs, **lease))
        if scenario.leaving:
            await _install_leaving(master, scenario.leaving)
        await lay_down(master.wire, *scenario.allocation)
        sites = {name: _Site(master, await opened(master.wire, name)) for name in scenario.demands}
        names = list(sites)
        for minute in range(scenario.minutes):
            if minute in scenario.events:
                await scenario.events[minute](master)
            await master.running.expiry.run_once()
            for name in names[minute % len(names) :] + names[: minute % len(names)]:
                demand = scenario.demands[name](minute)
                await sites[name].live(demand, round(minute * scenario.turnover * (demand or 0)))
            await master.running.leases.waiting.run_once()
            held = await held_by_pbx(master.wire)
            for name, site in sites.items():
                history.wanted[name].append(scenario.demands[name](minute) or 0)
                history.had[name].append(0 if site.away else len(held.get(site.name, ())))
            assert (await used(master.wire))["port"] <= scenario.capacity
            clock.advance(MINUTE)
    assert await mismatches(database_url) == []
    return history
