"""The states of a slave client and the events that change them, as one table.

Decides: which state follows which event. Leaves to others: noticing the events (`lease_keeper`, `seat_manager`), what
is done on entering a state (`client`) and who waits for one (`client_state`). No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class State(Enum):
    """A client's state toward its master."""

    STARTING = "starting"
    """No lease yet: the master was not reached since the start, and no kept lease is in force."""
    CONNECTED = "connected"
    """A lease is open and the master answers."""
    OFFLINE = "offline"
    """The master does not answer; the site uses what it holds until the signed end."""
    BORROWING = "borrowing"
    """The lease is over, and the master does not answer; the site uses what it borrowed, until the end of the loan."""
    EXPIRED = "expired"
    """The lease passed its end or was ended by the master; its seats are lost. The client opens a new lease."""
    FENCED = "fenced"
    """Another installation opened a newer lease for this PBX. Final: only a person can say which one is right."""
    CLOSED = "closed"
    """The lease was closed and its seats went back. Final."""
    STOPPED = "stopped"
    """The client left without closing; the seats stay counted for this PBX until the signed end. Final."""

    @property
    def is_final(self) -> bool:
        """True where no event leads out of this state."""
        return self in _FINAL

    @property
    def has_seats(self) -> bool:
        """True where seats may be in use."""
        return self in _WITH_SEATS


class Event(Enum):
    """What can happen to a client."""

    OPENED = "opened"
    """The master opened a lease, and the seats are reconciled with it."""
    RENEWED = "renewed"
    """The master renewed the lease, and the seats are reconciled with it."""
    RESUMED = "resumed"
    """The master does not answer after a start, but the kept lease is still in force."""
    MASTER_LOST = "master_lost"
    """No master address answers."""
    END_REACHED = "end_reached"
    """The signed end of the lease has come."""
    LEASE_ENDED = "lease_ended"
    """The master says that the lease is over, or that it knows of none."""
    LOAN_LEFT = "loan_left"
    """The lease is over (END_REACHED or LEASE_ENDED) while a loan is in force."""
    LEASE_UNKNOWN = "lease_unknown"
    """The master does not know the lease, because its database was restored: the client opens a new lease and shows
    the signed one."""
    FENCED = "fenced"
    """The master says that a newer lease was opened for this PBX."""
    CLOSED = "closed"
    """The PBX closed its lease."""
    STOPPED = "stopped"
    """The PBX stops the client and keeps its lease."""


_FINAL: Final = frozenset({State.FENCED, State.CLOSED, State.STOPPED})
_WITH_SEATS: Final = frozenset({State.CONNECTED, State.OFFLINE, State.BORROWING})
_ALWAYS: Final[Mapping[Event, State]] = {
    Event.OPENED: State.CONNECTED,
    Event.RENEWED: State.CONNECTED,
    Event.END_REACHED: State.EXPIRED,
    Event.LEASE_ENDED: State.EXPIRED,
    Event.LOAN_LEFT: State.BORROWING,
    Event.FENCED: State.FENCED,
    Event.CLOSED: State.CLOSED,
    Event.STOPPED: State.STOPPED,
}
"""The next state by event, in every state that is not final; an event that leads to the same state changes nothing."""

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = MappingProxyType(
    {
        State.STARTING: {**_ALWAYS, Event.RESUMED: State.OFFLINE},  # without a master there is nothing to lose yet
        State.CONNECTED: {**_ALWAYS, Event.MASTER_LOST: State.OFFLINE, Event.LEASE_UNKNOWN: State.OFFLINE},
        State.OFFLINE: _ALWAYS,
        State.BORROWING: _ALWAYS,  # its end is that of the last loan; LOAN_LEFT says that one of several is over
        State.EXPIRED: _ALWAYS,
        **dict.fromkeys(_FINAL, MappingProxyType({})),
    }
)
"""The next state by state and event; an event that is not listed changes nothing."""


def next_state(state: State, event: Event) -> State:
    """Return the state that follows an event; the same state where the event changes nothing."""
    return TRANSITIONS[state].get(event, state)
