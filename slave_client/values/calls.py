"""Whether a call may be made or go on. Emergency calls and running calls always may.

EMERGENCY RULE: an emergency call, and a call that is already running, never depend on a license: not on a seat, not on
a lease, not on the master, not on the state of this client, not even on whether it was ever started. The functions here
are pure: they do no I/O, take no lock, wait for nothing and cannot fail. Ask them, or do not ask at all.
"""

from __future__ import annotations

from enum import Enum


class CallKind(Enum):
    EMERGENCY = "emergency"
    """A call to an emergency number. Always allowed."""
    RUNNING = "running"
    """A call that is already set up. Always allowed to go on."""
    NEW = "new"
    """Any other call that is about to be set up. Allowed where the holder has a seat."""


class SeatPossession(Enum):
    """Whether the caller's PBX object has the seat that lets it make calls."""

    HELD = "held"
    NOT_HELD = "not_held"


def call_allowed(kind: CallKind, possession: SeatPossession = SeatPossession.NOT_HELD) -> bool:
    """Tell whether a call may be made or go on.

    `possession` counts for new calls alone. Never raises, never blocks.
    """
    if kind is CallKind.NEW:
        return possession is SeatPossession.HELD
    return True
