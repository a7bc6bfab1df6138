"""What is really there, asked through the API and counted in the database."""

from __future__ import annotations

import grpc

from licensemaster.v1 import status_pb2
from master.service.monitoring.audit import Audit
from master.store.backends.opening import open_database
from master.store.upkeep.integrity import counter_mismatches
from tests.support.masters import PROJECT, Wire

_PROJECT_NAME = f"projects/{PROJECT}"


async def all_seats(wire: Wire) -> list[status_pb2.HeldSeat]:
    """Who holds what."""
    seats: list[status_pb2.HeldSeat] = []
    request = status_pb2.ListSeatsRequest(project=_PROJECT_NAME, page_size=1000)
    while True:
        page = await wire.status.ListSeats(request)
        seats += page.seats
        if not page.next_page_token:
            return seats
        request.page_token = page.next_page_token


async def held_by_pbx(wire: Wire) -> dict[str, set[tuple[str, str]]]:
    """(license type, holder) by the PBX's resource name; a seat that is listed twice is a failure."""
    collected: dict[str, set[tuple[str, str]]] = {}
    for seat in await all_seats(wire):
        key = seat.seat.license_type, seat.seat.holder
        assert key not in collected.setdefault(seat.pbx, set()), f"{seat.pbx} holds {key} twice"
        collected[seat.pbx].add(key)
    return collected


async def used(wire: Wire) -> dict[str, int]:
    """Seats counted, by license type."""
    status = await wire.status.GetStatus(status_pb2.GetStatusRequest(project=_PROJECT_NAME))
    collected: dict[str, int] = {}
    for pool in status.pools:
        assert adds_up(pool)
        collected[pool.license_type] = collected.get(pool.license_type, 0) + counted(pool)
    return collected


def counted(pool: status_pb2.Pool) -> int:
    """What is counted of a pool, for whatever reason."""
    assert pool.used == pool.reserved_used + pool.floating_used
    return pool.used + pool.held_idle + pool.borrowed + pool.first_claims + pool.promised


def adds_up(pool: status_pb2.Pool) -> bool:
    """Whether the parts of a pool, none of them negative, come to what is installed and overdrawn."""
    parts = (counted(pool), pool.leaving, pool.withheld, pool.reserved_idle, pool.free)
    of_counted = (pool.reserved_used, pool.floating_used, pool.held_idle, pool.borrowed, pool.first_claims)
    return sum(parts) == pool.capacity + pool.overdraft.seats and min(*parts, *of_counted, pool.promised) >= 0


async def all_events(wire: Wire, kind: str = "") -> list[status_pb2.Event]:
    """What happened, newest first."""
    events: list[status_pb2.Event] = []
    request = status_pb2.ListEventsRequest(project=_PROJECT_NAME, kind=kind, page_size=1000)
    while True:
        page = await wire.status.ListEvents(request)
        events += page.events
        if not page.next_page_token:
            return events
        request.page_token = page.next_page_token


async def mismatches(database_url: str) -> list[str]:
    """Counters that do not agree with the seats, and events that are not as they were written."""
    database = open_database(database_url)
    try:
        chains = [
            f"{verified.project}: {verified.defect}"
            for verified in await Audit(database).verify_all()
            if verified.defect
        ]
        return await database.read(counter_mismatches) + chains
    finally:
        await database.close()


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason that a failure names."""
    return str(dict(error.trailing_metadata() or ()).get("error-reason", ""))
