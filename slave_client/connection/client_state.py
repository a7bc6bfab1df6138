"""Where the client stands now: its state, its lease, and those who wait for a change.

Decides: when the signed end is reached, by the steady clock. The table of `states` decides what follows from an event.
Leaves to others: noticing events, and acting on a new state (`on_enter`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from licensemaster.signing.verified_lease import VerifiedLease
from slave_client.connection.clocks import Clock
from slave_client.values.states import Event, State, next_state

OnEnter = Callable[[State, State, Event, str], None]
"""Called with the old state, the new one, what happened, and why."""


class ClientState:
    """The state and the lease of one client. Used from one event loop."""

    def __init__(self, clock: Clock, on_enter: OnEnter) -> None:
        self._clock = clock
        self._on_enter = on_enter
        self._state = State.STARTING
        self._end = 0.0
        self._waiters: list[tuple[frozenset[State], asyncio.Future[State]]] = []
        self.why = "not started yet"
        self.verified: VerifiedLease | None = None
        self.epoch: int | None = None
        """The lease that this run of the client opened; of one from an earlier run only the signed lease is known."""
        self.judged = asyncio.Event()
        """Cleared while the first attempt to get a lease is under way, so that its result is worth waiting for."""

    @property
    def state(self) -> State:
        """The state; notices by itself that the signed end has come."""
        self.check_end()
        return self._state

    def remaining_seconds(self) -> float:
        """Return how long the lease still lasts; 0 without one."""
        return max(self._end - self._clock.now(), 0.0) if self.verified else 0.0

    @property
    def is_over(self) -> bool:
        """True once the signed end has come, noticed or not. Changes nothing, so that any thread may ask."""
        return self.verified is not None and self._clock.now() >= self._end

    def hold(self, verified: VerifiedLease, *, end: float) -> None:
        """Rely on a signed lease until `end`, in seconds of the steady clock."""
        self.verified = verified
        self._end = end

    def drop_lease(self) -> None:
        """Rely on no signed lease any more."""
        self.verified = None
        self.epoch = None

    def check_end(self) -> None:
        """Notice that the signed end has come."""
        if self.is_over:
            self.happened(Event.END_REACHED, "the lease reached its signed end before a master was reached")

    def happened(self, event: Event, why: str) -> None:
        """Change the state as the table of `states` says, and notify `on_enter` and those who wait for it."""
        old, new = self._state, next_state(self._state, event)
        if event is Event.LEASE_UNKNOWN:
            self.epoch = None  # the signed lease still counts
        if event is Event.LEASE_ENDED and new is State.EXPIRED:
            self.judged.clear()  # the master is there, so a new lease is a moment away
        if new is old:
            if event is Event.MASTER_LOST:
                self.why = why  # the cause may be another by now, or the first one that is known
            return
        self._state, self.why = new, why
        if new is not State.EXPIRED:
            self.judged.set()
        if new is State.EXPIRED or new.is_final:
            self.drop_lease()
        self._on_enter(old, new, event, why)
        self._wake(new)

    async def wait_for(self, states: frozenset[State]) -> State:
        """Wait until one of the states is entered, or return at once where it is the present one."""
        if self.state in states:
            return self._state
        arrival: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        entry = (states, arrival)
        self._waiters.append(entry)
        try:
            return await arrival
        finally:
            if entry in self._waiters:
                self._waiters.remove(entry)

    def _wake(self, state: State) -> None:
        for states, arrival in list(self._waiters):
            if state in states and not arrival.done():
                arrival.set_result(state)
