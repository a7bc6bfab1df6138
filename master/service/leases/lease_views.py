"""What can be asked without changing anything: the estate at a glance, seats, leases, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from master.domain.catalog.versions import Version
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import Lease
from master.domain.leases.loans import Loan, loans_of
from master.domain.leases.notices import Notice, SeatNews, notices
from master.domain.leases.standby import carrier_of
from master.domain.remedies.remedies import Effort, with_remedies
from master.domain.remedies.trial import Case, pools_of
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import Eligibility
from master.domain.seats.outcomes import Outcome
from master.domain.seats.pools import PoolCounts, parts
from master.domain.seats.seats import Want
from master.service.batch.claims.standby_pairs import carried_by
from master.service.batch.prefetch import Prefetch, canonical, fill_working_set, name_top_holders, need_for_wants
from master.service.estates.estate_cache import EstateCache
from master.service.estates.overdrafts import overdrawn_pools
from master.service.runtime.names import PbxName
from master.store.backends.database import Tx
from master.store.statements.claims import borrowers, claims_of, shares_of
from master.store.statements.seats import holdings, read_leases, read_pools, revoked_seats
from master.store.statements.waiting import awaited_by, waiters_at
from master.values import Value, replace


class LeaseView(Value):
    """A PBX and the state of its lease."""

    pbx: Pbx
    state: LeaseState
    lease: Lease | None
    seats: int
    notices: tuple[Notice, ...]
    carried_by: str = ""
    """The standby that carries the PBX's seats; empty where the PBX uses them itself."""


class Explanation(Value):
    """What acquiring would be answered, and from which pools the PBX would draw."""

    case: Case
    outcomes: list[Outcome]
    lease: LeaseView
    reasoning: tuple[str, ...]


def read_seat_news(tx: Tx, estate: Estate, pbx_ids: Collection[int], now: float) -> dict[int, SeatNews]:
    """Return what PBXs are told of their seats, by PBX id; `now` is UNIX seconds."""
    revoked = revoked_seats(tx, sorted(estate.revoked_from.intersection(pbx_ids)))
    awaited = awaited_by(tx, [pbx_id for pbx_id in pbx_ids if estate.may_wait(pbx_id)])
    overdrawn = overdrawn_pools(tx, estate, now)
    return {
        pbx_id: SeatNews(revoked=revoked.get(pbx_id, ()), awaited=awaited.get(pbx_id, {}).values(), overdrawn=overdrawn)
        for pbx_id in pbx_ids
    }


def read_loans(tx: Tx, estate: Estate) -> list[tuple[PbxName, Loan]]:
    """Return everything that is borrowed in a project, by PBX and license type."""
    claims = claims_of(tx, borrowers(tx, estate.project_id))
    loans = [
        (PbxName(estate.name, estate.pbxs[pbx_id].name), loan)
        for pbx_id, shares in (shares_of(tx, claims) if claims else {}).items()
        for loan in loans_of(estate, claims[pbx_id], {pool_id: share.seats for pool_id, share in shares.items()})
    ]
    return sorted(loans, key=lambda pair: (str(pair[0]), pair[1].license_type))


def read_lease_views(tx: Tx, estate: Estate, pbxs: Sequence[Pbx], time: LeaseTime) -> list[LeaseView]:
    """Return the state of the leases of some PBXs."""
    ids = [pbx.id for pbx in pbxs]
    leases, held = read_leases(tx, ids), holdings(tx, ids)
    news = read_seat_news(tx, estate, ids, time.now)
    views = []
    for pbx in pbxs:
        lease = leases.get(pbx.id)
        state = lease.state(time) if lease else LeaseState.NONE
        lease_notices: tuple[Notice, ...] = ()
        if lease is not None:
            lease_notices = notices(estate, pbx, lease, epoch=lease.epoch, time=time, seats=news[pbx.id])
        carrier = carried_by(estate, lease) if state.is_running else ""
        views.append(LeaseView(pbx, state, lease, sum(held.get(pbx.id, {}).values()), lease_notices, carrier))
    return views


def read_explanation(
    tx: Tx, estates: EstateCache, name: PbxName, wants: Sequence[Want], *, software: Version | None, time: LeaseTime
) -> Explanation:
    """Decide an acquire on a copy, with the same code, and return the pools that the PBX would draw from; `explained`
    adds what would help.
    Raises UnknownPbxError if there is no such PBX."""
    eligibilities, pbx = estates.find(tx, name)
    view = read_lease_views(tx, eligibilities.estate, [pbx], time)[0]
    runs = software or (view.lease.software if view.lease else pbx.software)
    wants = canonical(wants, eligibilities)
    needs = Prefetch(time.now)
    need_for_wants(needs, eligibilities, pbx, wants)
    needs.awaited = waiters_at(tx, [pbx.id] if needs.queued else [], now=time.now)
    needs.revoked |= {pbx.id} & eligibilities.estate.revoked_from
    catalog = eligibilities.estate.catalog
    claims = claims_of(tx, [pbx.id]) if view.lease is not None and view.lease.claimed else {}
    ledger = fill_working_set(tx, needs, catalog.pbx_wide_types, claims)
    carrier = carrier_of(eligibilities.estate, view.lease)
    decider = Decider(eligibilities, ledger, pbx, runs, time, carrier=carrier)
    counts = {
        pool_id: PoolCounts(
            floating_used=pool.used,
            kept_free=ledger.divisions[pool_id].kept_from(pbx.id) if pool_id in ledger.divisions else 0,
        )
        for pool_id, pool in ledger.pools.items()
    }
    outcomes = decider.acquire(wants)
    pools = {**read_pools(tx, set(pools_of(eligibilities.estate, pbx)) - ledger.pools.keys()), **ledger.pools}
    name_top_holders(tx, outcomes, eligibilities.estate, {})
    lines = [_software_line(eligibilities.estate, pbx, runs)]
    for key, kind in dict.fromkeys((want.type, want.kind) for want in wants):
        eligibility = eligibilities.of(pbx, runs, key, kind, carrier=carrier)
        if isinstance(eligibility, Eligibility):
            lines += _source_lines(eligibilities.estate, eligibility, counts, time)
    case = Case(
        eligibilities=eligibilities,
        working_set=ledger,
        read_pools=lambda: pools,
        pbx=pbx,
        software=runs,
        time=time,
        wants=tuple(wants),
        carrier=carrier,
    )
    return Explanation(case, outcomes, view, tuple(lines))


def explained(explanation: Explanation, check: Callable[[], None]) -> Explanation:
    """Add to an explanation what would help. That takes up to a second of CPU, so call this in a thread and in no
    transaction: a server ends a transaction that is idle for longer, as it would be on a busy machine.
    """
    case, effort = explanation.case, Effort.of_an_explanation(check)
    return replace(explanation, outcomes=with_remedies(explanation.outcomes, case, effort, wants=case.wants))


def _software_line(estate: Estate, pbx: Pbx, runs: Version) -> str:
    installation = estate.installation_of(pbx)
    kind = "local installation" if estate.is_local(pbx) else "pool"
    limit = (
        f"allows software up to V{installation.limit}"
        if installation.limit is not None
        else "limits no software version"
    )
    return f"{pbx.name} runs {runs} and belongs to the {kind} on {installation.device.name}, which {limit}"


def _source_lines(
    estate: Estate, eligibility: Eligibility, counts: Mapping[int, PoolCounts], time: LeaseTime
) -> list[str]:
    name = eligibility.type.display_name
    if not eligibility.needs_license:
        return [f"{name} debits no license here"]
    if not eligibility.sources:
        return [f"{name}: no usable license on {eligibility.installation.device.name}"]
    lines = []
    for part in (eligibility, *eligibility.companions):
        for source in part.sources:
            pool_parts = parts(estate, source.installation, part.type.key, counts[source.pool_id], time)
            said = [f"{pool_parts.used} of {pool_parts.capacity} in use"]
            said += [f"{pool_parts.leaving} being released"] if pool_parts.leaving else []
            said += [f"{pool_parts.withheld} withheld"] if pool_parts.withheld else []
            said += [f"{pool_parts.reserved_idle} reserved for others"] if pool_parts.reserved_idle else []
            device = source.installation.device.name
            lines.append(
                f"{part.type.display_name} is debited from {device}: {', '.join(said)}, {pool_parts.free} free"
            )
    return lines
