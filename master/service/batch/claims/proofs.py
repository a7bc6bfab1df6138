"""The proofs that a batch takes while the master learns after a restore: what each PBX may go on using.

A proof becomes a claim on the pools (`domain/leases/claims.py`): counted until learning ends, whether the PBX uses it
at the moment or not, and open to it alone. What it bears out is for `domain/leases/learning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from master.domain.catalog.words import Metering
from master.domain.estate.estate import Estate, Pbx
from master.domain.leases.learning import Proof, placed, rights
from master.domain.leases.leases import Lease
from master.service.batch.claims.batch_claims import BatchClaims
from master.service.batch.resolved_request import ResolvedRequest
from master.store.backends.database import Tx
from master.store.statements import learning as store


class Proofs:
    """The proofs of some PBXs; `known` is what the backup says they held, by PBX id and license type."""

    def __init__(self, known: Mapping[int, Mapping[str, int]]) -> None:
        self._known = known
        self._taken: dict[int, tuple[dict[str, int], dict[str, int]]] = {}

    def take(self, resolved: ResolvedRequest, lease: Lease, proof: Proof, claims: BatchClaims) -> dict[str, Any]:
        """Count what a PBX has proven under its new lease; return the details for the audit."""
        estate, pbx = resolved.eligibilities.estate, resolved.pbx
        assert estate.learning is not None
        types = estate.catalog.types
        known = {key: seats for key, seats in self._known.get(pbx.id, {}).items() if key in types}
        companions = [key for key, license_type in types.items() if license_type.metering is Metering.COMPANION]
        proven = rights(proof, known, companions)
        by_pool: dict[int, int] = {}
        unplaced: dict[str, int] = {}
        for key, seats in sorted(proven.items()):
            free = [(pool_id, claims.left_for(pbx.id, pool_id)) for pool_id in _pools(estate, pbx, key)]
            debited, left = placed(seats, free)
            by_pool |= debited
            if left:
                unplaced[key] = left
        claims.prove(lease, by_pool, ends_at=estate.learning.until, serial=proof.epoch)
        self._taken[pbx.id] = (proven, unplaced)
        return {
            "epoch": proof.epoch,
            "ends_at": proof.ends_at,
            "signed": dict(proof.seats),
            "known": known,
            "in_use": dict(proof.in_use),
            "proven": proven,
            "unplaced": unplaced,
        }

    def write(self, tx: Tx) -> None:
        for pbx_id, (proven, unplaced) in self._taken.items():
            store.write_proven(tx, pbx_id, proven, unplaced)


def _pools(estate: Estate, pbx: Pbx, key: str) -> list[int]:
    """Return the ids of the pools that a license type is debited from, in order."""
    if key not in estate.catalog.types:
        return []
    pool_ids = (
        estate.pool_ids.get((source.device.id, key)) for source in estate.sources(pbx, estate.catalog.types[key])
    )
    return [pool_id for pool_id in pool_ids if pool_id is not None]
