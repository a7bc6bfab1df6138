"""A real master on SQLite, in this process, that can be stopped and started again, and how a client reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from licensemaster.daemon.settings import load
from licensemaster.v1 import project_pb2, status_pb2
from master.app import mark_restored, running
from master.launch import reserved_port
from master.settings import Settings
from master.store.upkeep.backup import copied
from slave_client import ClientConfig
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, Clock, wire_to
from tests.support.network.relay import Relay, relay_to
from tests.support.projects.estates import project

PORTS = 5
DATABASE = "license-master.db"
PBXS = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway"}


def estate(
    *, ports_version: int = 12, more: dict[str, int] | None = None, grace_seconds: int = 30
) -> project_pb2.Project:
    """An estate with a license master, two slaves and PORTS floating ports; leases last 30 s, and the grace."""
    licenses = {f"PBX-Port{ports_version}": PORTS, **(more or {})}
    return project(licenses, pbxs=PBXS, ttl_seconds=30, grace_seconds=grace_seconds)


class RestartableMaster:
    """A master that can be stopped and started again on the same port and database."""

    def __init__(self, database_url: str, clock: Clock) -> None:
        self._database_url = database_url
        self._stack = AsyncExitStack()
        self.clock = clock
        self.address = f"127.0.0.1:{reserved_port()}"

    async def start(self) -> None:
        """Serve; on the same port as before."""
        settings = load(
            Settings,
            None,
            database_url=self._database_url,
            listen=self.address,
            metrics_listen="",
            plaintext=True,
            drain_seconds=0.1,
            keepalive_timeout_seconds=HANG_SECONDS,
            expiry_interval_seconds=0.05,
            release_interval_seconds=0.05,
            clock_allowance_seconds=0,
        )
        self.running = await self._stack.enter_async_context(running(settings, self.clock))

    async def stop(self) -> None:
        """Stop serving; nothing is lost."""
        await self._stack.aclose()

    async def apply(self, wanted: project_pb2.Project) -> None:
        """Make the stored project equal to this one."""
        async with wire_to(self.address) as wire:
            await wire.apply(wanted)

    async def holders(self, pbx: str) -> set[str]:
        """Who holds a port at a PBX, as the master counts."""
        request = status_pb2.ListSeatsRequest(
            project=f"projects/{PROJECT}", pbx=pbx, license_type="port", page_size=1000
        )
        async with wire_to(self.address) as wire:
            return {held.seat.holder for held in (await wire.status.ListSeats(request)).seats}

    async def learning(self) -> bool:
        """Whether it learns after a restore."""
        async with wire_to(self.address) as wire:
            request = status_pb2.GetStatusRequest(project=f"projects/{PROJECT}")
            return (await wire.status.GetStatus(request)).HasField("learning")

    async def learned(self) -> bool:
        """Whether it learns no more."""
        return not await self.learning()

    def config(self, pbx: str = "berlin", *, state_dir: Path | None = None, **changes: object) -> ClientConfig:
        """How a PBX of the estate reaches this master; impatient."""
        return client_config(self.address, pbx=pbx, state_dir=state_dir, **changes)


@dataclass(slots=True)
class Vault:
    """Backups of a master's database, and putting one back."""

    master: RestartableMaster
    folder: Path
    made: list[Path] = field(default_factory=list)

    def back_up(self) -> None:
        """While the master serves."""
        target = self.folder / f"backup-{len(self.made)}.db"
        with copied(self.folder / DATABASE, target, progress=lambda _done, _total: None):
            pass
        self.made.append(target)

    async def restore(self, backup: Path, *, said: bool = True) -> None:
        """Put a backup in place, as `license-master db restore` does, and serve it; `said`: that it was restored."""
        await self.master.stop()
        for name in self.folder.glob(f"{DATABASE}*"):
            name.unlink()
        with copied(backup, self.folder / DATABASE, progress=lambda _done, _total: None) as copy:
            settings = load(Settings, None, database_url=f"sqlite:///{copy}", plaintext=True, clock_allowance_seconds=0)
            if said:
                await mark_restored(settings, caller="test", clock=self.master.clock)
        await self.master.start()


def client_config(address: str, *, pbx: str = "berlin", **changes: object) -> ClientConfig:
    """A client's configuration with short pauses."""
    fields: dict[str, object] = {
        "addresses": (address,),
        "pbx": f"projects/{PROJECT}/pbxs/{pbx}",
        "software_version": "12r1",
        "call_timeout_seconds": HANG_SECONDS,  # no test waits for one that does not say how long
        "give_up_after_seconds": HANG_SECONDS,
        "backoff_base_seconds": 0.02,
        "backoff_max_seconds": 0.1,
        "save_every_seconds": 0.02,
        **changes,
    }
    return ClientConfig(**fields)  # type: ignore[arg-type]


class HeldClock:
    """A client's time that only moves when told to; whoever sleeps wakes when their time has come.

    The short pauses of `client_config` between attempts pass by themselves.
    """

    def __init__(self, wall: Clock) -> None:
        self._wall = wall
        self._now = 5_000.0
        self._boots = 1
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self._now

    def boot(self) -> str:
        return f"boot-{self._boots}"

    def wall(self) -> float:
        return self._wall()

    def restart_machine(self) -> None:
        """The steady clock counts from now on; whoever sleeps is gone."""
        self._now, self._boots = 0.0, self._boots + 1

    async def sleep(self, seconds: float) -> None:
        if seconds < 0.2:
            await asyncio.sleep(seconds)
            return
        sleeper = (self._now + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Move this clock, and the wall clock with it."""
        self._now += seconds
        self._wall.advance(seconds)
        for due, event in self._sleepers:
            if due <= self._now:
                event.set()


@pytest.fixture
async def master(sqlite_database_url: str, clock: Clock) -> AsyncIterator[RestartableMaster]:
    """A master that serves the estate."""
    restartable_master = RestartableMaster(sqlite_database_url, clock)
    await restartable_master.start()
    await restartable_master.apply(estate())
    yield restartable_master
    await restartable_master.stop()


@pytest.fixture
async def relay(master: RestartableMaster) -> AsyncIterator[Relay]:
    """A line to the master that a test can cut."""
    async with relay_to(master.address) as relay:
        yield relay


@pytest.fixture
def vault(master: RestartableMaster, tmp_path: Path) -> Vault:
    made_vault = Vault(master, tmp_path)
    made_vault.back_up()
    return made_vault
