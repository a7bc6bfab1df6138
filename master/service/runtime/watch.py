"""Notifies PBXs at once of what concerns them: one watcher per stream, woken when its PBX or project may have changed.

What is told is a state (`domain/leases/notices.py`), computed anew each time. A change made by this process wakes
its watchers at once; where several masters share a database, one made by another is found by a poll at an
interval.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from master.service.runtime.names import PbxName
from master.service.runtime.periodic import PeriodicTask
from master.store.backends.database import Database, Tx


class WatchHub:
    """The open streams of this process, and the function that is told of seats that come free."""

    def __init__(self) -> None:
        self._watchers: defaultdict[PbxName, set[asyncio.Event]] = defaultdict(set)
        self.seats_freed: Callable[[], None] = lambda: None
        """Called whenever seats came free, or may be had by others from now on."""
        self.draining = False

    def __len__(self) -> int:
        """Return how many streams are open."""
        return sum(len(events) for events in self._watchers.values())

    @contextmanager
    def watching(self, name: PbxName) -> Iterator[asyncio.Event]:
        """Provide an event that is set whenever there may be news for a PBX."""
        event = asyncio.Event()
        self._watchers[name].add(event)
        try:
            yield event
        finally:
            self._watchers[name].discard(event)
            if not self._watchers[name]:
                del self._watchers[name]

    def wake(self, name: PbxName) -> None:
        """Wake the watchers of a PBX, because its lease changed."""
        for event in self._watchers.get(name, ()):
            event.set()

    def wake_all(self) -> None:
        """Wake all watchers, because anything may have changed."""
        for events in self._watchers.values():
            for event in events:
                event.set()
        self.seats_freed()

    @contextmanager
    def telling_of_what_was_left(self) -> Iterator[None]:
        """Notify PBXs of a change whose caller leaves meanwhile: the change may have been made, and nobody else would
        tell.
        """
        try:
            yield
        except asyncio.CancelledError:
            self.wake_all()
            raise

    def drain(self) -> None:
        """Wake all watchers with the notice that this process is about to stop."""
        self.draining = True
        self.wake_all()


class ChangePoller(PeriodicTask):
    """Finds what other masters changed: one query for all streams, at an interval."""

    def __init__(self, database: Database, hub: WatchHub, *, interval_seconds: float) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._database = database
        self._hub = hub
        self._seen: dict[PbxName, tuple[object, ...]] = {}

    async def run_once(self) -> None:
        """Wake the watchers of every PBX whose lease or project has changed since the last run."""
        if not len(self._hub):
            return
        standing = await self._database.read(_standing)
        for name, state in standing.items():
            if self._seen.get(name) != state:
                self._hub.wake(name)
        self._seen = standing


def _standing(tx: Tx) -> dict[PbxName, tuple[object, ...]]:
    rows = tx.rows(
        "SELECT project.name, pbx.name, project.revision, lease.epoch, lease.phase, lease_stream.asked_at,"
        " waits.seats, waits.places"
        " FROM lease JOIN pbx ON pbx.id = lease.pbx_id JOIN project ON project.id = pbx.project_id"
        " LEFT JOIN lease_stream ON lease_stream.pbx_id = lease.pbx_id"
        " LEFT JOIN (SELECT pbx_id, count(*) AS seats, sum(place) AS places FROM waiter GROUP BY pbx_id) waits"
        " ON waits.pbx_id = lease.pbx_id"
    )
    return {PbxName(row[0], row[1]): tuple(row[2:]) for row in rows}
