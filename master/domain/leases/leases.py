"""How a lease is opened, renewed, closed and ends. A PBX has one lease, guarded by its epoch and by who has it.

Pure arithmetic on one frozen `Lease`; time comes in as `LeaseTime`. Three moments matter:

- `renewed_at + ttl`: until then the PBX counts as connected (ACTIVE), after it as OVERDUE: it carries on by itself.
- `ends_at`: the signed end, grace included. Until then the PBX may use what it holds, and its seats count as used.
- `ends_at + clock allowance`: only then are its seats taken back (`is_reclaimable`), so that a PBX whose clock runs a
  little behind never still uses seats that another PBX was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from master.domain.catalog.versions import Version
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import LeasePace
from master.domain.estate.lease_time import LeaseTime
from master.values import Value, replace

CLONE_TAKEOVERS = 3
"""The number of takeovers by different installations within CLONE_WINDOW_SECONDS that look like a copied PBX."""
CLONE_WINDOW_SECONDS = 600.0


class LeaseProblem(Enum):
    """Why a call under a lease fails; the names are those of the API's ErrorInfo."""

    LEASE_NOT_OPEN = "no such lease of this PBX is known; it opens one when it reaches a master"
    LEASE_FENCED = "another lease was opened for this PBX since: stop using this one"
    LEASE_CARRIED = "a standby carries this PBX's seats: stop using this lease, and open a new one to take them back"
    LEASE_EXPIRED = "the lease has passed its end and its seats went back: open a new one"
    LEASE_CLOSED = "the lease was closed, by its PBX or by an operator: open a new one"
    CALL_SUPERSEDED = "the call arrived after later ones, and would undo what they did: ask anew"
    LEASE_UNPROVEN = "the database was restored: go on with what is held, open the lease anew and show the signed one"


class LeaseError(Exception):
    """A call under a lease that cannot be served."""

    def __init__(self, problem: LeaseProblem, *, pbx: str, epoch: int) -> None:
        under = f", epoch {epoch}" if epoch else ""
        super().__init__(f"{pbx}{under}: {problem.value}")
        self.problem = problem


class LeaseOfAnotherError(LeaseError):
    """A call under a lease that another PBX has now; the PBX that had the lease before comes with an older epoch."""


class Phase(Enum):
    """Whether a lease was ended, and how."""

    OPEN = "open"
    CLOSED = "closed"
    EXPIRED = "expired"
    UNPROVEN = "unproven"
    """The database was restored: what became of the lease since the backup, only its PBX knows and has to show."""


class Carrier(Value):
    """The standby that has a PBX's lease (F5); times are UNIX seconds."""

    pbx_id: int
    since: float
    """From when on the standby used the seats, which may be before it could reach a master."""
    primary_heard_at: float
    """When the PBX itself was last heard of."""


class Lease(Value, kw_only=True):
    """A PBX's current lease; times are UNIX seconds."""

    pbx_id: int
    epoch: int
    phase: Phase
    instance_id: str
    request_id: str
    software: Version
    opened_at: float
    renewed_at: float
    ttl_seconds: int
    ends_at: float
    takeovers: int
    """Number of takeovers by different installations since `takeovers_since`."""
    takeovers_since: float
    carrier: Carrier | None = None
    """The standby that has the lease; None where the PBX has it itself."""
    claimed: bool = False
    """Whether there may be claims in the PBX's name (`claims.py`)."""
    unanswered_calls: int = 0
    """The most unanswered calls that the lease's user reported under this epoch; calls that report fewer come late."""

    @property
    def user_id(self) -> int:
        """The PBX that uses the seats: the standby that carries them, or the PBX itself."""
        return self.carrier.pbx_id if self.carrier is not None else self.pbx_id

    @property
    def primary_heard_at(self) -> float:
        """When the PBX itself, not its standby, last called; UNIX seconds."""
        return self.carrier.primary_heard_at if self.carrier is not None else self.renewed_at

    def state(self, time: LeaseTime) -> LeaseState:
        if self.phase is Phase.CLOSED:
            return LeaseState.CLOSED
        if self.phase in (Phase.EXPIRED, Phase.UNPROVEN) or time.ends_by > self.ends_at:
            return LeaseState.EXPIRED
        return LeaseState.ACTIVE if time.now <= self.renewed_at + self.ttl_seconds else LeaseState.OVERDUE

    def suspected_clone(self, now: float) -> bool:
        """Tell whether different installations take this PBX's lease from each other; `now` is UNIX seconds."""
        return self.takeovers >= CLONE_TAKEOVERS and now <= self.takeovers_since + CLONE_WINDOW_SECONDS


class Opening(Value, kw_only=True):
    pbx_id: int
    instance_id: str
    request_id: str
    software: Version
    pace: LeasePace
    first_epoch: int
    """The epoch for a PBX that never had a lease."""
    carrier: Carrier | None = None
    """The standby that opens the lease in the PBX's place."""
    shown: tuple[int, float] = (0, 0.0)
    """The (epoch, end in UNIX seconds) signed before the database was restored: the lease must come after them."""

    @property
    def user_id(self) -> int:
        """The id of the PBX that will use the seats: the standby that takes over, else the PBX itself."""
        return self.carrier.pbx_id if self.carrier is not None else self.pbx_id


def opened(before: Lease | None, opening: Opening, time: LeaseTime) -> Lease:
    """Return a PBX's next lease.

    A retry of the opening that made the current lease only moves that lease's end. Takeovers between a PBX and its
    standby are no sign of a copy.
    """
    pace, now = opening.pace, time.now
    if is_retry(before, opening):
        assert before is not None
        return renewed(before, pace=pace, now=now)
    takeovers, since = 0, now
    if before is not None:
        recent = now <= before.takeovers_since + CLONE_WINDOW_SECONDS
        copied = before.user_id == opening.user_id and before.instance_id != opening.instance_id
        taken_over = copied and before.state(time).is_running
        since = before.takeovers_since if recent else now
        takeovers = (before.takeovers if recent else 0) + taken_over
    return Lease(
        pbx_id=opening.pbx_id,
        epoch=max(before.epoch + 1 if before is not None else opening.first_epoch, opening.shown[0] + 1),
        phase=Phase.OPEN,
        instance_id=opening.instance_id,
        request_id=opening.request_id,
        software=opening.software,
        opened_at=now,
        renewed_at=now,
        ttl_seconds=pace.ttl_seconds,
        ends_at=max(now + pace.ttl_seconds + pace.grace_seconds, _promised_until(before), opening.shown[1]),
        takeovers=takeovers,
        takeovers_since=since,
        carrier=opening.carrier,
        claimed=before is not None and before.claimed,
    )


def is_retry(before: Lease | None, opening: Opening) -> bool:
    """Tell whether an opening is the same request, repeated, that made the current lease."""
    return (
        before is not None
        and before.phase is Phase.OPEN
        and before.request_id == opening.request_id
        and before.user_id == opening.user_id
    )


def renewed(lease: Lease, *, pace: LeasePace, now: float) -> Lease:
    """Return a running lease extended; a signed end is never made earlier by a shorter setting or a clock set back."""
    ends_at = max(lease.ends_at, now + pace.ttl_seconds + pace.grace_seconds)
    return replace(lease, renewed_at=max(lease.renewed_at, now), ttl_seconds=pace.ttl_seconds, ends_at=ends_at)


def ended(lease: Lease, phase: Phase) -> Lease:
    return replace(lease, phase=phase)


def running(lease: Lease | None, *, pbx: str, epoch: int, time: LeaseTime, caller_id: int | None = None) -> Lease:
    """Return a PBX's lease where a call under `epoch` may be served.

    `caller_id` is the PBX that proved to call, None where nothing is proven. An epoch is no secret between a PBX and
    its standby: to a caller that does not have the lease every epoch is answered like an old one, and the answer says
    nothing of the current epoch.
    Raises LeaseError if the lease was never opened, is fenced, carried by a standby, closed, past its end or has to be
    shown.
    """
    if lease is None:
        raise LeaseError(LeaseProblem.LEASE_NOT_OPEN, pbx=pbx, epoch=epoch)
    if lease.phase is Phase.UNPROVEN:
        raise LeaseError(LeaseProblem.LEASE_UNPROVEN, pbx=pbx, epoch=epoch)
    is_theirs = caller_id in (None, lease.user_id)
    if epoch != lease.epoch or not is_theirs:
        problem = LeaseProblem.LEASE_NOT_OPEN
        if epoch < lease.epoch or not is_theirs:
            is_known = caller_id in (None, lease.pbx_id)  # a standby takes nothing back by opening
            carried = is_known and lease.carrier is not None and lease.state(time).is_running
            problem = LeaseProblem.LEASE_CARRIED if carried else LeaseProblem.LEASE_FENCED
        kind = LeaseOfAnotherError if not is_theirs and epoch >= lease.epoch else LeaseError
        raise kind(problem, pbx=pbx, epoch=epoch)
    if lease.phase is Phase.CLOSED:
        raise LeaseError(LeaseProblem.LEASE_CLOSED, pbx=pbx, epoch=epoch)
    if lease.phase is Phase.EXPIRED or time.ends_by > lease.ends_at:
        raise LeaseError(LeaseProblem.LEASE_EXPIRED, pbx=pbx, epoch=epoch)
    return lease


def called(lease: Lease, unanswered_calls: int, *, pbx: str) -> Lease:
    """Return a running lease after a call in which its user asked for seats or gave some back.
    Raises LeaseError if the call was given up, and arrived after a later call."""
    if unanswered_calls < lease.unanswered_calls:
        raise LeaseError(LeaseProblem.CALL_SUPERSEDED, pbx=pbx, epoch=lease.epoch)
    return lease if unanswered_calls == lease.unanswered_calls else replace(lease, unanswered_calls=unanswered_calls)


def software_in_use(leases: Mapping[int, Lease], time: LeaseTime) -> dict[int, Version]:
    """Return the software that PBXs with a running lease say they run, by PBX id; for others the project says it."""
    return {pbx_id: lease.software for pbx_id, lease in leases.items() if lease.state(time).is_running}


def is_reclaimable(lease: Lease, time: LeaseTime) -> bool:
    """Tell whether the seats of a lease that ran out may be taken back."""
    return lease.phase is Phase.EXPIRED or (lease.phase is Phase.OPEN and time.reclaimed_by > lease.ends_at)


def _promised_until(lease: Lease | None) -> float:
    return lease.ends_at if lease is not None and lease.phase is Phase.OPEN else 0.0
