"""Reads what a plan needs, on one consistent state, and has it worked out beside everything else.

The deciding takes seconds for a hundred thousand seats, so it runs in a thread of its own, after the transaction, one
plan at a time, and ends with the call that asked for it. Seats are read in pages, so that calls served by the same
event loop get their turn in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from master.domain.agreements.ordering.release_checks import free_upgrades
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import software_in_use
from master.domain.planning.changes import PlannedChange
from master.domain.planning.plan import Plan, Situation, plan
from master.domain.seats.seats import Seat
from master.service.estates.agreement_ledgers import known_now
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.estates.service_context import ServiceContext
from master.store.backends.database import Tx
from master.store.statements import queries
from master.store.statements.claims import lent_seats
from master.store.statements.projects import projects
from master.store.statements.seats import revoked_seats, seat_totals, seats_of_pbxs

_PAGE_SEATS = 5_000


async def plan_changes(context: ServiceContext, project: str, changes: Sequence[PlannedChange]) -> Plan:
    """Return what would happen if some changes were made.
    Raises UnknownProjectError if there is no such project, PlanInvalidError if a change is wrong in itself."""
    time = context.lease_time()
    return await context.questions.work_out(
        lambda tx: _situation(tx, context.estates, project, time),
        lambda situation, go_on: plan(situation, changes, go_on=go_on),
    )


def _situation(tx: Tx, estates: EstateCache, project: str, time: LeaseTime) -> Situation:
    estate = read_estate(tx, estates, project)
    leases = queries.leases_of_project(tx, estate.project_id)
    return Situation(
        estate=estate,
        software=software_in_use(leases, time),
        reachable=frozenset(pbx for pbx, lease in leases.items() if lease.state(time) is LeaseState.ACTIVE),
        seats=list(_seats(tx, estate)),
        lent=lent_seats(tx, estate.project_id),
        now=time.now,
        uses=queries.pool_uses(tx, estate.project_id),
        devices=projects.device_names(tx, estate.project_id),
        upgrades=_upgrades(tx, estates, estate, time.now),
    )


def _upgrades(tx: Tx, estates: EstateCache, estate: Estate, now: float) -> dict[str, frozenset[int]]:
    state = estates.ledgers.state(tx, estate.project_id)
    if state.last_number == 0:  # nobody has entered when which version was published
        return {}
    known = known_now(estate, state, now=now)
    return free_upgrades(known.snapshot, known.day)


def _seats(tx: Tx, estate: Estate) -> Iterator[Seat]:
    """Yield the seats that are held and may be kept: seats that an operator took away are not asked for again (L5)."""
    revoked = revoked_seats(tx, sorted(estate.revoked_from))
    for page in _pages(tx, list(estate.pbxs)):
        yield from (seat for seat in page if seat.key not in revoked.get(seat.pbx_id, ())) if revoked else page


def _pages(tx: Tx, pbx_ids: Sequence[int]) -> Iterator[Sequence[Seat]]:
    """Yield all seats of PBXs in pages: many PBXs at once where each holds few seats, parts of one PBX where it holds
    many.
    """
    held = {pbx_id: sum(totals.values()) for pbx_id, totals in seat_totals(tx, pbx_ids).items()}
    few: list[int] = []
    together = 0
    for pbx_id, seats in held.items():
        if seats > _PAGE_SEATS:
            yield from _pieces(tx, pbx_id)
            continue
        if together + seats > _PAGE_SEATS:
            yield seats_of_pbxs(tx, few)
            few, together = [], 0
        few.append(pbx_id)
        together += seats
    yield seats_of_pbxs(tx, few)


def _pieces(tx: Tx, pbx_id: int) -> Iterator[Sequence[Seat]]:
    after = None
    while page := queries.list_seats(tx, [pbx_id], after=after, limit=_PAGE_SEATS):
        yield page
        last = page[-1]
        after = (last.pbx_id, last.holder, last.type, int(last.kind))
