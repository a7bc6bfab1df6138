"""What a master may believe after its database was restored from a backup, and for how long.

Only the PBXs know what happened after the backup, but each has it signed: its last lease says how many seats of each
type it held. Decided here:

- that a signed lease is news to the database, so that the database must be older than the lease (`what_is_new`);
- how many seats a PBX may go on using (`rights`): those it says it uses, as far as its signed lease or the backup bears
  it out. A signed lease alone may be stale, as seats were returned since; a PBX's word alone may be wrong.
- which pools these are debited from (`placed`): as they would be, and never beyond what is installed.
- how long learning takes (`longest_lease_seconds`): after it every lease signed before has ended.

Time comes in. Signatures are verified by whoever hands a proof in; that nothing else is granted meanwhile is for
`domain/seats/decide_seats.py`. Which of these seats a PBX holds, by name, it says when it synchronises them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import Lease, Phase
from master.values import Value

_NUMBERS_BESIDE = 1_000_000
"""More openings and standby leases than one project has between two restores."""
_SIGNED_TIME_SECONDS = 0.001
"""Signed times are rounded: a smaller difference is none."""


class Proof(Value, kw_only=True):
    """A signed lease found genuine, and what its PBX says it uses. Times are UNIX seconds."""

    epoch: int
    ends_at: float
    seats: Mapping[str, int]
    """Seats debited when the lease was signed, by license type."""
    in_use: Mapping[str, int]
    """Seats that the PBX says it uses now, by license type; without companions, which come with other seats."""

    def is_in_force(self, time: LeaseTime) -> bool:
        """Tell whether the PBX that shows the lease may still use it."""
        return time.ends_by < self.ends_at


def what_is_new(estate: Estate, lease: Lease | None, proof: Proof) -> str | None:
    """Return in words what a proof in force shows that the database does not know; None where the database knows it.

    Every lease is in the database before it is signed, and its end is never made earlier.
    """
    if lease is not None and lease.phase is Phase.UNPROVEN:
        return None
    known = lease.epoch if lease is not None else estate.epoch_floor
    if proof.epoch > known:
        return f"it shows a signed lease of epoch {proof.epoch}, and the database knows of none above {known}"
    if lease is not None and proof.epoch == lease.epoch and knows_less(lease, proof.ends_at):
        later = proof.ends_at - lease.ends_at
        return f"it shows a signed lease that ends {later:.0f} s later than the database knows"
    return None


def first_number(now: float, shown: int) -> int:
    """Return the number that epochs and serials go on from when learning begins: milliseconds since 1970.

    No number as high was given out before, nor after an earlier restore: whatever was signed until now is older. Where
    the clock is behind what it was then, a PBX may show a number as high, `shown`: then numbers go on far above it, as
    others were given out beside it. 0 where none is shown.
    """
    milliseconds = int(now * 1000)
    return milliseconds if shown < milliseconds else shown + _NUMBERS_BESIDE


def knows_less(lease: Lease, ends_at: float) -> bool:
    """Tell whether a PBX proves a later end of its lease (UNIX seconds) than the restored database knows."""
    return ends_at > lease.ends_at + _SIGNED_TIME_SECONDS


def rights(proof: Proof, known: Mapping[str, int], companions: Collection[str]) -> dict[str, int]:
    """Return how many seats a PBX may go on using, by license type; `known` is what the backup says it held."""
    seats = {}
    for key in proof.seats.keys() | known.keys():
        borne_out = max(proof.seats.get(key, 0), known.get(key, 0))
        used = borne_out if key in companions else proof.in_use.get(key, 0)
        if least := min(borne_out, used):
            seats[key] = least
    return seats


def placed(seats: int, pools: Iterable[tuple[int, int]]) -> tuple[dict[int, int], int]:
    """Debit seats of a type from (pool id, free) in order; return them by pool id, and how many found no license."""
    by_pool = {}
    for pool_id, free in pools:
        if taken := min(seats, max(free, 0)):
            by_pool[pool_id] = taken
            seats -= taken
    return by_pool, seats


def longest_lease_seconds(estate: Estate) -> float:
    """Return for how many seconds a lease of the estate that is signed now may run, grace included."""
    return max(pbx.pace.ttl_seconds + pbx.pace.grace_seconds for pbx in estate.pbxs.values())
