"""What all services are made with: how they read and change projects, what time it is, whom a change concerns.

Decides nothing but which way work goes: what is only asked or tried out never waits for, or holds up, what leases need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.metrics import Metrics
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.runtime.questions import Questions
from master.service.runtime.watch import WatchHub
from master.store.backends.database import Database, Tx
from master.store.dry_runs.project_copies import SeatsOf
from master.store.dry_runs.rehearsals import Rehearsals
from master.values import Value

T = TypeVar("T")
Work = Callable[[Tx, EstateCache, LeaseTime], T]
"""Work that is done in one transaction, by the time at which the work was asked for."""


class ServiceContext(Value, kw_only=True):
    """What all services of a master are made with."""

    database: Database
    """The database for leases, and for what the master does by itself."""
    questions: Questions
    """The transactions for what callers ask, and change beside leases."""
    rehearsals: Rehearsals
    estates: EstateCache
    hub: WatchHub
    lease_time: Callable[[], LeaseTime]
    metrics: Metrics

    async def read_project(self, project: str, look: Callable[[Tx, Estate], T]) -> T:
        """Read one project for a caller and return what `look` makes of it.
        Raises UnknownProjectError if there is no such project."""
        return await self.questions.read(lambda tx: look(tx, read_estate(tx, self.estates, project)))

    async def change(self, work: Work[T]) -> T:
        """Do work for a caller in one transaction. If the caller leaves meanwhile, PBXs are notified all the same."""
        time = self.lease_time()
        with self.hub.telling_of_what_was_left():
            return await self.questions.transact(lambda tx: work(tx, self.estates, time))

    async def rehearse(self, project: str, work: Work[T], *, seats_of: SeatsOf | None = None) -> T:
        """Do work on a copy of a project, which is thrown away; see `Rehearsals.run`."""
        estates, time = self.estates.apart(), self.lease_time()
        return await self.rehearsals.run(project, lambda tx: work(tx, estates, time), seats_of=seats_of)
