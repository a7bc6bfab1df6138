"""What an operator puts at risk by ending a PBX's lease: its seats are lent to others while it may still use them.

Pure arithmetic over the lease, what is counted in the PBX's name and the claims beside it (`claims.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.claims import ClaimKind, Claims, without
from master.domain.leases.leases import Lease, Phase
from master.values import Value


class NoLeaseToEndError(Exception):
    """The PBX has no lease that could be ended."""


class Risk(Value):
    """The seats that may still be in use after a lease is ended."""

    seats: Mapping[int, int]
    """Seats by pool id."""
    ends_at: float | None
    """The last signed end, UNIX seconds; None where nothing is at risk."""


def risk_of(lease: Lease | None, *, pbx: str, counted: Mapping[int, int], claims: Claims, time: LeaseTime) -> Risk:
    """Return which seats may be in use after the lease is ended, and until when.

    `counted` are seats held or claimed in the PBX's name that may be in use, by pool id; loans among `claims` go on,
    and are at no risk.
    Raises NoLeaseToEndError if there is no lease, or it is over and nothing is counted for the PBX.
    """
    if lease is None:
        raise NoLeaseToEndError(f"{pbx} never opened a lease; there is nothing to end")
    if lease.phase is Phase.UNPROVEN:
        raise NoLeaseToEndError(
            f"the database was restored and {pbx} has not shown yet what it uses; `license-master project end-learning`"
            " ends the wait for all such PBXs"
        )
    if lease.phase is not Phase.OPEN and not counted and not without(claims, ClaimKind.LOAN):
        raise NoLeaseToEndError(f"the lease of {pbx} is over ({lease.phase.value}) and nothing is counted for it")
    ends = [claim.ends_at for claim in without(claims, ClaimKind.FIRST_CLAIM, ClaimKind.LOAN)]
    ends += [lease.ends_at] if lease.phase is Phase.OPEN else []
    end = max(ends, default=0.0)
    return Risk(counted, end) if time.ends_by <= end and any(counted.values()) else Risk({}, None)
