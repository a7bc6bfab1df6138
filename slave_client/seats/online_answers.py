"""Answers for seats by the master, asked once for many seats; and what a missing answer means.

Decides: a seat that is given up is written to disk before the master hears of it. A call that the master calls
malformed is made in halves, so that one bad seat does not fail the others. What was asked for in vain is reconciled
later.
Leaves to others: which seats are asked for together (`request_batcher`), that one thing at a time changes the local
seats (`seat_manager`), how long to repeat a call (`retry`), what may be used offline (`offline_answers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial

from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import FailureKind, MasterError
from slave_client.seats.offline_answers import OfflineAnswers
from slave_client.seats.retry import Retry
from slave_client.seats.unasked_seats import UnaskedSeats
from slave_client.storage.state_writer import StateWriter
from slave_client.values.seats import Outcome, Reason, Refused, Returned, ReturnOutcome, Source, Want
from slave_client.values.states import State


class Action(Enum):
    """What a caller asks for."""

    ACQUIRE = "acquire"
    AWAIT = "await"
    """Acquire a seat, or wait for it."""
    RETURN = "return"


class OnlineAnswers:
    """Asks the master for one client; calls `reconcile_later` where the master may count seats that are not held."""

    def __init__(
        self,
        parts: ClientParts,
        *,
        offline: OfflineAnswers,
        unasked: UnaskedSeats,
        retry: Retry,
        state_writer: StateWriter,
        reconcile_later: Callable[[], None],
    ) -> None:
        self._local_seats, self._client_state, self._masters = parts.local_seats, parts.client_state, parts.masters
        self._offline, self._unasked, self._retry = offline, unasked, retry
        self._state_writer = state_writer
        self._reconcile_later = reconcile_later

    async def acquire(self, wants: Sequence[Want], action: Action) -> Sequence[Outcome]:
        """Acquire seats, or wait for them; return one outcome per seat, in order."""
        self._local_seats.numbers.asking(wants)
        try:
            return await self._acquire(wants, action)
        finally:
            self._local_seats.numbers.answered(wants)

    async def _acquire(self, wants: Sequence[Want], action: Action) -> Sequence[Outcome]:
        epoch = self._client_state.epoch
        if not wants or epoch is None:
            return [self._offline.acquire(want) for want in wants]
        acquire = partial(self._masters.acquire_seats, epoch, wants, wait=action is Action.AWAIT)
        try:
            await self._unasked.tell()  # else the master might take what is asked for to be what it does not know of
            outcomes = await self._retry.repeat(epoch, acquire)
        except MasterError as failure:
            if failure.kind is FailureKind.REJECTED and len(wants) > 1:
                return [outcome for half in _halves(wants) for outcome in await self.acquire(half, action)]
            return self._not_acquired(wants, failure, epoch)
        if self._client_state.epoch != epoch:  # the lease ended meanwhile: a grant under it is void
            return [self._offline.acquire(want) for want in wants]
        return [self._noted(outcome) for outcome in outcomes]

    def _noted(self, outcome: Outcome) -> Outcome:
        """Note the master's answer in the local seats; return it, with a seat that was handed on marked as new."""
        if isinstance(outcome, Refused):
            self._local_seats.refused(outcome)
        else:
            if self._local_seats.awaits(outcome.want.key):
                outcome = replace(outcome, already_held=False)
            self._local_seats.granted(outcome)
        return outcome

    def _not_acquired(self, wants: Sequence[Want], failure: MasterError, epoch: int) -> list[Outcome]:
        if failure.kind is not FailureKind.REJECTED and self._client_state.epoch == epoch:
            self._local_seats.asked_in_vain(wants)  # an earlier attempt may have been heard
            self._doubt()
        if failure.kind in (FailureKind.REJECTED, FailureKind.DENIED):
            return [Refused(want=want, reason=Reason.INVALID, message=str(failure)) for want in wants]
        return [self._offline.acquire(want, str(failure)) for want in wants]

    async def give_back(self, wants: Sequence[Want]) -> Sequence[ReturnOutcome]:
        """Return seats to the pool; return one outcome per seat, in order."""
        epoch = self._client_state.epoch
        if not wants or epoch is None:
            return [self._offline.give_back(want) for want in wants]
        given_up = [self._local_seats.give_up(want) for want in wants]
        if any(given_up):
            await self._state_writer.save_now()
        try:
            outcomes = await self._retry.repeat(epoch, partial(self._masters.return_seats, epoch, wants))
        except MasterError as failure:
            if failure.kind is FailureKind.REJECTED:  # the master surely did nothing: it calls it malformed each time
                for held in given_up:
                    if held is not None:
                        self._local_seats.stays(held)
                if len(wants) > 1:
                    return [outcome for half in _halves(wants) for outcome in await self.give_back(half)]
                return [Refused(want=want, reason=Reason.INVALID, message=str(failure)) for want in wants]
            self._doubt()
            return [
                Returned(want=want, held=held is not None, source=Source.LOCAL)
                for want, held in zip(wants, given_up, strict=True)
            ]
        if self._client_state.epoch == epoch:
            for outcome, held in zip(outcomes, given_up, strict=True):
                if isinstance(outcome, Refused) and held is not None:
                    self._local_seats.stays(held)
                else:
                    self._local_seats.taken_back(outcome.want)
        return outcomes

    def _doubt(self) -> None:
        if self._client_state.state is State.CONNECTED:
            self._reconcile_later()


def _halves(wants: Sequence[Want]) -> tuple[Sequence[Want], Sequence[Want]]:
    middle = len(wants) // 2
    return wants[:middle], wants[middle:]
