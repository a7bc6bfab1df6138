"""How a request waits: how much work it is, what comes first, and whose turn it takes."""

from __future__ import annotations

from collections.abc import Hashable
from operator import attrgetter

from master.service.batch.requests import (
    AcquireSeats,
    CloseLease,
    GrantWaiting,
    OpenLease,
    ReclaimSeats,
    Request,
    ReturnSeats,
    SyncSeats,
)
from master.service.runtime.fair_queue import Load, Urgency

_BYTES = 400
"""Bytes that a seat or a request takes besides its texts, with the message that it came in."""
_BYTES_PER_LETTER = 2
"""Bytes for each letter, in a text and in the message."""
_HOLDER = attrgetter("holder")


def load_of(request: Request[object]) -> Load:
    """Return how much work a request is, in seats, and about how many bytes it takes while it waits."""
    match request:
        case (
            AcquireSeats(wants=items)
            | SyncSeats(wants=items)
            | ReturnSeats(keys=items)
            | OpenLease(wants=items)
            | GrantWaiting(wants=items)
        ):
            texts = sum(map(len, map(_HOLDER, items)))
            return Load(max(len(items), 1), _BYTES * (1 + len(items)) + _BYTES_PER_LETTER * texts)
        case ReclaimSeats(holders_max=holders):
            return Load(holders, _BYTES)
        case _:
            return Load(1, _BYTES)


def urgency_of(request: Request[object]) -> Urgency:
    """Return the urgency of a request: leases first, then seats that are given back. An opening that acquires seats is
    as urgent as an acquire, or it would be a way to get seats before all others.
    """
    match request:
        case AcquireSeats() | SyncSeats() | GrantWaiting():
            return Urgency.ACQUIRE
        case OpenLease(wants=wants) if wants:
            return Urgency.ACQUIRE
        case ReturnSeats() | ReclaimSeats():
            return Urgency.RETURN
        case _:
            return Urgency.LEASE


def lane_of(request: Request[object]) -> Hashable:
    """Return the lane that a request waits in. What a PBX opens, acquires, returns and closes is done in the order in
    which the PBX asked. A renewal waits for none of that, and neither does what others ask about the PBX; a standby
    asks for its primary too.
    """
    match request:
        case OpenLease():
            return request.pbx, request.pbx
        case CloseLease() | AcquireSeats() | ReturnSeats() | SyncSeats():
            return request.pbx, request.proven or request.pbx
        case _:
            return request.pbx, type(request)
