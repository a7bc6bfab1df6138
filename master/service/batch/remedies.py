"""What would help, put into the refusals of a batch, from what was read for it.

Reads, without a lock, only the pools that a remedy may turn on and the request did not; each once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from master.domain.catalog.versions import Version
from master.domain.estate.estate import Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.remedies.remedies import Effort, with_remedies
from master.domain.remedies.trial import Case, pools_of
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.outcomes import Outcome, ReturnOutcome, Synced
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seat_working_set import PoolScore, SeatWorkingSet
from master.domain.seats.seats import SeatKey, Want
from master.store.backends.database import Tx
from master.store.statements.seats import read_pools
from master.values import Value


class Asker(Value):
    """A PBX that asks for seats, with what it is judged by."""

    eligibilities: EligibilityCache
    pbx: Pbx
    software: Version
    carrier: Pbx | None
    """The standby that has the PBX's lease (F5); None where the PBX has it."""


class Remedies:
    def __init__(self, tx: Tx, working_set: SeatWorkingSet, time: LeaseTime) -> None:
        self._tx = tx
        self._working_set = working_set
        self._time = time
        self._effort = Effort.of_a_batch()
        self._pools: dict[int, PoolScore] = {}

    def acquiring(self, asker: Asker, wants: Sequence[Want], outcomes: list[Outcome]) -> list[Outcome]:
        """Add remedies to the outcomes of acquiring seats."""
        if not _any_refused(outcomes):
            return outcomes
        return with_remedies(outcomes, self._case(asker), self._effort, wants=wants)

    def returning(self, asker: Asker, keys: Sequence[SeatKey], outcomes: list[ReturnOutcome]) -> list[ReturnOutcome]:
        """Add remedies to the outcomes of returning seats."""
        if not _any_refused(outcomes):
            return outcomes
        return with_remedies(outcomes, self._case(asker), self._effort, returns=keys)

    def syncing(self, asker: Asker, wants: Sequence[Want], synced: Synced) -> Synced:
        """Add remedies to the outcomes of synchronising a whole wanted set."""
        keys = [seat.key for seat, _ in synced.kept]
        refused = [refusal for _, refusal in synced.kept]
        kept = self.returning(asker, keys, list(refused))
        return Synced(
            self.acquiring(asker, wants, synced.outcomes),
            synced.returned,
            [(seat, why) for (seat, _), why in zip(synced.kept, kept, strict=True) if isinstance(why, Refusal)],
        )

    def _case(self, asker: Asker) -> Case:
        return Case(
            eligibilities=asker.eligibilities,
            working_set=self._working_set,
            read_pools=lambda: self._read(asker),
            pbx=asker.pbx,
            software=asker.software,
            time=self._time,
            carrier=asker.carrier,
        )

    def _read(self, asker: Asker) -> Mapping[int, PoolScore]:
        known = self._working_set.pools
        unread = [
            pool
            for pool in pools_of(asker.eligibilities.estate, asker.pbx)
            if pool not in known and pool not in self._pools
        ]
        if unread:
            self._pools.update(read_pools(self._tx, unread))
        return {**self._pools, **known}


def _any_refused(outcomes: Sequence[object]) -> bool:
    return Refusal in map(type, outcomes)
