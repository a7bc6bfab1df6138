"""The client's present state and lease, and the callers that wait for a change of state.

Decides: when the signed end is reached, by the steady clock, and whether a loan is left then. The table of `states`
decides what follows from an event.
Leaves to others: noticing events, and acting on a new state (`on_enter`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from licensemaster.signing.verified_lease import VerifiedLease
from slave_client.connection.clocks import Clock
from slave_client.values.states import Event, State, next_state

OnEnter = Callable[[State, State, Event, str], None]
"""Called with the old state, the new one, what happened, and why."""


class ClientState:
    """The state and the lease of one client. Used from one event loop.

    `next_loan_end` gives the moment at which the next loan ends, given the time; None without a loan. Both are in
    seconds of the steady clock. `on_enter` is also called when one of several loans ends, with old and new state alike.
    """

    def __init__(self, clock: Clock, on_enter: OnEnter, next_loan_end: Callable[[float], float | None]) -> None:
        self._clock = clock
        self._on_enter = on_enter
        self._next_loan_end = next_loan_end
        self._state = State.STARTING
        self._lease_end = 0.0
        self._loan_end = 0.0
        self._waiters: list[tuple[frozenset[State], asyncio.Future[State]]] = []
        self.why = "not started yet"
        self.verified: VerifiedLease | None = None
        self.epoch: int | None = None
        """The epoch of the lease that this run of the client opened; None for a signed lease from an earlier run."""
        self.judged = asyncio.Event()
        """Cleared while the first attempt to get a lease is under way, so that callers wait for its result."""

    @property
    def state(self) -> State:
        """The present state; reading it enters the next state where the signed end has come."""
        if self.is_over:
            over = "what was borrowed" if self._state is State.BORROWING else "the lease"
            self.happened(Event.END_REACHED, f"{over} reached its signed end before a master was reached")
        return self._state

    def remaining_seconds(self) -> float:
        """Return how long seats in use may be used without the master, in seconds; 0 without a lease."""
        return max((self._end or 0.0) - self._clock.now(), 0.0)

    def lease_remaining_seconds(self) -> float:
        """Return how long the lease still lasts, in seconds; 0 without a lease and while BORROWING."""
        return 0.0 if self._state is State.BORROWING else self.remaining_seconds()

    @property
    def is_over(self) -> bool:
        """True once the signed end has come, whatever the state says. Changes nothing, so that any thread may ask."""
        end = self._end
        return end is not None and self._clock.now() >= end

    @property
    def _end(self) -> float | None:
        """The moment from which seats may not be used, in seconds of the steady clock; None without a lease."""
        if self._state is State.BORROWING:
            return self._loan_end
        return self._lease_end if self.verified is not None else None

    def hold(self, verified: VerifiedLease, *, end: float) -> None:
        """Rely on a signed lease until `end`, in seconds of the steady clock."""
        self.verified = verified
        self._lease_end = end

    def end_by(self, lease_end: float) -> None:
        """Rely on the lease no longer than until `lease_end`, in seconds of the steady clock, and on loans no longer
        than they last now.
        """
        now = self._clock.now()
        self._lease_end = min(self._lease_end, lease_end)
        self._loan_end = min(self._loan_end, self._next_loan_end(now) or now)

    def started(self) -> None:
        """Set `why` to what holds until the first attempt to reach a master has ended."""
        kept = "; what was kept from before counts until its signed end" if self.remaining_seconds() else ""
        self.why = f"no master has answered since the start{kept}"

    def drop_lease(self) -> None:
        """Stop relying on the signed lease."""
        self.verified = None
        self.epoch = None

    def happened(self, event: Event, why: str) -> None:
        """Change the state by the table of `states`; call `on_enter`, and wake callers that wait for the new state."""
        old, ended_by_master = self._state, event is Event.LEASE_ENDED
        if event in _LEASE_OVER and (loan_end := self._next_loan_end(self._clock.now())) is not None:
            event, self._loan_end = Event.LOAN_LEFT, loan_end
        new = next_state(old, event)
        if event is Event.LEASE_UNKNOWN or (new is State.BORROWING and (new is not old or ended_by_master)):
            self.epoch = None  # the signed lease still counts, or shows what it was
        if event in _LEASE_OVER and new is State.EXPIRED:
            self.drop_lease()  # also one that was opened anew, and ended before its seats were reconciled
        if ended_by_master and new in _LEASE_LOST:
            self.judged.clear()  # the master is there, so a new lease is a moment away
        if new is old:
            if event is Event.MASTER_LOST:
                self.why = why  # the cause may be another by now, or the first one that is known
            elif event is Event.LOAN_LEFT and new is State.BORROWING:
                self._on_enter(old, new, event, why)
            return
        self._state, self.why = new, why
        if new not in _LEASE_LOST:
            self.judged.set()
        if new is State.STOPPED:
            self.epoch = None  # the master hears no more under this lease, which a restart carries on with
        elif new.is_final:
            self.drop_lease()
        self._on_enter(old, new, event, why)
        self._wake(new)

    async def wait_for(self, states: frozenset[State]) -> State:
        """Wait until one of the states is entered and return it; return at once where it is the present state."""
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


_LEASE_OVER: Final = frozenset({Event.END_REACHED, Event.LEASE_ENDED})
_LEASE_LOST: Final = frozenset({State.EXPIRED, State.BORROWING})
