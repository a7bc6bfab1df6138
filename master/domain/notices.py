"""What a PBX should know now, told in renewals and over its stream.

States, not events: the same facts always give the same notices, so none can be missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from master.domain.estate import Estate, Pbx
from master.domain.explanations import above_limit
from master.domain.leases import Lease
from master.domain.refusals import MOST_NAMED, LicenseRef
from master.domain.words import LeaseState


class NoticeKind(Enum):
    """What a notice is about."""

    FENCED = 1
    CLOSED = 2
    EXPIRED = 3
    VERSION_LIMIT = 4
    DRAINING = 5
    SUSPECTED_CLONE = 6

    @property
    def ends_lease(self) -> bool:
        """Whether the lease that it is told to is over."""
        return self in (NoticeKind.FENCED, NoticeKind.CLOSED, NoticeKind.EXPIRED)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a PBX should know."""

    kind: NoticeKind
    message: str
    licenses: tuple[LicenseRef, ...] = ()


DRAINING = Notice(NoticeKind.DRAINING, "this master is about to stop; use another address or come back")


def notices(estate: Estate, pbx: Pbx, lease: Lease, *, epoch: int, now: float) -> tuple[Notice, ...]:
    """What the holder of `epoch` should know of the PBX's current lease and installation."""
    if epoch < lease.epoch:
        return (Notice(NoticeKind.FENCED, f"epoch {lease.epoch} was opened for {pbx.name}; stop using epoch {epoch}"),)
    state = lease.state(now)
    if state is LeaseState.CLOSED:
        return (Notice(NoticeKind.CLOSED, f"the lease of {pbx.name} was closed"),)
    if state is LeaseState.EXPIRED:
        return (Notice(NoticeKind.EXPIRED, f"the lease of {pbx.name} passed its end"),)
    found = []
    installation = estate.installation_of(pbx)
    if installation.limit is not None and lease.software.major > installation.limit:  # B10
        message = f"{above_limit(pbx, lease.software, installation)}: seats held stay, new ones are refused"
        refs = tuple(item.ref for item in installation.limiting[:MOST_NAMED])
        found.append(Notice(NoticeKind.VERSION_LIMIT, message, refs))
    if lease.suspected_clone(now):
        message = f"{lease.takeovers} installations took the lease of {pbx.name} from each other: one is a copy"
        found.append(Notice(NoticeKind.SUSPECTED_CLONE, message))
    return tuple(found)
