"""One PBX's seats, as the local API and adapters ask for them: the client, and how many may wait for it.

Decides: that a held seat is answered from memory however many wait, and who is told to come back. Leaves to others:
joining of asks into calls, what may be used offline, reconciling (all `slave_client`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from license_agent.events import EventHub
from license_agent.settings import AgentSettings
from slave_client import Outcome, ReturnOutcome, SlaveClient, Synced, Want


class TooManyWaitingError(Exception):
    """As many requests as may wait for a master are waiting already."""


class Agent:
    """The client of one PBX. Raises what `SlaveClient` and `AgentSettings.client_config` raise."""

    def __init__(self, settings: AgentSettings) -> None:
        self.events = EventHub(waiting_max=settings.events_waiting_max)
        self.client = SlaveClient(
            settings.client_config(),
            on_state=self.events.on_state,
            on_seat=self.events.on_seat,
            on_notice=self.events.on_notice,
        )
        self._waiting_max = settings.asks_waiting_max
        self.waiting = 0
        """Requests that wait for a master."""
        self.outcomes: Counter[str] = Counter()
        """How many seats were granted, refused by reason, returned; `turned_away` for a full queue."""

    async def acquire(self, want: Want) -> Outcome:
        """Acquire a seat; at once where it is held.

        Raises:
            TooManyWaitingError: the seat is not held, and too many wait.
        """
        outcome: Outcome | None = self.client.already_held(want)
        if outcome is None:
            with self._waits():
                outcome = await self.client.acquire(want)
        self.outcomes["granted" if outcome.granted else f"refused_{outcome.reason.value}"] += 1  # type: ignore[union-attr]
        return outcome

    async def give_back(self, want: Want) -> ReturnOutcome:
        """Return a seat.

        Raises:
            TooManyWaitingError: too many wait.
        """
        with self._waits():
            outcome = await self.client.return_seat(want)
        self.outcomes["returned"] += 1
        return outcome

    async def sync(self, wants: Sequence[Want]) -> Synced:
        """Make what is held equal to what is wanted.

        Raises:
            TooManyWaitingError: too many wait.
            ValueError: a seat is wanted twice.
        """
        with self._waits():
            return await self.client.sync(wants)

    @contextmanager
    def _waits(self) -> Iterator[None]:
        if self.waiting >= self._waiting_max:
            self.outcomes["turned_away"] += 1
            raise TooManyWaitingError
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
