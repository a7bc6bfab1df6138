"""Takes back the seats of leases that ran out, a few at a time, in the same queue as the living; lets claims end.

Found by an index over the end of leases, never by a timer each. Every step is an ordinary request, so a lease that was
renewed at the last moment is left alone, and two masters that find the same one do it once.
"""

from __future__ import annotations

import structlog

from master.service.batch.requests import EndClaims, ReclaimSeats
from master.service.estates.service_context import ServiceContext
from master.service.leases.committer import Committer
from master.service.runtime.names import PbxName
from master.service.runtime.periodic import PeriodicTask
from master.store.statements.claims import pbxs_with_ended_claims
from master.store.statements.seats import reclaimable_pbxs

_log = structlog.get_logger(__name__)
_CALLER = "master:expiry"
_LEASES_MAX = 100
"""How many leases are ended in one step; the others are ended in the next step."""


class Expiry(PeriodicTask):
    """Ends expired leases at an interval, or when asked to."""

    def __init__(
        self, context: ServiceContext, *, committer: Committer, interval_seconds: float, holders_max: int
    ) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._context = context
        self._committer = committer
        self._holders_max = holders_max

    async def run_once(self) -> int:
        """Take back the seats of leases that are over by now; return how many seats."""
        ended_before = self._context.lease_time().reclaimed_by
        ended = await self._context.database.read(
            lambda tx: reclaimable_pbxs(tx, ended_before=ended_before, limit=_LEASES_MAX)
        )
        total = 0
        for _, project, pbx in ended:
            total += await self._reclaim(PbxName(project, pbx))
        claimed = await self._context.database.read(
            lambda tx: pbxs_with_ended_claims(tx, ended_before=ended_before, limit=_LEASES_MAX)
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
        self._context.metrics.seats_reclaimed.inc(total)
        self._context.hub.wake(name)
        _log.info("lease ended", pbx=str(name), seats_returned=total)
        return total
