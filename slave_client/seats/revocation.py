"""Gives up the seats that an operator takes away (rule L5): stops using them, and returns them to the master.

Decides: in which order. A seat that was taken away is lost first, then on disk as given up, and only then does the
master hear that it is not used any more, for from that moment on it may lend it to somebody else. Running and emergency
calls go on (`calls`). What is not held here is given back all the same: the master counts it until it hears.
The master names types by their catalog keys and this PBX perhaps by their printed names; a seat that is not found under
its name is therefore looked for among what else its holder uses, by asking for that again.

One thing at a time changes the local seats, so all this waits for its turn. A seat that was being acquired when it
was taken away is among them by then and is lost right after. Nothing is remembered here beyond one try: the master
repeats what it took away until it has it back, and `reconciliation` gives back what was given up here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import MasterError
from slave_client.seats.retry import Retry
from slave_client.storage.state_writer import StateWriter
from slave_client.values.seats import LossCause, Lost, Outcome, Reason, Refused, SeatKey, Want
from slave_client.values.states import State


class Revoker:
    """Gives up, for one client, the seats that the master took away.

    `turn` is the seat manager's lock: its owner may change the local seats. `look_again` asks for a renewal, whose
    answer names the other seats taken away. `tell` is called with each seat that is lost.
    """

    def __init__(
        self,
        parts: ClientParts,
        *,
        state_writer: StateWriter,
        retry: Retry,
        turn: asyncio.Lock,
        look_again: Callable[[], None],
    ) -> None:
        self._tell = parts.tell
        self._local_seats, self._client_state, self._masters = parts.local_seats, parts.client_state, parts.masters
        self._state_writer = state_writer
        self._retry = retry
        self._turn = turn
        self._look_again = look_again
        self._named: dict[SeatKey, str] = {}
        """The seats to be given back, each with the master's message."""
        self._last: set[SeatKey] = set()
        self._working: asyncio.Task[None] | None = None

    def note_revoked(self, seats: Iterable[SeatKey], message: str) -> None:
        """Note seats that the master took away; they are given up at the next turn."""
        self._named.update(dict.fromkeys(seats, message))
        if self._named and self._working is None:
            self._working = asyncio.create_task(self._work())

    def refused(self, outcomes: Iterable[Outcome]) -> None:
        """Note seats that were refused as REVOKED: the master waits until they are given back."""
        for outcome in outcomes:
            if isinstance(outcome, Refused) and outcome.reason is Reason.REVOKED:
                self.note_revoked((outcome.want.key,), outcome.message)

    def lose(self) -> None:
        """Stop using the seats noted so far. The caller has the turn, and writes the local seats to disk afterwards."""
        self._lose(self._named)

    def stop(self) -> None:
        """Cancel the work under way; the master repeats its notices in the next run."""
        if self._working is not None:
            self._working.cancel()

    async def _work(self) -> None:
        try:
            while self._named:
                async with self._turn:
                    named, self._named = self._named, {}
                    await self._give_up(named)
        except MasterError:
            pass  # the master repeats it
        finally:
            self._working = None

    async def _give_up(self, named: dict[SeatKey, str]) -> None:
        """Stop using seats and give them back; raises MasterError where the master may not have been told."""
        unknown = self._lose(named)
        await self._state_writer.save_now()
        epoch = self._client_state.epoch
        if epoch is None or self._client_state.state is not State.CONNECTED:
            return  # what lies idle is reconciled first
        if suspects := self._local_seats.beside(unknown):
            elsewhere = await self._asked_again(epoch, suspects)
            self._lose(elsewhere)
            await self._state_writer.save_now()
            named |= elsewhere
        await self._return(epoch, [Want(*key) for key in named])
        if self._last != set(named):  # else nothing moves: the next renewal is soon enough
            self._last = set(named)
            self._look_again()

    def _lose(self, named: dict[SeatKey, str]) -> Collection[SeatKey]:
        """Stop using seats; return the names under which no seat is in use here."""
        lost = self._local_seats.taken_away(named)
        for held in lost:
            self._tell(Lost(want=held.want, cause=LossCause.REVOKED, message=named[held.counted_as]))
        return named.keys() - {held.counted_as for held in lost}

    async def _asked_again(self, epoch: int, wants: Sequence[Want]) -> dict[SeatKey, str]:
        """Ask for seats in use again; return the refused ones by this PBX's names, each with the master's message."""
        gone: dict[SeatKey, str] = {}
        for outcome in await self._retry.repeat(epoch, partial(self._masters.acquire_seats, epoch, wants)):
            if isinstance(outcome, Refused):
                gone[outcome.want.key] = outcome.message
            elif self._client_state.epoch == epoch:
                self._local_seats.granted(outcome)
        return gone

    async def _return(self, epoch: int, wants: Sequence[Want]) -> None:
        """Give seats back to the master. The master goes on naming a seat that depends on others (rule H5)."""
        for outcome in await self._retry.repeat(epoch, partial(self._masters.return_seats, epoch, wants)):
            if not isinstance(outcome, Refused) and self._client_state.epoch == epoch:
                self._local_seats.taken_back(outcome.want)
