"""The seats of a batch: acquired, returned, synchronised, taken back; each change becomes an event of the audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from master.domain.catalog.versions import Version
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import Lease
from master.domain.leases.standby import carrier_of
from master.domain.seats.decide_seats import Decider
from master.domain.seats.outcomes import Outcome
from master.domain.seats.refusals.reasons import Refusal, RefusalReason, TopHolder
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import Granted, Key, Want
from master.service.batch.answers import SeatsAcquired, SeatsReturned, SeatsSynced, Tally
from master.service.batch.batch_events import BatchEvents, counted
from master.service.batch.batch_waiting import BatchWaiting
from master.service.batch.prefetch import name_top_holders
from master.service.batch.remedies import Asker, Remedies
from master.service.batch.requests import AcquireSeats, GrantWaiting, OpenLease, ReturnSeats, SyncSeats
from master.service.batch.resolved_request import ResolvedRequest
from master.store.backends.database import Tx


class BatchSeats:
    def __init__(
        self,
        working_set: SeatWorkingSet,
        events: BatchEvents,
        remedies: Remedies,
        waiting: BatchWaiting,
        time: LeaseTime,
    ) -> None:
        self._working_set = working_set
        self._waiting = waiting
        self._events = events
        self._remedies = remedies
        self._time = time
        self._refused: list[tuple[Estate, list[Outcome]]] = []

    def acquire(self, resolved: ResolvedRequest, lease: Lease, request: AcquireSeats | OpenLease) -> SeatsAcquired:
        asker, wants = _asker(resolved, lease, self._time), request.wants
        outcomes = self._decider(asker).acquire(wants, waits=request.waits)
        self._note_waiting(resolved, wants, outcomes)
        outcomes = self._remedies.acquiring(asker, wants, outcomes)
        return SeatsAcquired(outcomes, self._tally(resolved, wants, outcomes))

    def hand_on(self, resolved: ResolvedRequest, lease: Lease | None, request: GrantWaiting) -> SeatsAcquired:
        """Grant the seats that a PBX still waits for and whose turn has come; drop from waiting what is refused for
        good.
        """
        if lease is None or lease.state(self._time) is not LeaseState.ACTIVE:  # a lease that is unproven is not, either
            return SeatsAcquired([], Tally({}, {}, resolved.pbx.site, ()))
        wants = [want for want in request.wants if self._waiting.waits_for(resolved.pbx.id, want.key)]
        outcomes = self._decider(_asker(resolved, lease, self._time)).acquire(wants)
        granted = [index for index, outcome in enumerate(outcomes) if not isinstance(outcome, Refusal)]
        self._waiting.hand_on(resolved.pbx, [wants[index].key for index in granted])
        useless = [want.key for want in wants if not self._waiting.waits_for(resolved.pbx.id, want.key)]
        handed_on = {wants[index].key for index in granted}
        self._waiting.gave_up(resolved, [key for key in useless if key not in handed_on])
        wants, outcomes = [wants[index] for index in granted], [outcomes[index] for index in granted]
        return SeatsAcquired(outcomes, self._tally(resolved, wants, outcomes))

    def acquired_since(self, pbx: Pbx, since: float, wants: Sequence[Want]) -> int:
        """Count the debited seats that the holders of some wants acquired at a given time or later."""
        holders = {want.holder for want in wants}
        seats = (seat for seat in self._working_set.holdings(pbx.id) if seat.holder in holders)
        return sum(seat.pool_id is not None and seat.acquired_at >= since for seat in seats)

    def answer_as_at_first(self, pbx: Pbx, lease: Lease, acquired: SeatsAcquired) -> None:
        """Answer for the seats that an opening acquired as that opening was answered, not as held already."""
        held, outcomes = self._working_set.seats[pbx.id].by_key, acquired.outcomes
        for index, (want, outcome) in enumerate(zip(acquired.tally.wants, outcomes, strict=True)):
            if isinstance(outcome, Granted) and outcome.already_held and held[want[:3]].acquired_at >= lease.opened_at:
                outcomes[index] = outcome._replace(already_held=False)

    def give_back(self, resolved: ResolvedRequest, lease: Lease, request: ReturnSeats) -> SeatsReturned:
        asker = _asker(resolved, lease, self._time)
        outcomes = self._decider(asker).give_back(request.keys)
        outcomes = self._remedies.returning(asker, request.keys, outcomes)
        gone = [
            key
            for key, out in zip(request.keys, outcomes, strict=True)
            if not isinstance(out, Refusal) and out.was_held
        ]
        self._events.returned(resolved, gone)
        self._waiting.gave_up(resolved, request.keys)
        return SeatsReturned(outcomes)

    def sync(self, resolved: ResolvedRequest, lease: Lease, request: SyncSeats) -> SeatsSynced:
        asker = _asker(resolved, lease, self._time)
        self._waiting.wants_only(resolved, {want.key for want in request.wants})
        synced = self._decider(asker).sync(request.wants, waits=request.waits)
        self._note_waiting(resolved, request.wants, synced.outcomes)
        synced = self._remedies.syncing(asker, request.wants, synced)
        self._events.returned(resolved, synced.returned)
        tally = self._tally(resolved, request.wants, synced.outcomes)
        return SeatsSynced(synced.outcomes, tally, len(synced.returned), synced.kept)

    def reclaim_all(self, resolved: ResolvedRequest, lease: Lease) -> int:
        """Take back all loaded seats of a PBX whose lease is over; return how many seats."""
        returned = self.take_all(resolved.pbx)
        if returned:
            self._events.add(resolved, "seats.reclaimed", {"epoch": lease.epoch, **counted(returned)})
        return returned.total()

    def take_all(self, pbx: Pbx) -> Counter[str]:
        """Take back all loaded or counted seats of a PBX; return how many seats, by license type."""
        self._waiting.ended(pbx)
        return self._working_set.take_all(pbx.id)

    def name_top_holders(self, tx: Tx) -> None:
        """Put the biggest holders into refusals for lack of licenses; they are known once all seats are written."""
        named: dict[int, tuple[TopHolder, ...]] = {}
        for estate, outcomes in self._refused:
            name_top_holders(tx, outcomes, estate, named)

    def _note_waiting(self, resolved: ResolvedRequest, wants: Sequence[Want], outcomes: Sequence[Outcome]) -> None:
        if not self._working_set.queues and not self._waiting.of(resolved.pbx.id):
            return
        places: dict[Key, int] = {}
        asked: list[Key] = []
        for want, outcome in zip(wants, outcomes, strict=True):
            reason = outcome.reason if isinstance(outcome, Refusal) else None
            if isinstance(outcome, Refusal) and reason is RefusalReason.WAITING:
                places[want.key] = outcome.place
            if reason is not RefusalReason.LEARNING:  # the place is kept until that is over
                asked.append(want.key)
        self._waiting.asked(resolved, places, asked)

    def _tally(self, resolved: ResolvedRequest, wants: Sequence[Want], outcomes: list[Outcome]) -> Tally:
        tally = self._events.acquired(resolved, wants, outcomes)
        if tally.refused:
            self._refused.append((resolved.eligibilities.estate, outcomes))
        return tally

    def _decider(self, asker: Asker) -> Decider:
        return Decider(
            asker.eligibilities, self._working_set, asker.pbx, asker.software, self._time, carrier=asker.carrier
        )


def _asker(resolved: ResolvedRequest, lease: Lease, time: LeaseTime) -> Asker:
    """Return the PBX that asks, judged by the software that it runs. Seats that the PBX held go on above the version
    limit too (B10), also where they are entered anew because the master learns; nothing else is granted while it
    learns.
    """
    estate, software = resolved.eligibilities.estate, lease.software
    limit = estate.installation_of(resolved.pbx).limit
    if limit is not None and software.major > limit and estate.learns(time.ends_by):
        software = Version(limit)
    return Asker(resolved.eligibilities, resolved.pbx, software, carrier_of(estate, lease))
