"""What a batch needs, read before anything is decided: under lock, and always in the same order.

Project, leases, claims, seats, pools: who else holds one of them waits for no other that comes before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.learning import Proof
from master.domain.leases.leases import Lease, Phase, is_reclaimable
from master.domain.seats.seat_working_set import Ledger
from master.domain.seats.seats import Key, Seat
from master.service.batch.prefetch import Prefetch, fill_ledger, need_for_returns, need_for_types, need_for_wants
from master.service.batch.proofs import Proofs
from master.service.batch.requests import (
    AcquireSeats,
    CloseLease,
    EndLease,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    Request,
    ReturnSeats,
    SyncSeats,
    TakeOverLease,
)
from master.service.batch.resolved_request import Errand, errands_of
from master.service.batch.standby_claims import StandIns
from master.service.estates.estate_cache import Estates
from master.service.runtime.names import UnknownPbxError
from master.store.backends.database import Tx
from master.store.statements import seats as store
from master.store.statements.claims import claims_of, standby_leases
from master.store.statements.learning import known_seats


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """What was read for a batch; ledger, stand-ins and proofs are what it is decided on."""

    errands: Sequence[Errand | UnknownPbxError]
    leases: Mapping[int, Lease]
    """By PBX id, those of all PBXs concerned."""
    ledger: Ledger
    stand_ins: StandIns
    proofs: Proofs
    held: Mapping[int, Mapping[str, int]]
    """Seats debited, by PBX id and license type, of PBXs that ask for a lease."""
    revoked: Mapping[int, frozenset[Key]]
    """Seats that an operator took away, by the id of PBXs that may have some (L5)."""


def load(tx: Tx, estates: Estates, time: LeaseTime, requests: Sequence[Request[object]]) -> LoadedBatch:
    """Read all that some requests need."""
    found = errands_of(tx, estates, requests)
    errands = [errand for errand in found if isinstance(errand, Errand)]
    also = {pbx.id for errand in errands for pbx in errand.also}
    leases = store.lock_leases(tx, also | {errand.pbx.id for errand in errands})
    needs = _needs_of(errands, leases, time)
    shared = _shared(errands, leases) | needs.proving
    claims = claims_of(tx, shared) if shared else {}
    records = standby_leases(tx, sorted(shared)) if shared else {}
    pbx_wide = frozenset[str]().union(*(errand.book.estate.catalog.pbx_wide_types for errand in errands))
    ledger = fill_ledger(tx, needs, pbx_wide, _first_seats(tx, errands), claims)
    asking = {one.pbx.id for one in errands if isinstance(one.request, OpenLease | TakeOverLease | RenewLease)}
    return LoadedBatch(
        errands=found,
        leases=leases,
        ledger=ledger,
        stand_ins=StandIns(claims, records, ledger, time),
        proofs=Proofs(known_seats(tx, needs.proving)),
        held=store.holdings(tx, sorted(asking)) if asking else {},
        revoked={pbx_id: frozenset(ledger.seats[pbx_id].revoked) for pbx_id in needs.revoked},
    )


def is_to_prove(errand: Errand, lease: Lease | None, time: LeaseTime) -> bool:
    """Whether a PBX has not shown yet what it may use, while that counts."""
    return errand.book.estate.learns(time.ends_by) and (lease is None or lease.phase is Phase.UNPROVEN)


def _needs_of(errands: Sequence[Errand], leases: Mapping[int, Lease], time: LeaseTime) -> Prefetch:
    needs = Prefetch()
    for errand in errands:
        book, pbx, lease = errand.book, errand.pbx, leases.get(errand.pbx.id)
        if pbx.id in book.estate.revoked_from:
            needs.revoked.add(pbx.id)
        match errand.request:
            case AcquireSeats(wants=wants):
                need_for_wants(needs, book, pbx, wants)
            case ReturnSeats(keys=keys):
                need_for_returns(needs, book, pbx, keys)
            case SyncSeats():
                needs.whole_pbxs.add(pbx.id)
                # what stays may have to be debited, whatever is wanted
                need_for_types(needs, book, pbx, book.estate.catalog.types)
            case CloseLease() | EndLease():
                needs.whole_pbxs.add(pbx.id)
            case OpenLease(proof=Proof()) if is_to_prove(errand, lease, time):
                need_for_types(needs, book, pbx, book.estate.catalog.types)
                needs.proving.add(pbx.id)
            case OpenLease() | TakeOverLease() if lease is not None and is_reclaimable(lease, time):
                needs.whole_pbxs.add(pbx.id)  # expiry may be faster
            case _:
                pass
    return needs


def _shared(errands: Sequence[Errand], leases: Mapping[int, Lease]) -> set[int]:
    """PBXs in whose names there are claims, or may be after this batch; they are few."""
    found = set()
    for errand in errands:
        lease = leases.get(errand.pbx.id)
        takes_over = isinstance(errand.request, TakeOverLease)
        counts = takes_over or isinstance(errand.request, EndLease)
        if lease is not None and (lease.claimed or counts or lease.carrier is not None):
            found.add(lease.pbx_id)
        if not takes_over:
            found |= {pbx.id for pbx in errand.also if pbx.id in leases}
    return found


def _first_seats(tx: Tx, errands: Sequence[Errand]) -> list[Seat]:
    """The seats that reclaiming takes back in this batch."""
    return [
        seat
        for errand in errands
        if isinstance(errand.request, ReclaimSeats)
        for seat in store.first_seats(tx, errand.pbx.id, holders=errand.request.holders_max)
    ]
