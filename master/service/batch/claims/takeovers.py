"""A standby takes over in a batch: it is given the lease under a new epoch, and the seats stay where they are (F5).

Whether it may is for `domain/leases/takeover.py`.
"""

from __future__ import annotations

from typing import Any

from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.leases.leases import Carrier, Lease, is_retry, opened
from master.domain.leases.presence import Observer, Presence, presence
from master.domain.leases.takeover import Takeover, takeover_problems
from master.service.batch.answers import LeaseGranted, TakeOverRefused
from master.service.batch.batch_events import BatchEvents, lease_before
from master.service.batch.batch_leases import BatchLeases
from master.service.batch.loading import LoadedBatch
from master.service.batch.requests import TakeOverLease
from master.service.batch.resolved_request import ResolvedRequest, opening_of
from master.service.runtime.names import UnknownPbxError
from master.store.backends.database import Tx
from master.store.statements.streams import ask_for_stream, stream_of
from master.values import replace


class BatchTakeovers:
    def __init__(
        self, tx: Tx, loaded: LoadedBatch, leases: BatchLeases, events: BatchEvents, observer: Observer | None
    ) -> None:
        """`observer` is what is seen of PBXs; without it nobody is taken for gone before its lease says so."""
        self._tx = tx
        self._time = loaded.time
        self._claims = loaded.claims
        self._leases = leases
        self._events = events
        self._observer = observer

    def take_over(self, resolved: ResolvedRequest, request: TakeOverLease) -> LeaseGranted | TakeOverRefused:
        """Give a PBX's lease to its standby, or return all problems that stand in the way.
        Raises UnknownPbxError if the project has no such standby."""
        standby = next(iter(resolved.also), None)
        if standby is None:
            raise UnknownPbxError(request.standby)
        estate, primary, before = resolved.eligibilities.estate, resolved.pbx, self._leases.of(resolved.pbx.id)
        since = self._carried_since(standby, before, request)
        carrier = Carrier(standby.id, since, before.primary_heard_at if before is not None else 0.0)
        opening = replace(opening_of(resolved, request), carrier=carrier)
        if is_retry(before, opening):
            return self._given(resolved, opened(before, opening, self._time))
        seen = self._presence(estate, before)
        takeover = Takeover(
            standby=standby,
            primary=primary,
            software=request.software,
            own_lease=self._leases.of(standby.id),
            own_epoch=request.standby_epoch,
            lease=before,
            seats=sum(self._claims.held(estate, primary.id).values()),
            claims=self._claims.claims.get(primary.id, ()),
            carried_since=since if request.carried is not None else None,
            presence=seen,
            force=request.force,
        )
        if request.carried is not None:
            overlap = self._claims.carried_beside(estate, standby, primary, before, request.carried)
            self._events.two_claims(resolved, overlap)
        if problems := takeover_problems(estate, takeover, self._time):
            if seen is not None and seen.is_to_be_asked and all(problem.retry_at is not None for problem in problems):
                ask_for_stream(self._tx, primary.id, self._time.now)
            return TakeOverRefused(tuple(problems))
        assert before is not None
        self._leases.reclaim_expired(resolved, before)  # claims keep it counted
        lease = opened(before, opening, self._time)
        self._claims.handed_over(before, lease)
        details: dict[str, Any] = {
            "epoch": lease.epoch,
            "standby": standby.name,
            "software": lease.software.reported,
            "instance": lease.instance_id,
            "before": lease_before(before),
            "forced": request.force,
            "evidence": seen.gone.value if seen is not None and seen.gone is not None else None,
        }
        if request.carried is not None:
            details |= {"carried_seconds": round(request.carried.carried_seconds, 3)}
        self._events.add(resolved, "lease.taken_over", details, reason=request.reason)
        return self._given(resolved, lease)

    def _given(self, resolved: ResolvedRequest, lease: Lease) -> LeaseGranted:
        self._leases.put(lease)
        return self._leases.granted(resolved, lease)

    def _carried_since(self, standby: Pbx, before: Lease | None, request: TakeOverLease) -> float:
        """Return the moment from which the standby uses the seats, UNIX seconds."""
        since = self._time.now - (request.carried.carried_seconds if request.carried is not None else 0.0)
        if before is not None and before.carrier is not None and before.user_id == standby.id:
            return min(since, before.carrier.since)  # it restarted
        return since

    def _presence(self, estate: Estate, lease: Lease | None) -> Presence | None:
        """Return what masters see of the user of a lease that counts as connected."""
        if lease is None or self._observer is None or lease.state(self._time) is not LeaseState.ACTIVE:
            return None
        renew_every_seconds = estate.pbxs[lease.pbx_id].pace.renew_every_seconds
        stream = stream_of(self._tx, lease.pbx_id)
        return presence(lease, stream, self._observer, renew_every_seconds=renew_every_seconds, now=self._time.now)
