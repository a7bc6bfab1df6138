"""Seats used by number at once, and told to the master afterwards, without the caller waiting.

Decides: a seat that the signed lease lets this PBX use by number is granted without a call, once it is written where a
killed process finds it again. The master is told of it as soon as it answers, and before it is asked for any other
seat: only then is what it grants beyond the number beyond what is in use.
Leaves to others: how many may be used (`numbered_seats`), and the whole set after a break (`reconciliation`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import MasterError
from slave_client.seats.retry import Retry
from slave_client.storage.state_writer import StateWriter
from slave_client.values.seats import Granted, Held, Outcome, SeatKey, Want
from slave_client.values.states import State


class UnaskedSeats:
    """Uses seats by number for one client.

    `turn` is the seat manager's lock: its owner may tell the master. `is_pending` says if a seat is being asked for.
    """

    def __init__(
        self,
        parts: ClientParts,
        *,
        state_writer: StateWriter,
        retry: Retry,
        turn: asyncio.Lock,
        is_pending: Callable[[SeatKey], bool],
    ) -> None:
        self._config, self._tell = parts.config, parts.tell
        self._local_seats, self._client_state, self._masters = parts.local_seats, parts.client_state, parts.masters
        self._state_writer = state_writer
        self._retry = retry
        self._turn = turn
        self._is_pending = is_pending
        self._working: asyncio.Task[None] | None = None

    def acquire(self, want: Want) -> Granted | None:
        """Grant a seat by number; None where the master has to be asked."""
        if not self._local_seats.may_use_unasked(want) or self._is_pending(want.key):
            return None
        if not self._client_state.state.has_seats:
            return None
        if not self._state_writer.note([Held.of(Granted.by_number(want))]):
            return None
        grant = self._local_seats.use_unasked(want)
        self._tell(grant)
        self.tell_later()
        return grant

    def tell_later(self) -> None:
        """Start to tell the master of seats used by number, if there are any and the client is connected."""
        connected = self._client_state.state is State.CONNECTED
        if connected and self._working is None and self._local_seats.numbers.unasked:
            self._working = asyncio.create_task(self._work())

    async def tell(self) -> None:
        """Have the master count the seats used by number by name. The caller has the turn. Raises MasterError."""
        while (epoch := self._client_state.epoch) is not None:
            wants = self._local_seats.numbers.unasked[: self._config.seats_per_call_max]
            if not wants:
                return
            outcomes = await self._retry.repeat(epoch, partial(self._masters.acquire_seats, epoch, wants))
            if self._client_state.epoch != epoch:
                return
            for outcome in outcomes:
                self._told(outcome)
            self._state_writer.changed()

    def _told(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Granted):
            self._local_seats.not_granted(outcome.want)
            self._tell(outcome)
        elif self._local_seats.holds(outcome.want.key):
            self._local_seats.granted(outcome)
        else:
            self._local_seats.asked_in_vain((outcome.want,))  # returned meanwhile, by a call that may have been faster

    def stop(self) -> None:
        """Cancel the work under way; the next run tells the master of the seats that are left."""
        if self._working is not None:
            self._working.cancel()

    async def _work(self) -> None:
        try:
            while self._client_state.state is State.CONNECTED and self._local_seats.numbers.unasked:
                async with self._turn:
                    await self.tell()
        except MasterError:
            pass  # the next renewal tries again
        finally:
            self._working = None
