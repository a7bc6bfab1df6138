"""Who waits, as a batch changes it: read for the PBXs that ask and the pools that are asked for, written at its end.

What is waited for stands in the queues of the working set; here is what becomes of a PBX's own waiting beside deciding:
it takes up what was handed on, gives up, or is gone. A seat that is handed on stays noted until its PBX asks for it
again or returns it, so that it hears of it whatever breaks in between.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from master.domain.allocation.waiting_line import place_told
from master.domain.estate.estate import Pbx
from master.domain.leases.notices import Awaited
from master.domain.seats.seats import Key
from master.service.batch.batch_events import BatchEvents
from master.service.batch.loading import LoadedBatch
from master.service.batch.requests import DropWaiting
from master.service.batch.resolved_request import ResolvedRequest
from master.service.runtime.names import type_asked_for
from master.store.backends.database import Tx
from master.store.statements import waiting as store

Name = tuple[int, Key]


class BatchWaiting:
    """The seats that PBXs wait for."""

    def __init__(self, loaded: LoadedBatch, events: BatchEvents) -> None:
        self._loaded = loaded
        self._awaited = {pbx_id: dict(of_pbx) for pbx_id, of_pbx in loaded.awaited.items()}
        self._working_set = loaded.working_set
        self._events = events
        self._gone: set[Name] = set()
        self._handed_on: set[Name] = set()
        self._begun: dict[Name, int] = {}

    @property
    def is_shorter(self) -> bool:
        """Whether any PBX waits for fewer seats than before, so that others move up."""
        return bool(self._gone)

    def of(self, pbx_id: int) -> Collection[Awaited]:
        """Return the seats that a PBX waits for so far, and those handed on to it."""
        return self._awaited.get(pbx_id, {}).values()

    def waits_for(self, pbx_id: int, key: Key) -> bool:
        """Tell whether a PBX still waits for a seat."""
        return any((pbx_id, key) in queue for queue in self._working_set.queues.values())

    def asked(self, resolved: ResolvedRequest, places: Mapping[Key, int], keys: Iterable[Key]) -> None:
        """Note that a PBX asked for seats: it waits for those in `places`, and no longer for any of the others."""
        pbx_id, begun = resolved.pbx.id, defaultdict[str, list[str]](list)
        of_pbx = self._awaited.setdefault(pbx_id, {}) if places else self._awaited.get(pbx_id, {})
        for key, place in places.items():
            if key not in of_pbx:
                of_pbx[key] = Awaited(key, place_told(place))
                self._begun[pbx_id, key] = of_pbx[key].place
                begun[key[0]].append(key[2])
        self._forget(pbx_id, [key for key in keys if key in of_pbx and key not in places])
        if begun:
            self._events.add(resolved, "seats.awaited", begun)

    def wants_only(self, resolved: ResolvedRequest, wanted: Collection[Key]) -> None:
        """Note that a PBX named all the seats that it wants: it waits for nothing else."""
        self.gave_up(resolved, [key for key in self._awaited.get(resolved.pbx.id, {}) if key not in wanted])

    def gave_up(self, resolved: ResolvedRequest, keys: Iterable[Key]) -> None:
        """Note that a PBX no longer wants some seats, or cannot use them."""
        pbx_id, ended = resolved.pbx.id, defaultdict[str, list[str]](list)
        of_pbx = self._awaited.get(pbx_id, {})
        known = [key for key in keys if key in of_pbx]
        for key in known:
            if not of_pbx[key].is_handed_on:
                ended[key[0]].append(key[2])
        self._forget(pbx_id, known)
        if ended:
            self._events.add(resolved, "seats.given_up", ended)

    def drop(self, resolved: ResolvedRequest, request: DropWaiting) -> int:
        """End a PBX's waiting for one license type or for all, for an operator; return how many seats.
        Raises UnknownNameError if there is no such type."""
        key_of_type = type_asked_for(resolved.eligibilities.estate.catalog, request.license_type)
        of_pbx, dropped = self._awaited.get(resolved.pbx.id, {}), defaultdict[str, list[str]](list)
        keys = [key for key, seat in of_pbx.items() if not seat.is_handed_on and key_of_type in ("", key[0])]
        for license_type, _, holder in keys:
            dropped[license_type].append(holder)
        self._forget(resolved.pbx.id, keys)
        reason, request_id = request.reason, request.key.request_id
        self._events.add(resolved, "waiting.dropped", dropped, reason=reason, request_id=request_id)
        return len(keys)

    def ended(self, pbx: Pbx) -> int:
        """End all waiting of a PBX whose lease is over; return how many seats it waited for."""
        of_pbx = list(self._awaited.get(pbx.id, {}))
        self._forget(pbx.id, of_pbx)
        return len(of_pbx)

    def hand_on(self, pbx: Pbx, keys: Iterable[Key]) -> None:
        """Note that seats for which a PBX waited were granted to it."""
        for key in keys:
            self._awaited.setdefault(pbx.id, {})[key] = Awaited(key, 0)
            self._handed_on.add((pbx.id, key))

    def write(self, tx: Tx) -> None:
        """Write the seats newly waited for, those no longer waited for, and those handed on."""
        store.forget_waiters(tx, self._gone)
        begun = []
        for queue in self._working_set.queues.values():
            begun += [
                (queue.waiters[name], queue.wants[name], place) for name, place in self._begun.items() if name in queue
            ]
        store.write_waiters(tx, begun)
        store.note_handed_on(tx, self._handed_on - self._gone)
        ended = [name for name in self._gone | self._handed_on if self._waited_before(*name)]
        if begun or ended:
            projects = self._loaded.projects
            changes = Counter((projects[waiter.pbx_id], want.type) for waiter, want, _ in begun)
            changes.subtract((projects[pbx_id], key[0]) for pbx_id, key in ended)
            store.lengthen_queues(tx, changes)

    def _waited_before(self, pbx_id: int, key: Key) -> bool:
        before = self._loaded.awaited.get(pbx_id, {}).get(key)
        return before is not None and not before.is_handed_on

    def _forget(self, pbx_id: int, keys: Collection[Key]) -> None:
        for key in keys:
            del self._awaited[pbx_id][key]
            self._gone.add((pbx_id, key))
            self._begun.pop((pbx_id, key), None)
        for queue in self._working_set.queues.values():
            queue.leave(pbx_id, keys)
