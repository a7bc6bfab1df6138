"""The seats of one PBX for the local API and adapters: the client, and how many requests may wait for it.

Decides: that a held seat is answered from memory however many requests wait, which requests are refused as too many,
and whose seat is used while another PBX is carried: that PBX's first, so that none is counted twice (rule F5).
Leaves to others: joining of asks into calls, what may be used offline, reconciling (all `slave_client`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from license_agent.events import EventHub
from license_agent.settings import AgentSettings
from license_agent.takeover import Takeover
from slave_client import CallKind, Granted, Held, Outcome, Refused, ReturnOutcome, SeatKey, SlaveClient, Synced, Want
from slave_client.connection.clocks import Clock


class TooManyWaitingError(Exception):
    """Raised where as many requests as are allowed wait for a master already."""


class Agent:
    """The client of one PBX. Raises what `SlaveClient` and `AgentSettings.client_config` raise."""

    def __init__(self, settings: AgentSettings, clock: Clock | None = None) -> None:
        self.events = EventHub(waiting_max=settings.events_waiting_max)
        self.client = SlaveClient(
            settings.client_config(),
            on_state=self.events.on_state,
            on_seat=self.events.on_seat,
            on_notice=self.events.on_notice,
            clock=clock,
        )
        self.takeover = Takeover(
            self.client, settings.state_dir, wait_seconds=settings.give_up_after_seconds, on_seat=self.events.on_seat
        )
        self._waiting_max = settings.asks_waiting_max
        self.waiting = 0
        """Requests that wait for a master."""
        self.outcomes: Counter[str] = Counter()
        """Counts of seats granted, refused by reason, and returned; `turned_away` counts requests above the limit."""

    @property
    def held(self) -> tuple[Held, ...]:
        """The seats in use, including those carried for another PBX."""
        return tuple(held for client in self._clients for held in client.held)

    def held_seat(self, key: SeatKey) -> Held | None:
        """Return the seat in use that has this name; None where there is none."""
        return next((held for client in self._clients if (held := client.held_seat(key)) is not None), None)

    def call_allowed(self, kind: CallKind, holder: str, license_type: str) -> bool:
        """Tell whether a call may be made or go on; seats carried for another PBX count as well."""
        return any(client.call_allowed(kind=kind, holder=holder, license_type=license_type) for client in self._clients)

    def place_of(self, key: SeatKey) -> int:
        """Return the place of a seat in the waiting line, 1 for the next; 0 where the PBX does not wait for it."""
        return next((awaited.place for awaited in self.client.awaited if awaited.want.key == key), 0)

    async def acquire(self, want: Want, *, wait: bool = False) -> Outcome:
        """Acquire a seat, at once where it is held; `wait` has this PBX wait for a seat that is short.
        Raises TooManyWaitingError if the seat is not held, and too many requests wait."""
        grant = self.already_held(want)
        return grant if grant is not None else (await self.acquire_new([want], wait=wait))[0]

    def already_held(self, want: Want) -> Granted | None:
        """Return the grant of a seat that is held; None where a master has to be asked."""
        grants = (client.already_held(want) for client in self._clients)
        grant = next((grant for grant in grants if grant is not None), None)
        if grant is not None:
            self.outcomes["granted"] += 1
        return grant

    async def acquire_new(self, wants: Sequence[Want], *, wait: bool = False) -> list[Outcome]:
        """Acquire seats that are not held; each seat counts as a waiting request.
        Raises TooManyWaitingError if too many wait."""
        with self._waits(len(wants)):
            outcomes = await self.acquire_many(wants, wait=wait)
        for outcome in outcomes:
            self.outcomes["granted" if isinstance(outcome, Granted) else f"refused_{outcome.reason.value}"] += 1
        return outcomes

    async def acquire_many(self, wants: Sequence[Want], *, wait: bool = False) -> list[Outcome]:
        """Acquire seats for the PBX that is carried; where none is carried, or a seat is refused, for this PBX, which
        alone waits."""
        carrying = self.takeover.client
        if carrying is None:
            return await self.client.acquire_many(wants, wait=wait)
        mine = [want for want in wants if self.client.held_seat(want.key) is not None]
        outcomes = {outcome.want: outcome for outcome in await self.client.acquire_many(mine)}
        for client in (carrying, self.client):
            asked = [want for want in wants if want not in outcomes or not outcomes[want].granted]
            may_wait = wait and client is self.client
            outcomes.update({outcome.want: outcome for outcome in await client.acquire_many(asked, wait=may_wait)})
        return [outcomes[want] for want in wants]

    async def give_back(self, want: Want) -> ReturnOutcome:
        """Return a seat. Raises TooManyWaitingError if too many wait."""
        with self._waits():
            [outcome] = await self.return_seats([want])
        self.outcomes["returned"] += 1
        return outcome

    async def return_seats(self, wants: Sequence[Want]) -> list[ReturnOutcome]:
        """Return seats, each under the PBX that holds it."""
        carrying = self.takeover.client
        if carrying is None:
            return await self.client.return_seats(wants)
        theirs = {want: None for want in wants if carrying.held_seat(want.key) is not None}
        mine = [want for want in wants if want not in theirs]
        returned = [*await carrying.return_seats(list(theirs)), *await self.client.return_seats(mine)]
        by_want = {outcome.want: outcome for outcome in returned}
        return [by_want[want] for want in wants]

    async def sync(self, wants: Sequence[Want]) -> Synced:
        """Make the seats in use equal to the wanted set; carried seats that no holder has asked for yet stay.
        Raises TooManyWaitingError if too many wait, ValueError if a seat is wanted twice."""
        with self._waits():
            carrying = self.takeover.client
            if carrying is None:
                return await self.client.sync(wants)
            return await self._sync_both(carrying, wants)

    async def _sync_both(self, carrying: SlaveClient, wants: Sequence[Want]) -> Synced:
        """Sync while another PBX is carried: seats of this PBX stay its own, others are that PBX's where granted."""
        theirs = {want.key: want for want in wants if self.client.held_seat(want.key) is None}
        if len({want.key for want in wants}) != len(wants):
            raise ValueError("the same seat is wanted twice")
        gone = await carrying.return_seats([held.want for held in carrying.held if held.want.key not in theirs])
        asked = await carrying.acquire_many(list(theirs.values()))
        outcomes = {outcome.want: outcome for outcome in asked if outcome.granted}
        own = await self.client.sync([want for want in wants if want not in outcomes])
        outcomes.update({outcome.want: outcome for outcome in own.outcomes})
        kept = [outcome for outcome in gone if isinstance(outcome, Refused)]
        return Synced(
            outcomes=tuple(outcomes[want] for want in wants),
            seats_returned=len(gone) - len(kept) + own.seats_returned,
            kept=(*kept, *own.kept),
        )

    @property
    def _clients(self) -> tuple[SlaveClient, ...]:
        carrying = self.takeover.client
        return (self.client,) if carrying is None else (self.client, carrying)

    @contextmanager
    def _waits(self, requests: int = 1) -> Iterator[None]:
        if self.waiting + requests > self._waiting_max:
            self.outcomes["turned_away"] += requests
            raise TooManyWaitingError
        self.waiting += requests
        try:
            yield
        finally:
            self.waiting -= requests
