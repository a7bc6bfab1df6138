"""A simulated site: a PBX with phones that come and go, built on the client that real PBXs embed.

Decides: which phone does what next, by its seed alone. Leaves to others: everything about leases. It lives on one event
loop and costs one timer per site, so that a thousand sites fit in a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from licensemaster.api_enums import HolderKind
from slave_client.client import SlaveClient
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.values.calls import CallKind
from slave_client.values.config import ClientConfig
from slave_client.values.notices import Notice
from slave_client.values.seats import Granted, Lost, Outcome, Reason, Refused, Returned, SeatChange, Want
from slave_client.values.states import State


class SiteEventKind(Enum):
    REGISTERED = "registered"
    """A phone has its seat."""
    REFUSED = "refused"
    """A phone did not get its seat."""
    LEFT = "left"
    """A phone logged out and its seat went back."""
    LOST = "lost"
    """A phone lost its seat."""
    STATE = "state"
    """The site's state changed."""
    NOTICE = "notice"
    """The site got a notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEvent:
    """One thing that happened."""

    pbx: str
    kind: SiteEventKind
    text: str
    change: SeatChange | None = None
    """What happened to a phone's seat, where it is that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCounts:
    """How a site stands, and what happened since its start."""

    phones: int
    registered: int
    """Phones that have their seat now."""
    granted_total: int
    refused_total: int
    lost_total: int


class SiteSimulator:
    """One PBX with `phones` phones, each of which wants a port while it is registered.

    `seed` decides who comes and goes; `pace_seconds` is the mean time between two such events while `run()` runs.
    `on_event` is called with each event. Raises ValueError for no phones.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        phones: int,
        seed: int = 0,
        pace_seconds: float = 0.5,
        on_event: Callable[[SiteEvent], None] | None = None,
    ) -> None:
        if phones < 1:
            raise ValueError("a site has at least one phone")
        site = config.pbx.rpartition("/")[2]
        self._config = config
        self._chance = random.Random(f"{seed} {config.pbx}")
        self._pace_seconds = pace_seconds
        self._on_event = on_event
        self._wants = [Want("port", HolderKind.USER, f"{site}-{number:04}") for number in range(1, phones + 1)]
        self._registered: set[str] = set()
        self._totals = dict.fromkeys(SiteEventKind, 0)
        self._running: asyncio.Task[None] | None = None
        self.network = NetworkSwitch()
        self.client = self._new_client()

    # The site's life.

    async def start(self) -> None:
        """Switch the PBX on; its phones are still silent."""
        await self.client.start()

    def run(self) -> None:
        """Let phones come and go at random from now on."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def rest(self) -> None:
        """Stop `run`: phones neither come nor go any more."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def close(self) -> int:
        """Switch the PBX off for good; returns how many seats went back."""
        await self.rest()
        return await self.client.close()

    async def stop(self) -> None:
        """Shut the PBX down for a restart: its lease stays."""
        await self.rest()
        await self.client.stop()

    async def crash(self) -> None:
        """Kill the PBX: nobody is notified, nothing more is written."""
        await self.rest()
        await self.client.crash()

    # The line.

    def drop_line(self) -> None:
        """Cut the line to all masters: calls under way break off, new ones fail."""
        self.network.cut()
        self.client.look_again()

    def restore_line(self) -> None:
        """Restore the line to the masters; the site tries to reach one at once."""
        self.network.restore()
        self.client.look_again()

    # The phones.

    @property
    def counts(self) -> SiteCounts:
        """The number of phones with a seat now, and of events since the site was made."""
        return SiteCounts(
            phones=len(self._wants),
            registered=len(self._registered),
            granted_total=self._totals[SiteEventKind.REGISTERED],
            refused_total=self._totals[SiteEventKind.REFUSED],
            lost_total=self._totals[SiteEventKind.LOST],
        )

    async def register_all(self) -> list[Outcome]:
        """Let every phone register at once, as on a morning after a power cut."""
        return await self.client.acquire_many(self._wants)

    async def register(self, phone: int) -> Outcome:
        """Let one phone (0 to phones - 1) register."""
        return await self.client.acquire(self._wants[phone])

    async def leave(self, phone: int) -> None:
        """Let one phone (0 to phones - 1) log out."""
        await self.client.return_seat(self._wants[phone])

    async def step(self) -> None:
        """Let one phone, chosen by the seed, register if it is not registered, and else log out."""
        phone = self._chance.randrange(len(self._wants))
        if self._wants[phone].holder in self._registered:
            await self.leave(phone)
        else:
            await self.register(phone)

    def may_call(self, phone: int, kind: CallKind = CallKind.NEW) -> bool:
        """Tell whether a phone may call now. An emergency call always may."""
        return self.client.call_allowed(kind=kind, holder=self._wants[phone].holder)

    # Underneath.

    def _new_client(self) -> SlaveClient:
        return SlaveClient(
            self._config,
            on_state=self._state_changed,
            on_seat=self._seat_changed,
            on_notice=self._noticed,
            network=self.network,
            chance=random.Random(self._chance.random()),
        )

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / self._pace_seconds))
            await self.step()

    def _seat_changed(self, want: Want, change: SeatChange) -> None:
        if isinstance(change, Granted):
            self._registered.add(want.holder)
            self._tell(SiteEventKind.REGISTERED, f"{want.holder} registered", change)
        elif isinstance(change, Refused):
            if change.reason is Reason.STILL_REQUIRED:
                return  # it wanted to leave, and stays
            self._registered.discard(want.holder)
            self._tell(SiteEventKind.REFUSED, f"{want.holder}: {change.message}", change)
        elif isinstance(change, Returned):
            self._registered.discard(want.holder)
            self._tell(SiteEventKind.LEFT, f"{want.holder} left", change)
        elif isinstance(change, Lost):
            self._registered.discard(want.holder)
            self._tell(SiteEventKind.LOST, f"{want.holder} lost its seat: {change.message}", change)

    def _state_changed(self, old: State, new: State, why: str) -> None:
        text = f"{old.value} -> {new.value}: {why}"
        self._emit(SiteEvent(pbx=self._config.pbx, kind=SiteEventKind.STATE, text=text))

    def _noticed(self, notice: Notice) -> None:
        self._emit(SiteEvent(pbx=self._config.pbx, kind=SiteEventKind.NOTICE, text=notice.message))

    def _tell(self, kind: SiteEventKind, text: str, change: SeatChange) -> None:
        self._emit(SiteEvent(pbx=self._config.pbx, kind=kind, text=text, change=change))

    def _emit(self, event: SiteEvent) -> None:
        self._totals[event.kind] += 1
        if self._on_event is not None:
            self._on_event(event)
