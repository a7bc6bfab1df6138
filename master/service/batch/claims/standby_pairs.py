"""Standby pairs as they stand: read at one moment, judged by `domain/leases/standby.py`."""

from __future__ import annotations

from collections.abc import Mapping

from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.claims import Claims
from master.domain.leases.leases import Lease
from master.domain.leases.standby import PairState, Readiness, carrier_of, pairs, readiness
from master.domain.leases.standby_overlap import covered_by
from master.store.backends.database import Tx
from master.store.statements import claims as store
from master.store.statements.seats import holdings, read_leases


def read_standby_pairs(tx: Tx, estate: Estate, time: LeaseTime) -> list[Readiness]:
    """Return every standby pair of a project with its readiness, sorted by standby (F4)."""
    standbys = pairs(estate)
    if not standbys:
        return []
    primary_ids = sorted({primary.id for _, primary in standbys})
    leases = read_leases(tx, sorted({pbx.id for pair in standbys for pbx in pair}))
    held, claims = holdings(tx, primary_ids), store.claims_of(tx, primary_ids)
    records = store.standby_leases(tx, primary_ids)
    type_of = {pool_id: key for (_, key), pool_id in estate.pool_ids.items()}
    judged = []
    for standby, primary in standbys:
        state = PairState(
            standby_lease=leases.get(standby.id),
            primary_lease=leases.get(primary.id),
            record=records.get((standby.id, primary.id)),
            held=held.get(primary.id, {}),
            covered=_covered(claims[primary.id], standby, type_of),
        )
        judged.append(readiness(estate, standby, primary, state, time))
    return judged


def read_standby_pair(tx: Tx, estate: Estate, standby: Pbx, time: LeaseTime) -> Readiness | None:
    """Return the readiness of one standby's pair; None where the PBX is not a standby."""
    return next((pair for pair in read_standby_pairs(tx, estate, time) if pair.standby is standby), None)


def _covered(claims: Claims, standby: Pbx, type_of: Mapping[int, str]) -> dict[str, int]:
    covered: dict[str, int] = {}
    for pool_id, seats in covered_by(claims, standby).items():
        covered[type_of[pool_id]] = covered.get(type_of[pool_id], 0) + seats
    return covered


def carried_by(estate: Estate, lease: Lease | None) -> str:
    """Return the name of the standby that carries a PBX's seats; empty where the PBX uses them itself."""
    carrier = carrier_of(estate, lease)
    return carrier.name if carrier is not None else ""
