"""Whether the PBX that has a lease is gone, by what masters can see of it: then its standby may take over (F5).

Evidence is, of the PBX that uses the lease:

- its stream broke, and it did not come back for the reconcile time. A process that hangs, or a line that fell silent,
  keeps its stream: so as its standby asks, the master that has the stream ends it, to see whether it comes back;
- its renewal did not come, and a master has been there long enough for it to come.

A renewal, or a newer stream at any master, says that it is back. That nothing is seen is no evidence: a master that has
just begun to serve knows of nobody's stream, and gives every PBX the time to find it. Times are UNIX seconds.
"""

from __future__ import annotations

from enum import Enum

from licensemaster.values.moments import second_text
from master.domain.leases.leases import Lease
from master.values import Value

RECONNECT_SECONDS = 15.0
"""How long a PBX may take to find a master that was away: the longest pause of its client, and a call."""
COME_BACK_SECONDS = 5.0
"""The least time that a PBX has to come back after its stream was ended for its standby."""
HEARD_SECONDS = 2.0
"""For how long after a PBX was heard of its stream is left open, although its standby asks."""


class AbsenceEvidence(Enum):
    """What shows that a PBX is gone."""

    STREAM_LOST = "stream_lost"
    RENEWAL_MISSED = "renewal_missed"


class Stream(Value):
    """The newest stream, at any master, over which the PBX that uses a lease got its notices."""

    epoch: int
    opened_at: float
    lost_at: float | None
    """When the stream broke or was ended; None while it is open, and where the master that had it died."""
    asked_at: float | None
    """When the standby last asked, so that the stream was to be ended; None where it did not ask."""

    def is_asked_for(self, heard_at: float) -> bool:
        """Tell whether the standby has asked since the PBX was last heard of (`heard_at`, UNIX seconds)."""
        return self.asked_at is not None and self.asked_at > heard_at


class Observer(Value, kw_only=True):
    """What the master that judges a takeover knows of its own observation."""

    serving_since: float
    """Since when this master has served without a break."""
    settle_seconds: float
    """How long a PBX whose stream broke has to come back."""
    renew_jitter: float
    """How much later than usual a renewal may come, as a part of the usual time."""


class Presence(Value):
    """What is known of a PBX whose lease counts as connected."""

    gone: AbsenceEvidence | None
    """What shows that the PBX is gone; None where nothing does yet."""
    seen: str
    """What masters see of the PBX, in words."""
    retry_at: float
    """When there will be evidence, if the PBX is not heard of before."""
    is_to_be_asked: bool
    """Whether the PBX's stream is to be ended, to see whether it comes back: it is open, but the PBX was not heard of
    for a while."""


def presence(
    lease: Lease, stream: Stream | None, observer: Observer, *, renew_every_seconds: float, now: float
) -> Presence:
    """Judge whether a PBX is gone, by what masters see of it.

    `stream` is the newest of its PBX, None where none was seen; `observer` is what the deciding master goes by.
    """
    since = observer.serving_since + RECONNECT_SECONDS
    late = lease.renewed_at + renew_every_seconds * (1 + observer.renew_jitter) + RECONNECT_SECONDS
    moments = {AbsenceEvidence.RENEWAL_MISSED: max(late, since)}
    current = stream if stream is not None and stream.epoch == lease.epoch else None
    heard_at = lease.renewed_at if current is None else max(lease.renewed_at, current.opened_at)
    is_asked_for = current is not None and current.is_asked_for(heard_at)
    is_to_be_asked, retry_at = False, lease.renewed_at + lease.ttl_seconds
    come_back_seconds = max(COME_BACK_SECONDS, observer.settle_seconds)
    if current is None:
        seen = "no master has seen a stream of it"
    elif current.lost_at is None:
        seen = "its stream is open"
        ask_at = max(heard_at + HEARD_SECONDS, now)
        is_to_be_asked = ask_at == now and not is_asked_for
        retry_at = min(retry_at, max(ask_at + come_back_seconds, since))
    elif current.lost_at < lease.renewed_at:
        seen = "it renewed after its stream broke"
    else:
        ended, settle_seconds = ("was ended", come_back_seconds) if is_asked_for else ("broke", observer.settle_seconds)
        seen = f"its stream {ended} {now - current.lost_at:.0f} s ago, and it may come back"
        moments[AbsenceEvidence.STREAM_LOST] = max(current.lost_at + settle_seconds, since)
    if now < since:
        seen += f"; this master has served for {now - observer.serving_since:.0f} s, and knows of no stream from before"
    gone = next(
        (sign for sign in (AbsenceEvidence.STREAM_LOST, *moments) if sign in moments and now >= moments[sign]), None
    )
    return Presence(gone, seen, min(retry_at, *moments.values()), is_to_be_asked)


def told_at(moment: float) -> str:
    """Return a moment (UNIX seconds) as text, rounded up to the second."""
    return second_text(int(moment) + 1)
