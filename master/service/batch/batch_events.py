"""What a batch writes into the audit: one event for each request that changed something."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import structlog

from licensemaster.api_enums import Basis
from master.domain.allocation.overdraft import OverdraftAccount
from master.domain.estate.estate import Estate
from master.domain.leases.leases import Lease
from master.domain.seats.outcomes import Outcome
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seats import SeatKey, Want, runs_of
from master.service.batch.answers import Tally
from master.service.batch.claims.batch_claims import TwoClaims
from master.service.batch.resolved_request import ResolvedRequest
from master.service.estates.overdrafts import overdraft_event
from master.store.backends.database import json_text
from master.store.statements.events import Event

_log = structlog.get_logger(__name__)
LEASE_ENDED = "lease.ended"
_TYPE, _HOLDER = attrgetter("type"), attrgetter("holder")


class BatchEvents:
    """The events of one batch, in order; the caller writes them."""

    def __init__(self, now: float) -> None:
        self._now = now
        self.noted: list[Event] = []

    def add(
        self,
        resolved: ResolvedRequest,
        kind: str,
        details: dict[str, Any],
        *,
        reason: str = "",
        request_id: str | None = None,
    ) -> None:
        """Note an event of what a request changed, with the request's id if the request has an id."""
        project_id, text = resolved.eligibilities.estate.project_id, json_text(details)
        caller = resolved.request.caller
        self.noted.append(Event(self._now, project_id, resolved.pbx.name, kind, caller, request_id, text, reason))

    def acquired(self, resolved: ResolvedRequest, wants: Sequence[Want], outcomes: Sequence[Outcome]) -> Tally:
        """Note an event of the seats that were newly debited; return the counts for the metrics."""
        acquired: defaultdict[str, list[str]] = defaultdict(list)
        debited: defaultdict[str, int] = defaultdict(int)
        refused: defaultdict[tuple[str, str], int] = defaultdict(int)
        for run in runs_of(zip(map(_TYPE, wants), map(id, outcomes), strict=True)):
            license_type, outcome, count = wants[run.start].type, outcomes[run.start], run.stop - run.start
            if isinstance(outcome, Refusal):
                refused[outcome.reason.name, outcome.license_type] += count
            elif not outcome.already_held and outcome.basis is not Basis.NOT_NEEDED:
                acquired[license_type] += map(_HOLDER, wants[run])
                if outcome.basis is Basis.DEBITED:
                    debited[license_type] += count
        if acquired:
            self.add(resolved, "seats.acquired", acquired)
        return Tally(debited, refused, resolved.pbx.site, wants)

    def overdrawn(self, estate: Estate, pool_id: int, before: int, account: OverdraftAccount) -> None:
        """Note how many seats of a pool are now above what is installed, and how many were before."""
        self.noted.append(overdraft_event(estate, pool_id, before, account, self._now))

    def two_claims(self, resolved: ResolvedRequest, overlap: TwoClaims | None) -> None:
        """Note and log that a PBX and its standby used the same seats, where they did."""
        if overlap is not None:
            self.add(resolved, "standby.two_claims", overlap.details())
            _log.warning("two claims at once", pbx=str(resolved.request.pbx), **overlap.details())

    def returned(self, resolved: ResolvedRequest, keys: Sequence[SeatKey]) -> None:
        """Note an event of the seats that were returned."""
        returned: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            returned[key.type].append(key.holder)
        if returned:
            self.add(resolved, "seats.returned", returned)


def lease_before(lease: Lease | None) -> dict[str, Any] | None:
    """Return the lease that an opening replaces, in the form that the audit keeps."""
    if lease is None:
        return None
    return {
        "epoch": lease.epoch,
        "phase": lease.phase.value,
        "software": lease.software.reported,
        "instance": lease.instance_id,
    }


def counted(returned: Counter[str]) -> dict[str, Any]:
    """Return how many seats were returned without names, and of which types, in the form that the audit keeps."""
    return {"seats": returned.total(), "types": returned}
