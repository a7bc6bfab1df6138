"""Reconciles a whole wanted set with the master, so that the master counts exactly the seats that this site holds.

Decides: what is given up before the master is asked (and is on disk by then), and what an answer, or none, means for
each seat. Up to 10,000 seats are reconciled in one step. More cannot be: then what is not wanted is returned first and
the rest acquired in parts, and another site may be faster in between. So is it done where this site does not know of
all seats that the master counts for it.
Leaves to others: when to reconcile, and that nothing else changes the local seats meanwhile (`seat_manager`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import FailureKind, MasterError
from slave_client.holdings.local_seats import Reconciliation
from slave_client.storage.state_writer import StateWriter
from slave_client.values.seats import (
    Granted,
    LossCause,
    Lost,
    Outcome,
    Refused,
    Returned,
    ReturnOutcome,
    SeatChange,
    Source,
    Synced,
    Want,
)

_SYNC_SEATS_MAX: Final = 10_000
Response = TypeVar("Response")
Ask = Callable[[int, Callable[[], Awaitable[Synced]]], Awaitable[Synced]]


class Reconciler:
    """Reconciles the seats of one client; `tell` is called with each change."""

    def __init__(self, parts: ClientParts, *, state_writer: StateWriter) -> None:
        self._tell = parts.tell
        self._local_seats, self._client_state, self._masters = parts.local_seats, parts.client_state, parts.masters
        self._state_writer = state_writer

    async def reconcile(self, wants: Sequence[Want], ask: Ask, *, makes_room: bool = False) -> Synced:
        """Reconcile a wanted set; raises MasterError, and ValueError where a seat is wanted twice.

        `ask` gets the epoch and makes the attempt, once or several times. `makes_room` has the master take back seats
        that this site does not know of.
        """
        whole = makes_room or self._local_seats.knows_all
        epoch = self._client_state.epoch
        if epoch is None:
            raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were reconciled")
        surplus = self._local_seats.surplus(wants)
        reconciliation = self._local_seats.begin_reconciling(wants)
        await self._state_writer.save_now()
        try:
            synced = await ask(epoch, lambda: self._attempt(epoch, wants, surplus, whole=whole))
            if self._client_state.epoch != epoch:
                raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were reconciled")
        except BaseException:
            self._not_reconciled(reconciliation)
            raise
        self._note(reconciliation, synced)
        return synced

    async def claim(self) -> None:
        """Have the master count by name the seats that this site used by number, without touching other seats.

        Where a seat is refused the whole set is reconciled, which makes room for that seat. Raises MasterError.
        """
        epoch, wants = self._client_state.epoch, self._local_seats.wanted()
        if epoch is None:
            raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were claimed")
        refused: list[Refused] = []
        for part in _parts(wants):
            outcomes = await self._masters.acquire_seats(epoch, part)
            if self._client_state.epoch != epoch:
                raise MasterError(FailureKind.LEASE_ENDED, "the lease ended before its seats were claimed")
            refused += self._local_seats.claimed(outcomes)
        self._state_writer.changed()
        if refused:
            await self.reconcile(self._local_seats.wanted(), once, makes_room=True)

    async def _attempt(self, epoch: int, wants: Sequence[Want], surplus: Sequence[Want], *, whole: bool) -> Synced:
        if whole and len(wants) <= _SYNC_SEATS_MAX:
            return await self._masters.sync_seats(epoch, wants)
        returned: list[ReturnOutcome] = []
        for part in _parts(surplus):
            returned += await self._masters.return_seats(epoch, part)
        outcomes: list[Outcome] = []
        for part in _parts(wants):
            outcomes += await self._masters.acquire_seats(epoch, part)
        return Synced(
            outcomes=tuple(outcomes),
            seats_returned=sum(isinstance(outcome, Returned) and outcome.held for outcome in returned),
            kept=tuple(outcome for outcome in returned if isinstance(outcome, Refused)),
        )

    def _note(self, reconciliation: Reconciliation, synced: Synced) -> None:
        dropped = {want.key: want for want in reconciliation.dropped}
        stay = [_kept_grant(dropped.get(refused.want.key, refused.want)) for refused in synced.kept]
        reconciled = self._local_seats.reconciled(reconciliation, synced.outcomes, kept=stay)
        changes: list[SeatChange] = [*reconciled.gained, *reconciled.refused]
        kept_keys = {refused.want.key for refused in synced.kept}
        changes += [Returned(want=want, held=True) for key, want in dropped.items() if key not in kept_keys]
        uncertain = [grant.want for grant in (*reconciled.gained, *stay)]
        uncertain += [held.want for held in reconciliation.in_doubt]
        held_now = (self._local_seats.held_seat(want.key) for want in uncertain)
        self._state_writer.note([held for held in held_now if held is not None])
        for change in changes:
            self._tell(change)
        self._state_writer.changed()

    def _not_reconciled(self, reconciliation: Reconciliation) -> None:
        for want in reconciliation.dropped:
            self._tell(Returned(want=want, held=True, source=Source.LOCAL))
        for held in reconciliation.in_doubt:
            message = "it was passed on while offline, and the connection broke before the master agreed"
            self._tell(Lost(want=held.want, cause=LossCause.IN_DOUBT, message=message))


async def once(epoch: int, attempt: Callable[[], Awaitable[Response]]) -> Response:
    """Make one attempt: the lease keeper tries again, perhaps at another address."""
    return await attempt()


def _parts(wants: Sequence[Want]) -> Iterable[Sequence[Want]]:
    for start in range(0, len(wants), _SYNC_SEATS_MAX):
        yield wants[start : start + _SYNC_SEATS_MAX]


def _kept_grant(want: Want) -> Granted:
    """Make the grant of a seat that had to stay. Its basis is not known, so the seat is never passed on."""
    return Granted(want=want, basis=None, already_held=True)
