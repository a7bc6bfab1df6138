"""Requests whose PBX is known: what each is about, in the catalog's words, and which other PBXs it concerns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from master.domain.estate.estate import Estate, Pbx
from master.domain.leases.leases import Opening
from master.domain.seats.eligibility import EligibilityCache
from master.service.batch.prefetch import canonical
from master.service.batch.requests import (
    AcquireSeats,
    BorrowSeats,
    OpenLease,
    RenewLease,
    Request,
    ReturnLoan,
    ReturnSeats,
    SyncSeats,
    TakeOverLease,
    UnderLease,
)
from master.service.estates.estate_cache import EstateCache
from master.service.runtime.names import PbxName, UnknownPbxError
from master.store.backends.database import Tx
from master.values import Value, replace


class ResolvedRequest(Value):
    """A request whose PBX is known."""

    request: Request[object]
    eligibilities: EligibilityCache
    pbx: Pbx
    also: tuple[Pbx, ...] = ()
    """Other PBXs that the request concerns: a standby's primary, a primary's standby (F5)."""

    @property
    def caller_id(self) -> int | None:
        """The id of the PBX that proved that it asks for something under a lease; None where nothing is proven."""
        if not isinstance(self.request, UnderLease) or self.request.proven is None:
            return None
        return caller_id(self.eligibilities.estate, self.request.proven)


def opening_of(resolved: ResolvedRequest, request: OpenLease | TakeOverLease) -> Opening:
    """Return the lease that a PBX or its standby asks for, at the pace of that PBX."""
    return Opening(
        pbx_id=resolved.pbx.id,
        instance_id=request.instance_id,
        request_id=request.request_id,
        software=request.software,
        pace=resolved.pbx.pace,
        first_epoch=resolved.eligibilities.estate.epoch_floor + 1,
    )


def resolve(
    tx: Tx, estates: EstateCache, requests: Sequence[Request[object]]
) -> list[ResolvedRequest | UnknownPbxError]:
    """Look up the PBX of each request, in order, or return the error that it is unknown; lock the projects, shared."""
    projects = estates.current(tx, {request.pbx.project for request in requests})
    resolved_requests: list[ResolvedRequest | UnknownPbxError] = []
    for request in requests:
        eligibilities = projects.get(request.pbx.project)
        pbx_id = eligibilities.estate.pbx_ids.get(request.pbx.pbx) if eligibilities else None
        if eligibilities is None or pbx_id is None:
            resolved_requests.append(UnknownPbxError(request.pbx))
        else:
            pbx = eligibilities.estate.pbxs[pbx_id]
            resolved_requests.append(
                ResolvedRequest(
                    _in_catalog_words(request, eligibilities),
                    eligibilities,
                    pbx,
                    _also(request, eligibilities.estate, pbx),
                )
            )
    return resolved_requests


def caller_id(estate: Estate, proven: PbxName) -> int:
    """Return the id of a PBX that proved who it is; 0, which is no PBX, where the project has no PBX of that name."""
    return estate.pbx_ids.get(proven.pbx, 0) if proven.project == estate.name else 0


def _also(request: Request[object], estate: Estate, pbx: Pbx) -> tuple[Pbx, ...]:
    match request:
        case OpenLease():
            names = [pbx.standby_for]
        case RenewLease():
            names = [pbx.standby_for, *(receipt.primary for receipt in request.receipts)]
        case TakeOverLease():
            names = [request.standby.pbx] if request.standby.project == estate.name else []
        case _:
            return ()
    return tuple(estate.pbxs[estate.pbx_ids[name]] for name in names if name in estate.pbx_ids)


def _in_catalog_words(request: Request[object], eligibilities: EligibilityCache) -> Request[object]:
    """Return the request with its license types as catalog keys, in whatever spelling they came (L8)."""
    if isinstance(request, OpenLease) and request.proof is not None:
        proof, key_of = request.proof, eligibilities.estate.catalog.key_of
        in_use: Counter[str] = Counter()
        for name, seats in proof.in_use.items():
            in_use[key_of(name)] += seats
        request = replace(request, proof=replace(proof, in_use=in_use))
    if isinstance(request, RenewLease | OpenLease) and request.blocks:
        key_of = eligibilities.estate.catalog.key_of
        request = replace(
            request, blocks=[replace(use, license_type=key_of(use.license_type)) for use in request.blocks]
        )
    if isinstance(request, AcquireSeats | SyncSeats | OpenLease):
        wants = canonical(request.wants, eligibilities)
        return request if wants is request.wants else replace(request, wants=wants)
    if isinstance(request, BorrowSeats | ReturnLoan):
        return replace(request, license_type=eligibilities.estate.catalog.key_of(request.license_type))
    if isinstance(request, ReturnSeats):
        keys = canonical(request.keys, eligibilities)
        return request if keys is request.keys else replace(request, keys=keys)
    return request
