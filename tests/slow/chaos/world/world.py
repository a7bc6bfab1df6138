"""An estate that stories happen to: a database, masters, sites, and a line from each site to each master.

Decides: how they are put together, with short limits and short leases, so that much happens in a short time.
Leaves to others: the load (`sites`, `lender`), the faults (`faults`), the order of things (`play`).
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from master.launch import MasterProcess, master_process
from master.store.backends.database import Database
from master.store.backends.opening import open_database
from slave_client import ClientConfig, SlaveClient
from tests.slow.chaos.seat_records import SeatRecords
from tests.slow.chaos.world.databases import Store
from tests.slow.chaos.world.lender import DEPOT, Lender, lender_of
from tests.slow.chaos.world.sites import CALL_TIMEOUT_SECONDS, GIVE_UP_AFTER_SECONDS, Dashboard, Site, Tally
from tests.slow.chaos.world.sleeper import Sleeper
from tests.support.masters import PROJECT, wire_to
from tests.support.network.lines import Line, line_to
from tests.support.projects.estates import project

SLEEPER = "quito"
NAMES = ("berlin", "paris", "rome", "vienna", "oslo", "madrid")
PHONES = 16
PORTS = 48
"""Half of what is wanted: the last license is always about to go."""
ALLOWANCE_SECONDS = 0.5
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long leases last."""

    ttl_seconds: int = 5
    grace_seconds: int = 600
    renew_every_seconds: int = 1

    @property
    def seconds(self) -> int:
        """From a renewal to its signed end."""
        return self.ttl_seconds + self.grace_seconds


@dataclass(slots=True, kw_only=True)
class World:
    """Everything that a fault can be done to."""

    store: Store
    masters: list[MasterProcess]
    sites: list[Site]
    lines: dict[tuple[str, int], Line]
    """By site and number of master."""
    lender: Lender
    dashboards: list[Dashboard]
    records: SeatRecords
    tally: Tally
    lease: Lease
    folder: Path
    chance: random.Random
    reading: Database
    """Past all that is wrong."""
    sleeper: Sleeper
    done: Counter[str] = field(default_factory=Counter)
    """Faults, by kind."""
    silent: tuple[Site, float] | None = None
    """A site that is cut off, and since when."""
    fenced: SlaveClient | None = None
    """A PBX's older copy."""

    def lines_of(self, sites: Sequence[Site]) -> list[Line]:
        return [self.lines[site.name, at] for site in sites for at in range(len(self.masters))]

    def some_sites(self, share: float) -> list[Site]:
        """A share of the sites, at least one, by chance."""
        return self.chance.sample(self.sites, max(round(len(self.sites) * share), 1))

    def signal_master(self, at: int, number: signal.Signals) -> None:
        """Send a signal to a master's process."""
        os.kill(self.masters[at].pid, number)


@asynccontextmanager
async def world(
    store: Store, folder: Path, *, masters: int, lease: Lease, seed: object, pause_seconds: float
) -> AsyncIterator[World]:
    """A whole estate in fair weather, its sites connected and silent."""
    records, tally = SeatRecords(licensed=PORTS), Tally()
    settings: dict[str, object] = {
        "clock_allowance_seconds": ALLOWANCE_SECONDS,
        "expiry_interval_seconds": LOOK_SECONDS,
        "release_interval_seconds": LOOK_SECONDS,
        "watch_interval_seconds": LOOK_SECONDS,
        "drain_seconds": 0.2,
    }
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        running = [
            await enter(master_process(store.master_url, environment=store.master_environment, **settings))
            for _ in range(masters)
        ]
        wires = [await enter(wire_to(process.address)) for process in running]
        pbxs = dict.fromkeys(NAMES, "slave 12 gateway") | dict.fromkeys(
            (DEPOT.removesuffix("-box"), SLEEPER), "slave 12 gateway"
        )
        pace = {
            "ttl_seconds": lease.ttl_seconds,
            "grace_seconds": lease.grace_seconds,
            "renew_every_seconds": lease.renew_every_seconds,
        }
        await wires[0].apply(project({"PBX-Port12": PORTS}, pbxs=pbxs, **pace))
        lines = {
            (name, at): await enter(line_to(process.address, seed=f"{seed} {name} {at}"))
            for name in NAMES
            for at, process in enumerate(running)
        }
        sites = []
        for number, name in enumerate(NAMES):
            mine = [lines[name, (number + at) % masters].address for at in range(masters)]
            config = client_config(name, mine, folder)
            site = Site(config, phones=PHONES, seed=seed, records=records, tally=tally, pause_seconds=pause_seconds)
            await site.start()
            stack.push_async_callback(site.crash)
            sites.append(site)
        reading = open_database(store.url)
        stack.push_async_callback(reading.close)
        sleeper = Sleeper(client_config(SLEEPER, [process.address for process in running], folder), records=records)
        stack.push_async_callback(sleeper.stop)
        yield World(
            reading=reading,
            sleeper=sleeper,
            store=store,
            masters=running,
            sites=sites,
            lines=lines,
            lender=await lender_of(wires, folder / "devices", seed=seed, records=records, tally=tally),
            dashboards=[Dashboard(wire, records=records, tally=tally, pause_seconds=0.1) for wire in wires],
            records=records,
            tally=tally,
            lease=lease,
            folder=folder,
            chance=random.Random(f"{seed} world"),
        )


def client_config(pbx: str, addresses: Sequence[str], folder: Path) -> ClientConfig:
    """A PBX that is in a hurry."""
    return ClientConfig(
        addresses=tuple(addresses),
        pbx=f"projects/{PROJECT}/pbxs/{pbx}",
        software_version="12r1",
        state_dir=folder / pbx,
        call_timeout_seconds=CALL_TIMEOUT_SECONDS,
        give_up_after_seconds=GIVE_UP_AFTER_SECONDS,
        backoff_base_seconds=0.05,
        backoff_max_seconds=0.5,
        save_every_seconds=0.1,
    )
