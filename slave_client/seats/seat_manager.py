"""Acquires and returns seats: with the master while it answers, from the local seats while it does not.

Decides: what is asked of whom, and in which order. One thing at a time changes the local seats: joined calls and
reconciliations take turns.
Leaves to others: whether the master answers (`lease_keeper`), what it is asked for some seats (`online_answers`) or a
whole set (`reconciliation`), what is answered without it (`offline_answers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter

from licensemaster.v1 import lease_pb2, seat_pb2
from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import FailureKind, MasterError
from slave_client.seats.awaited_seats import AwaitedSeats
from slave_client.seats.offline_answers import OfflineAnswers
from slave_client.seats.online_answers import Action, OnlineAnswers
from slave_client.seats.opening_seats import OpeningSeats
from slave_client.seats.reconciliation import Ask, Reconciler, once
from slave_client.seats.request_batcher import RequestBatcher
from slave_client.seats.retry import Retry
from slave_client.seats.revocation import Revoker
from slave_client.seats.unasked_seats import UnaskedSeats
from slave_client.storage.state_writer import StateWriter
from slave_client.values.seats import (
    Granted,
    Outcome,
    Reason,
    Refused,
    Returned,
    ReturnOutcome,
    SeatKey,
    Source,
    Synced,
    Want,
)
from slave_client.values.states import State


@dataclass(frozen=True, slots=True)
class Operation:
    action: Action
    want: Want


class Occasion(Enum):
    """Why this site's seats are compared with those that the master counts."""

    OPENED = "opened"
    """A lease was opened: the seats that the master counts for this PBX are not known."""
    TAKEN_OVER = "taken_over"
    """A lease was taken over whose seats this site used by number: the master counts them under other names."""
    RENEWED = "renewed"
    """A lease was renewed: the master counts the same seats as before, unless this site changed some."""


class SeatManager:
    """Acquires and returns the seats of one client.

    `check_connection` has the lease keeper try the masters and waits until that is done; `look_again` does not wait.
    """

    def __init__(
        self,
        parts: ClientParts,
        *,
        state_writer: StateWriter,
        check_connection: Callable[[], Awaitable[None]],
        look_again: Callable[[], None],
    ) -> None:
        self._config, self._clock, self._backoff = parts.config, parts.clock, parts.backoff
        self._local_seats, self._client_state, self._masters = parts.local_seats, parts.client_state, parts.masters
        self._tell, self._state_writer = parts.tell, state_writer
        self._retry = Retry(parts, check_connection=check_connection)
        self._reconciler = Reconciler(parts, state_writer=state_writer)
        self._offline = OfflineAnswers(local_seats=parts.local_seats, client_state=parts.client_state)
        self._turn = asyncio.Lock()
        self.revoker = Revoker(
            parts, state_writer=state_writer, retry=self._retry, turn=self._turn, look_again=look_again
        )
        self._reconciling: asyncio.Task[None] | None = None
        self._batcher = RequestBatcher[Operation, Outcome | Returned](
            self._run, key=attrgetter("want.key"), orphaned=self._orphaned, items_max=parts.config.seats_per_call_max
        )
        self._opening_seats = OpeningSeats(parts, is_waited_for=self._batcher.is_pending)
        self._unasked = UnaskedSeats(
            parts, state_writer=state_writer, retry=self._retry, turn=self._turn, is_pending=self._batcher.is_pending
        )
        self._online = OnlineAnswers(
            parts,
            offline=self._offline,
            unasked=self._unasked,
            retry=self._retry,
            state_writer=state_writer,
            reconcile_later=self.reconcile_later,
        )
        self.awaited = AwaitedSeats(parts, acquire=self.acquire_many, give_back=self.return_many)

    # What callers ask for.

    async def acquire_many(self, wants: Iterable[Want], action: Action = Action.ACQUIRE) -> list[Outcome]:
        """Acquire seats, or wait for them; return one outcome per wanted seat, in order. Failures of the network are
        outcomes, too.
        """
        operations = [Operation(action, want) for want in wants]
        answers: list[Outcome | None] = [
            self.known(asked.want) or self._unasked.acquire(asked.want) for asked in operations
        ]
        asked = [index for index, answer in enumerate(answers) if answer is None]
        results = await self._batcher.submit_many([operations[index] for index in asked])
        for index, result in zip(asked, results, strict=True):
            assert not isinstance(result, Returned)
            answers[index] = result
        return [answer for answer in answers if answer is not None]

    async def return_many(self, wants: Iterable[Want]) -> list[ReturnOutcome]:
        results = await self._batcher.submit_many([Operation(Action.RETURN, want) for want in wants])
        outcomes: list[ReturnOutcome] = []
        for result in results:
            assert not isinstance(result, Granted)
            outcomes.append(result)
        return outcomes

    async def sync(self, wants: Sequence[Want]) -> Synced:
        """Make the seats held equal to the wanted set. Raises ValueError where a seat is wanted twice.

        Where the master cannot be asked now, it is asked when it is reached again; `tell` then gets the answers.
        """
        if len({want.key for want in wants}) != len(wants):
            raise ValueError("the same seat is wanted twice")
        await self._retry.judged()
        async with self._turn:
            self._local_seats.knows_all = True
            if self._client_state.state is State.CONNECTED:
                return await self._sync_online(wants)
            return self._sync_offline(wants)

    @property
    def remembers_seats(self) -> bool:
        """True where this site wants seats, or may hold seats that the master has to be asked about."""
        return bool(self._local_seats.wanted() or self.needs_reconciling)

    @property
    def needs_reconciling(self) -> bool:
        """True where the seats that the master counts for this PBX may differ from those known here."""
        return self._local_seats.needs_reconciling

    def waiting_for_lease(self) -> Sequence[Want]:
        """Return the seats to be asked for with the next attempt to open the lease."""
        first: dict[SeatKey, Operation] = {}
        for operation in self._batcher.unanswered:
            first.setdefault(operation.want.key, operation)
        waiting = [operation.want for operation in first.values() if operation.action is Action.ACQUIRE]
        return self._opening_seats.ask_for(waiting)

    def opened(self, results: Sequence[seat_pb2.SeatResult]) -> None:
        """Note the master's results for the seats that were asked for with an opening."""
        self._opening_seats.answered(results)

    async def reconcile(self, epoch: int, *, occasion: Occasion) -> None:
        """Make the seats that the master counts equal to this site's. Called before the state is CONNECTED; raises
        MasterError.
        """
        async with self._turn:
            self.revoker.lose()
            await self._opening_seats.give_back(epoch)
            if occasion is Occasion.TAKEN_OVER:
                await self._reconciler.claim()
            elif occasion is Occasion.OPENED or self._local_seats.needs_reconciling:
                await self._reconcile(self._local_seats.wanted(), once)
            else:
                await self._unasked.tell()

    def reconcile_later(self) -> None:
        """Start to reconcile, in the background, the seats about which an answer was lost."""
        self._unasked.tell_later()
        if self._local_seats.needs_reconciling and self._reconciling is None:
            self._reconciling = asyncio.create_task(self._reconcile_quietly())

    async def close_lease(self) -> int:
        """Close the lease; return how many seats went back to the pool. Raises MasterError if no master was reached."""
        await self._batcher.drained()
        async with self._turn:
            epoch, self._client_state.verified = self._client_state.epoch, None
            held = self._local_seats.held
            self._local_seats.forget_all()
            for seat in held:
                self._tell(Returned(want=seat.want, held=True))
            await self._state_writer.save_now()
            if epoch is None:
                return 0
            request = lease_pb2.CloseLeaseRequest(pbx=self._config.pbx, epoch=epoch)
            for attempt in range(1, self._masters.count + 2):
                try:
                    return (await self._masters.close_lease(request)).seats_returned
                except MasterError as failure:
                    if failure.kind in (FailureKind.FENCED, FailureKind.LEASE_ENDED, FailureKind.LEASE_UNKNOWN):
                        return 0
                    if attempt > self._masters.count:
                        raise
                    self._masters.move_on(failure.address)
                    await self._clock.sleep(self._backoff.pause_seconds(attempt, failure.retry_after_seconds))
            return 0

    async def stop(self) -> None:
        """Answer the waiting callers (from the local seats, as the state is final by now), and stop."""
        if self._reconciling is not None:
            self._reconciling.cancel()
        self.revoker.stop()
        self._unasked.stop()
        self.awaited.stop()
        await self._batcher.drained()

    # Joined calls.

    def known(self, want: Want) -> Granted | None:
        """Return the grant of a seat that is held exactly as wanted; None where the master has to be asked."""
        if not self._local_seats.holds(want.key) or self._batcher.is_pending(want.key):
            return None
        return self._local_seats.already(want) if self._client_state.state.has_seats else None

    async def _run(self, operations: Sequence[Operation]) -> list[Outcome | Returned]:
        await self._retry.judged()
        async with self._turn:
            awaited = {operation.want.key for operation in operations if self._local_seats.awaits(operation.want.key)}
            if self._client_state.state is not State.CONNECTED:
                results = [self._answered_offline(operation) for operation in operations]
            else:
                results = await self._answered_online(operations)
        self._opening_seats.forget(operation.want for operation in operations)
        self._keep(results)
        for result in results:
            if not _is_known(result, awaited):
                self._tell(result)
        return results

    def _keep(self, results: Sequence[Outcome | Returned]) -> None:
        """Write seats that the master granted to disk at once, a line each, and other changes soon."""
        changes = [result for result in results if not isinstance(result, Refused) or result.reason is Reason.WAITING]
        granted = [change for change in changes if isinstance(change, Granted) and change.source is Source.MASTER]
        held = [held for grant in granted if (held := self._local_seats.held_seat(grant.want.key)) is not None]
        if not self._state_writer.note(held) or len(held) < len(changes):
            self._state_writer.changed()

    async def _answered_online(self, operations: Sequence[Operation]) -> list[Outcome | Returned]:
        asked: dict[Action, list[Want]] = {}
        for operation in operations:
            asked.setdefault(operation.action, []).append(operation.want)
        calls = [self._ask(action, wants) for action, wants in asked.items()]
        if len(calls) == 1:  # mostly, and tasks cost
            return list(await calls[0])
        results = dict(zip(asked, map(iter, await asyncio.gather(*calls)), strict=True))
        return [next(results[operation.action]) for operation in operations]

    async def _ask(self, action: Action, wants: Sequence[Want]) -> Sequence[Outcome | Returned]:
        if action is Action.RETURN:
            return await self._online.give_back(wants)
        return await (self._acquire(wants) if action is Action.ACQUIRE else self._await(wants))

    async def _acquire(self, wants: Sequence[Want]) -> Sequence[Outcome]:
        with_lease = [self._opening_seats.outcome(want) for want in wants]
        left = [want for want, came in zip(wants, with_lease, strict=True) if came is None]
        asked = iter(await self._online.acquire(left, Action.ACQUIRE))
        outcomes = [came or next(asked) for came in with_lease]
        self.revoker.refused(outcomes)
        return outcomes

    async def _await(self, wants: Sequence[Want]) -> Sequence[Outcome]:
        outcomes = await self._online.acquire(wants, Action.AWAIT)
        self.revoker.refused(outcomes)
        return outcomes

    def _answered_offline(self, operation: Operation) -> Outcome | Returned:
        if operation.action is not Action.RETURN:
            return self._offline.acquire(operation.want)
        return self._offline.give_back(operation.want)

    # Callers that are gone.

    def _orphaned(self, operation: Operation, result: Outcome | Returned) -> None:
        """Return the seat of a caller who is gone, or stop waiting for it, unless another caller asks for that seat."""
        key, is_new = operation.want.key, isinstance(result, Granted) and not result.already_held
        has_it = (is_new and self._local_seats.holds(key)) or self._local_seats.awaits(key)
        if has_it and operation.action is not Action.RETURN and not self._batcher.is_pending(key):
            task = asyncio.ensure_future(self.return_many((operation.want,)))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    # Whole sets.

    async def _reconcile(self, wants: Sequence[Want], ask: Ask) -> Synced:
        synced = await self._reconciler.reconcile(wants, ask)
        self.revoker.refused(synced.outcomes)
        return synced

    async def _sync_online(self, wants: Sequence[Want]) -> Synced:
        try:
            return await self._reconcile(wants, self._retry.repeat)
        except MasterError as failure:
            if self._client_state.state is State.CONNECTED:
                self.reconcile_later()
            return Synced(
                outcomes=tuple(
                    self._local_seats.already(want) or self._offline.acquire(want, str(failure)) for want in wants
                ),
                seats_returned=0,
            )

    def _sync_offline(self, wants: Sequence[Want]) -> Synced:
        wanted = {want.key for want in wants}
        unwanted = [held.want for held in self._local_seats.held if held.want.key not in wanted]
        for want in unwanted:
            self._tell(self._offline.give_back(want))
        outcomes = tuple(self._offline.acquire(want) for want in wants)
        if not self._client_state.state.is_final:
            self._local_seats.still_wanted(wants)
        self._state_writer.changed()
        for outcome in outcomes:
            if not (isinstance(outcome, Granted) and outcome.already_held):
                self._tell(outcome)
        return Synced(outcomes=outcomes, seats_returned=len(unwanted))

    async def _reconcile_quietly(self) -> None:
        try:
            async with self._turn:
                if self._client_state.state is State.CONNECTED and self._local_seats.needs_reconciling:
                    await self._reconcile(self._local_seats.wanted(), self._retry.repeat)
        except MasterError:
            pass  # the local seats remember; the next reconciliation takes it up
        finally:
            self._reconciling = None


def _is_known(result: Outcome | Returned, awaited: Collection[SeatKey]) -> bool:
    """Tell whether an answer changes nothing for the PBX; `awaited` are the seats that it waited for before."""
    if isinstance(result, Granted):
        return result.already_held
    return isinstance(result, Refused) and result.reason is Reason.WAITING and result.want.key in awaited
