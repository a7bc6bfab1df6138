"""Reconciles a whole wanted set with the master, so that it counts exactly the seats that this site holds.

Decides: what is given up before the master is asked (and is on disk by then), and what an answer, or none, means for
each seat. Up to 10,000 seats are reconciled in one step. More cannot be: then what is not wanted is returned first and
the rest acquired in parts, and another site may be faster in between.
Leaves to others: when to reconcile, and that nothing else changes the local seats meanwhile (`seat_manager`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from licensemaster.v1 import lease_pb2, seat_pb2
from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import FailureKind, MasterError
from slave_client.holdings.local_seats import Reconciliation
from slave_client.storage.state_writer import StateWriter
from slave_client.values.messages import outcome_from_result, refused_from_refusal, seat_from_want, want_from_seat
from slave_client.values.seats import Granted, LossCause, Lost, Refused, Returned, SeatChange, Source, Synced, Want

_SYNC_SEATS_MAX: Final = 10_000
Response = TypeVar("Response")
Part = TypeVar("Part", Want, seat_pb2.Seat)
Ask = Callable[[int, Callable[[], Awaitable[lease_pb2.SyncSeatsResponse]]], Awaitable[lease_pb2.SyncSeatsResponse]]


class Reconciler:
    """Reconciles the seats of one client; `tell` is called with each change."""

    def __init__(self, parts: ClientParts, *, state_writer: StateWriter) -> None:
        self._pbx, self._tell = parts.config.pbx, parts.tell
        self._local_seats, self._client_state, self._masters = parts.local_seats, parts.client_state, parts.masters
        self._state_writer = state_writer

    async def reconcile(self, wants: Sequence[Want], ask: Ask) -> Synced:
        """Reconcile a wanted set; raises MasterError, and ValueError where a seat is wanted twice.

        `ask` gets the epoch and makes the attempt, once or several times.
        """
        epoch = self._client_state.epoch
        if epoch is None:
            raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were reconciled")
        surplus = self._local_seats.surplus(wants)
        reconciliation = self._local_seats.begin_reconciling(wants)
        await self._state_writer.save_now()
        try:
            response = await ask(epoch, lambda: self._attempt(epoch, wants, surplus))
            if self._client_state.epoch != epoch:
                raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were reconciled")
        except BaseException:
            self._not_reconciled(reconciliation)
            raise
        return self._reconciled(reconciliation, response)

    async def claim(self) -> None:
        """Have the master enter the seats that this site used by number, and leave what else it counts alone.

        Where one is refused the whole set is reconciled, which makes room for it. Raises MasterError.
        """
        epoch, wants = self._client_state.epoch, self._local_seats.wanted()
        if epoch is None:
            raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were claimed")
        refused: list[Refused] = []
        for part in _parts(wants):
            request = lease_pb2.AcquireSeatsRequest(
                pbx=self._pbx, epoch=epoch, seats=[seat_from_want(want) for want in part]
            )
            results = (await self._masters.acquire_seats(request)).results
            if self._client_state.epoch != epoch:
                raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were claimed")
            refused += self._local_seats.claimed(outcome_from_result(*pair) for pair in zip(part, results, strict=True))
        self._state_writer.changed()
        if refused:
            await self.reconcile(self._local_seats.wanted(), once)

    async def _attempt(self, epoch: int, wants: Sequence[Want], surplus: Sequence[Want]) -> lease_pb2.SyncSeatsResponse:
        seats = [seat_from_want(want) for want in wants]
        if len(seats) <= _SYNC_SEATS_MAX:
            request = lease_pb2.SyncSeatsRequest(pbx=self._pbx, epoch=epoch, seats=seats)
            return await self._masters.sync_seats(request)
        return await self._attempt_in_parts(epoch, seats, [seat_from_want(want) for want in surplus])

    async def _attempt_in_parts(
        self, epoch: int, seats: Sequence[seat_pb2.Seat], surplus: Sequence[seat_pb2.Seat]
    ) -> lease_pb2.SyncSeatsResponse:
        """Do what one SyncSeats call would, for more seats than it takes."""
        whole = lease_pb2.SyncSeatsResponse()
        for part in _parts(surplus):
            returning = lease_pb2.ReturnSeatsRequest(pbx=self._pbx, epoch=epoch, seats=part)
            for seat, result in zip(part, (await self._masters.return_seats(returning)).results, strict=True):
                whole.seats_returned += result.returned
                if result.HasField("refused"):
                    whole.kept.add(seat=seat, refused=result.refused)
        for part in _parts(seats):
            acquiring = lease_pb2.AcquireSeatsRequest(pbx=self._pbx, epoch=epoch, seats=part)
            whole.results.extend((await self._masters.acquire_seats(acquiring)).results)
        return whole

    def _reconciled(self, reconciliation: Reconciliation, response: lease_pb2.SyncSeatsResponse) -> Synced:
        outcomes = tuple(
            outcome_from_result(want, result)
            for want, result in zip(reconciliation.wants, response.results, strict=True)
        )
        kept = tuple(_kept(response.kept))
        dropped = {want.key: want for want in reconciliation.dropped}
        stay = [_kept_grant(dropped.get(refused.want.key, refused.want)) for refused in kept]
        reconciled = self._local_seats.reconciled(reconciliation, outcomes, kept=stay)
        changes: list[SeatChange] = [*reconciled.gained, *reconciled.refused]
        kept_keys = {refused.want.key for refused in kept}
        changes += [Returned(want=want, held=True) for key, want in dropped.items() if key not in kept_keys]
        uncertain = [grant.want for grant in (*reconciled.gained, *stay)]
        uncertain += [held.want for held in reconciliation.in_doubt]
        held_now = (self._local_seats.held_seat(want.key) for want in uncertain)
        self._state_writer.note([held for held in held_now if held is not None])
        for change in changes:
            self._tell(change)
        self._state_writer.changed()
        return Synced(outcomes=outcomes, seats_returned=response.seats_returned, kept=kept)

    def _not_reconciled(self, reconciliation: Reconciliation) -> None:
        for want in reconciliation.dropped:
            self._tell(Returned(want=want, held=True, source=Source.LOCAL))
        for held in reconciliation.in_doubt:
            message = "it was passed on while offline, and the connection broke before the master agreed"
            self._tell(Lost(want=held.want, cause=LossCause.IN_DOUBT, message=message))


async def once(epoch: int, attempt: Callable[[], Awaitable[Response]]) -> Response:
    """Ask once: the keeper tries again, perhaps elsewhere."""
    return await attempt()


def _parts(seats: Sequence[Part]) -> Iterable[Sequence[Part]]:
    for start in range(0, len(seats), _SYNC_SEATS_MAX):
        yield seats[start : start + _SYNC_SEATS_MAX]


def _kept(kept: Iterable[lease_pb2.KeptSeat]) -> Iterable[Refused]:
    for seat in kept:
        yield refused_from_refusal(want_from_seat(seat.seat), seat.refused)


def _kept_grant(want: Want) -> Granted:
    """Make the grant of a seat that had to stay: the master did not say on what basis, so it is never passed on."""
    return Granted(want=want, basis=None, already_held=True)
