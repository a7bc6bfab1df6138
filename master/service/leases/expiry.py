"""Takes back the seats of leases that ran out, a few at a time, in the same queue as the living; lets claims end.

Found by an index over the end of leases, never by a timer each. Every step is an ordinary request, so a lease that was
renewed at the last moment is left alone, and two masters that find the same one do it once.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from master.domain.estate.lease_time import LeaseTime
from master.metrics import Metrics
from master.service.batch.requests import EndClaims, ReclaimSeats
from master.service.leases.committer import Committer
from master.service.runtime.names import PbxName
from master.service.runtime.periodic import PeriodicTask
from master.service.runtime.watch import WatchHub
from master.store.backends.database import Database
from master.store.statements.claims import pbxs_with_ended_claims
from master.store.statements.seats import reclaimable_pbxs

_log = structlog.get_logger(__name__)
_CALLER = "master:expiry"


class Expiry(PeriodicTask):
    """Ends expired leases at an interval, or when asked to."""

    def __init__(
        self,
        *,
        database: Database,
        committer: Committer,
        hub: WatchHub,
        lease_time: Callable[[], LeaseTime],
        metrics: Metrics,
        interval_seconds: float,
        holders_max: int,
        leases_max: int = 100,
    ) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._database = database
        self._committer = committer
        self._hub = hub
        self._lease_time = lease_time
        self._metrics = metrics
        self._holders_max = holders_max
        self._leases_max = leases_max

    async def run_once(self) -> int:
        """Take back what can be taken back now; how many seats that was."""
        ended_before = self._lease_time().reclaimed_by
        found = await self._database.read(
            lambda tx: reclaimable_pbxs(tx, ended_before=ended_before, limit=self._leases_max)
        )
        total = 0
        for _, project, pbx in found:
            total += await self._reclaim(PbxName(project, pbx))
        claimed = await self._database.read(
            lambda tx: pbxs_with_ended_claims(tx, ended_before=ended_before, limit=self._leases_max)
        )
        for project, pbx in claimed:
            await self._end_claims(PbxName(project, pbx))
        return total

    async def _end_claims(self, name: PbxName) -> None:
        answer = await self._committer.submit(EndClaims(pbx=name, caller=_CALLER))
        _log.info("claims ended", pbx=str(name), freed=answer.freed)

    async def _reclaim(self, name: PbxName) -> int:
        total, more = 0, True
        while more:
            answer = await self._committer.submit(ReclaimSeats(pbx=name, caller=_CALLER, holders_max=self._holders_max))
            total, more = total + answer.seats_returned, answer.more
        self._metrics.seats_reclaimed.inc(total)
        self._hub.wake(name)
        _log.info("lease ended", pbx=str(name), seats_returned=total)
        return total
