"""What a standby lease covers, and how many seats two PBXs used that used the same seats at once (F5)."""

from __future__ import annotations

from collections.abc import Mapping

from master.domain.estate.estate import Pbx
from master.domain.leases.claims import Claim, ClaimKind, Claims
from master.values import Value


class TypeClaims(Value):
    """The seats of one license type that a primary and its standby used at the same time."""

    held_by_primary: int
    carried_by_standby: int
    counted: int

    @property
    def beyond(self) -> int:
        """The most seats in use beyond those that were counted."""
        return max(self.held_by_primary + self.carried_by_standby - self.counted, 0)


def two_claims(
    held: Mapping[str, int], carried: Mapping[str, int], counted: Mapping[str, int]
) -> dict[str, TypeClaims]:
    """Return which seats a primary and its standby used at the same time, by license type (F5)."""
    return {
        key: TypeClaims(held.get(key, 0), carried.get(key, 0), counted.get(key, 0))
        for key in sorted(held.keys() | carried.keys())
        if held.get(key, 0) or carried.get(key, 0)
    }


def covered_by(claims: Claims, standby: Pbx) -> dict[int, int]:
    """Return how many seats the standby lease covers that a standby is known to have, by pool id."""
    mine = [claim for claim in claims if claim.kind is ClaimKind.STANDBY and claim.holder_id == standby.id]
    return {claim.pool_id: claim.seats for claim in mine}


def fenced_epoch(claims: Claims, epoch: int, *, caller_id: int | None) -> Claim | None:
    """Return a claim of the PBX that was fenced under this epoch and not heard of since; None where there is none.
    Where the caller is known, only its own claim: no PBX can make it seem that another used the seats."""
    fenced = (claim for claim in claims if claim.kind is ClaimKind.FENCED and claim.serial == epoch)
    return next((claim for claim in fenced if caller_id in (None, claim.holder_id)), None)
