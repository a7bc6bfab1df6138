"""What forbids a takeover: there must be seats to carry and, unless it is forced, the primary must be gone (F5).

Left to others: whether a pair is fit for it (`standby.py`), who is gone (`presence.py`), fencing (`leases.py`).
"""

from __future__ import annotations

from licensemaster.api_enums import StandbyProblemKind
from master.domain.catalog.versions import Version
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.claims import ClaimKind, Claims, in_force, only
from master.domain.leases.leases import Lease
from master.domain.leases.presence import Presence, told_at
from master.domain.leases.standby import StandbyProblem, never_seen, pair_problems, primary_of
from master.values import Value


class Takeover(Value, kw_only=True):
    """A standby's request to take over, and what is known of both PBXs."""

    standby: Pbx
    primary: Pbx
    """The PBX whose lease is to be taken over."""
    software: Version
    """The software that the standby runs."""
    own_lease: Lease | None
    """The standby's own lease."""
    own_epoch: int
    """The epoch that the standby takes for its own."""
    lease: Lease | None
    """The primary's lease as it stands."""
    seats: int
    """Number of seats debited for the primary."""
    claims: Claims
    """The claims in the primary's name."""
    carried_since: float | None
    """Since when the standby has carried the seats while no master answered (UNIX seconds), None where it has not; a
    primary that was last heard of before that is gone, however lately that was."""
    presence: Presence | None
    """What masters see of the PBX that has the lease; None where nobody looked."""
    force: bool
    """Whether the takeover goes on although the primary is connected."""


def takeover_problems(estate: Estate, takeover: Takeover, time: LeaseTime) -> list[StandbyProblem]:
    """List everything that forbids a takeover now; empty where it is allowed."""
    kind, problems = StandbyProblemKind, []
    standby, primary, lease, presence = takeover.standby, takeover.primary, takeover.lease, takeover.presence
    own_lease, since = takeover.own_lease, takeover.carried_since
    heard_since = lease is not None and (since is None or lease.renewed_at > since)
    is_gone = takeover.force or (presence is not None and presence.gone is not None)
    active = heard_since and lease is not None and lease.state(time) is LeaseState.ACTIVE and not is_gone
    if primary_of(estate, standby) is not primary:
        message = f"{standby.name} is not the standby of {primary.name}; `standby_for` in the project says who is"
        problems.append(StandbyProblem(kind=kind.NOT_A_PAIR, message=message, rules=("F1",)))
    problems += [
        problem for problem in pair_problems(estate, standby, primary, takeover.software) if problem.kind.blocking
    ]
    own = own_lease is not None and own_lease.user_id == standby.id and own_lease.epoch == takeover.own_epoch
    if own_lease is None or not own or not own_lease.state(time).is_running:
        message = f"{standby.name} must have a lease of its own, and name its epoch"
        problems.append(StandbyProblem(kind=kind.NOT_CONNECTED, message=message, rules=("F4",)))
    if lease is None:
        problems.append(never_seen(primary))
    elif active and lease.carrier is None:
        message = f"{primary.name} renewed its lease {time.now - lease.renewed_at:.0f} s ago; it has its seats itself"
        problems.append(_in_the_way(kind.PRIMARY_ACTIVE, message, primary, presence))
    elif active and lease.user_id not in (standby.id, primary.id):
        carrier = estate.pbxs[lease.user_id]
        message = f"{carrier.name} carries the seats of {primary.name} already"
        problems.append(_in_the_way(kind.CARRIED_BY_ANOTHER, message, carrier, presence))
    elif not (lease.state(time).is_running or takeover.seats or _promised(takeover.claims, standby)):
        message = f"the lease of {primary.name} is over and its seats went back; nothing is left to carry on"
        problems.append(StandbyProblem(kind=kind.NOTHING_TO_CARRY, message=message, rules=("F5",)))
    for loan in only(in_force(takeover.claims, time), ClaimKind.LOAN):
        if not loan.seats:  # it was returned
            continue
        borrowed = f"{loan.seats} {(license_type := estate.type_of_pool(loan.pool_id))} until {told_at(loan.ends_at)}"
        message = (
            f"{primary.name} has borrowed {borrowed} and may use them itself; `license-master loan return"
            f" {primary.name} {license_type} --reason TEXT` comes first"
        )
        problems.append(StandbyProblem(kind=kind.NOTHING_TO_CARRY, message=message, rules=("F5",)))
    return sorted(problems, key=lambda problem: problem.kind)


def _in_the_way(kind: StandbyProblemKind, message: str, user: Pbx, presence: Presence | None) -> StandbyProblem:
    """Return the problem that `user` has the seats: what is seen of it, when to ask again, and what `force` risks."""
    if presence is None:
        return StandbyProblem(kind=kind, message=message, rules=("F5",))
    forced = f"`force` takes over now: {user.name} is notified, but out of reach both use the seats until its end"
    advice = f"{message} ({presence.seen}); ask again at {told_at(presence.retry_at)}; {forced}"
    return StandbyProblem(kind=kind, message=advice, rules=("F5",), retry_at=presence.retry_at)


def _promised(claims: Claims, standby: Pbx) -> bool:
    return any(claim.holder_id == standby.id and claim.kind is not ClaimKind.FENCED for claim in claims)
