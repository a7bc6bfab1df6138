"""What a batch needs, read before anything is decided: under lock, and always in the same order.

Project, leases, claims, seats, pools: who else holds one of them waits for no other that comes before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat

from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.learning import Proof
from master.domain.leases.leases import Lease, Phase, is_reclaimable
from master.domain.leases.notices import Awaited
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import KEY, Key, Seat
from master.service.batch.claims.batch_claims import BatchClaims
from master.service.batch.claims.proofs import Proofs
from master.service.batch.prefetch import (
    Prefetch,
    fill_working_set,
    need_for_queues,
    need_for_returns,
    need_for_types,
    need_for_wants,
)
from master.service.batch.requests import (
    AcquireSeats,
    BorrowSeats,
    CloseLease,
    EndLease,
    GrantWaiting,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    Request,
    ReturnLoan,
    ReturnSeats,
    SyncSeats,
    TakeOverLease,
)
from master.service.batch.resolved_request import ResolvedRequest, resolve
from master.service.estates.estate_cache import EstateCache
from master.service.runtime.names import UnknownPbxError
from master.store.backends.database import Tx
from master.store.statements import seats as store
from master.store.statements.claims import claims_of, standby_leases
from master.store.statements.learning import known_seats
from master.store.statements.waiting import waiters_at
from master.values import Value


class LoadedBatch(Value):
    """What was read for a batch. Working set, standby claims and proofs are changed as requests are decided."""

    time: LeaseTime
    """The time by which the batch is decided."""
    resolved_requests: Sequence[ResolvedRequest | UnknownPbxError]
    leases: Mapping[int, Lease]
    """The leases of all PBXs concerned, by PBX id."""
    working_set: SeatWorkingSet
    claims: BatchClaims
    proofs: Proofs
    held: Mapping[int, Mapping[str, int]]
    """Seats debited, by PBX id and license type, of PBXs that ask for a lease."""
    revoked: Mapping[int, frozenset[Key]]
    """Seats that an operator took away, by the id of PBXs that may have some (L5)."""
    awaited: Mapping[int, Mapping[Key, Awaited]]
    """The seats that PBXs wait for, or that were handed on, by PBX id; only where a policy has or had a queue."""

    @property
    def projects(self) -> dict[int, int]:
        """The ids of projects, by the ids of the PBXs that ask."""
        return {
            resolved.pbx.id: resolved.eligibilities.estate.project_id
            for resolved in self.resolved_requests
            if isinstance(resolved, ResolvedRequest)
        }


def load(tx: Tx, estates: EstateCache, time: LeaseTime, requests: Sequence[Request[object]]) -> LoadedBatch:
    """Read, under lock, everything that the requests of a batch need."""
    outcomes = resolve(tx, estates, requests)
    resolved_requests = [resolved for resolved in outcomes if isinstance(resolved, ResolvedRequest)]
    also = {pbx.id for resolved in resolved_requests for pbx in resolved.also}
    leases = store.lock_leases(tx, also | {resolved.pbx.id for resolved in resolved_requests})
    needs = _needs_of(resolved_requests, leases, time)
    shared = _shared(resolved_requests, leases) | needs.proving
    claims = claims_of(tx, shared) if shared else {}
    records = standby_leases(tx, sorted(shared)) if shared else {}
    pbx_wide = frozenset[str]().union(
        *(resolved.eligibilities.estate.catalog.pbx_wide_types for resolved in resolved_requests)
    )
    may_wait = {
        resolved.pbx.id for resolved in resolved_requests if resolved.eligibilities.estate.may_wait(resolved.pbx.id)
    }
    needs.awaited = waiters_at(tx, sorted(may_wait), now=time.now)
    working_set = fill_working_set(tx, needs, pbx_wide, claims, _first_seats(tx, resolved_requests))
    asking = {
        request.pbx.id
        for request in resolved_requests
        if isinstance(request.request, OpenLease | TakeOverLease | RenewLease)
    }
    return LoadedBatch(
        time=time,
        resolved_requests=outcomes,
        leases=leases,
        working_set=working_set,
        claims=BatchClaims(claims, records, working_set, time),
        proofs=Proofs(known_seats(tx, needs.proving)),
        held=store.holdings(tx, sorted(asking)) if asking else {},
        awaited={
            pbx_id: {waiter.key: Awaited(waiter.key, place) for waiter, _, place in of_pbx}
            for pbx_id, of_pbx in needs.awaited.items()
        },
        revoked={pbx_id: frozenset(working_set.seats[pbx_id].revoked) for pbx_id in needs.revoked},
    )


def is_to_prove(resolved: ResolvedRequest, lease: Lease | None, time: LeaseTime) -> bool:
    """Tell whether a PBX has yet to prove what it may use, while the project is learning."""
    return resolved.eligibilities.estate.learns(time.ends_by) and (lease is None or lease.phase is Phase.UNPROVEN)


def _needs_of(resolved_requests: Sequence[ResolvedRequest], leases: Mapping[int, Lease], time: LeaseTime) -> Prefetch:
    needs = Prefetch(time.now)
    asked = Counter(resolved.pbx.id for resolved in resolved_requests if not isinstance(resolved.request, RenewLease))
    asked.update(
        resolved.pbx.id
        for resolved in resolved_requests
        if isinstance(resolved.request, OpenLease) and resolved.request.wants
    )
    for resolved in resolved_requests:
        eligibilities, pbx, lease = resolved.eligibilities, resolved.pbx, leases.get(resolved.pbx.id)
        if pbx.id in eligibilities.estate.revoked_from:
            needs.revoked.add(pbx.id)
        if types := _block_types(resolved):
            need_for_types(needs, eligibilities, pbx, types)
            need_for_queues(needs, eligibilities, pbx, types)
        if isinstance(resolved.request, OpenLease) and resolved.request.loans:
            types = [loan.license_type for loan in resolved.request.loans]
            need_for_types(needs, eligibilities, pbx, eligibilities.estate.catalog.types.keys() & types)
        if isinstance(resolved.request, AcquireSeats | OpenLease | GrantWaiting):
            need_for_wants(needs, eligibilities, pbx, resolved.request.wants)
        if isinstance(resolved.request, AcquireSeats | SyncSeats) and needs.queued and asked[pbx.id] == 1:
            needs.staying.update(zip(repeat(pbx.id), map(KEY, resolved.request.wants)))
        match resolved.request:
            case BorrowSeats(license_type=license_type) | ReturnLoan(license_type=license_type):
                need_for_types(needs, eligibilities, pbx, [license_type])
                need_for_queues(needs, eligibilities, pbx, [license_type])
            case ReturnSeats(keys=keys):
                need_for_returns(needs, eligibilities, pbx, keys)
            case SyncSeats():
                needs.whole_pbxs.add(pbx.id)
                # what stays may have to be debited, whatever is wanted
                need_for_types(needs, eligibilities, pbx, eligibilities.estate.catalog.types)
                need_for_queues(needs, eligibilities, pbx, eligibilities.estate.catalog.types)
            case CloseLease() | EndLease():
                (needs.emptied_pbxs if asked[pbx.id] == 1 else needs.whole_pbxs).add(pbx.id)
            case OpenLease(proof=Proof()) if is_to_prove(resolved, lease, time):
                need_for_types(needs, eligibilities, pbx, eligibilities.estate.catalog.types)
                needs.proving.add(pbx.id)
            case OpenLease() | TakeOverLease() if lease is not None and is_reclaimable(lease, time):
                # expiry may be faster
                (needs.emptied_pbxs if asked[pbx.id] == 1 else needs.whole_pbxs).add(pbx.id)
            case _:
                pass
    return needs


def _shared(resolved_requests: Sequence[ResolvedRequest], leases: Mapping[int, Lease]) -> set[int]:
    """Return the ids of PBXs in whose names claims exist, or may exist after this batch; they are few."""
    pbx_ids = set()
    for resolved in resolved_requests:
        lease = leases.get(resolved.pbx.id)
        takes_over = isinstance(resolved.request, TakeOverLease)
        counts = takes_over or isinstance(resolved.request, EndLease | BorrowSeats) or _may_keep_first_claim(resolved)
        if lease is not None and (lease.claimed or counts or lease.carrier is not None):
            pbx_ids.add(lease.pbx_id)
        if _block_types(resolved) or (isinstance(resolved.request, OpenLease) and resolved.request.loans):
            pbx_ids.add(resolved.pbx.id)
        if not takes_over:
            pbx_ids |= {pbx.id for pbx in resolved.also if pbx.id in leases}
    return pbx_ids


def _block_types(resolved: ResolvedRequest) -> list[str]:
    """Return the license types of which a PBX that opens or renews its lease may be given a block."""
    if not isinstance(resolved.request, OpenLease | RenewLease) or not resolved.request.blocks:
        return []
    asked = {use.license_type for use in resolved.request.blocks}
    policies = resolved.eligibilities.estate.allocation.types
    return [policy.license_type for policy in policies if policy.block_seats_max and policy.license_type in asked]


def _may_keep_first_claim(resolved: ResolvedRequest) -> bool:
    policies = resolved.eligibilities.estate.allocation.types
    return isinstance(resolved.request, ReclaimSeats) and any(policy.first_claim_seconds for policy in policies)


def _first_seats(tx: Tx, resolved_requests: Sequence[ResolvedRequest]) -> list[Seat]:
    """Return the seats that reclaiming takes back in this batch."""
    return [
        seat
        for resolved in resolved_requests
        if isinstance(resolved.request, ReclaimSeats)
        for seat in store.first_seats(tx, resolved.pbx.id, holders=resolved.request.holders_max)
    ]
