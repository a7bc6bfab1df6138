"""Takes up the seats that the master hands on to this PBX, which waited for them.

Decides: what is asked again. The master tells what is waited for and what it has handed on, and repeats it until it is
settled. A seat that was handed on is acquired again, which tells how it is held; one that nobody here waits for is
returned. What is waited for here and not there is asked for again, so that it is known why not. The master names
types by their catalog keys and this PBX perhaps by their printed names, so what is not found by its key is taken for
another one of its holder's, as many as there are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from slave_client.client_parts import ClientParts
from slave_client.values.notices import Notice, NoticeKind
from slave_client.values.seats import Outcome, ReturnOutcome, SeatKey, Want
from slave_client.values.states import State

_NAMED_MAX = 1000
"""The most seats that a notice names; nothing is known of the seats that were left out."""


class AwaitedSeats:
    """Settles the seats that one client waits for; `acquire` and `give_back` ask the master."""

    def __init__(
        self,
        parts: ClientParts,
        *,
        acquire: Callable[[Sequence[Want]], Awaitable[list[Outcome]]],
        give_back: Callable[[Sequence[Want]], Awaitable[list[ReturnOutcome]]],
    ) -> None:
        self._local_seats, self._client_state = parts.local_seats, parts.client_state
        self._acquire = acquire
        self._give_back = give_back
        self._working: set[asyncio.Task[None]] = set()

    def told(self, notices: Iterable[Notice]) -> None:
        """Update the places of awaited seats by notices; acquire seats handed on, return those that nobody awaits."""
        by_kind = {notice.kind: notice for notice in notices}
        handed_on, awaited = (by_kind.get(kind) for kind in (NoticeKind.SEATS_HANDED_ON, NoticeKind.SEATS_AWAITED))
        named = handed_on.seats if handed_on is not None else ()
        places = dict(zip(awaited.seats, awaited.places, strict=False)) if awaited is not None else {}
        waiting = self._local_seats.awaited
        if not waiting and not named:
            return
        counted, here = (Counter(key[1:] for key in keys) for keys in (places, (want.key for want in waiting)))
        handed = {key[1:] for key in named}
        is_whole = len(places) < _NAMED_MAX
        self._local_seats.move_up(places | {key[1:]: place for key, place in places.items() if counted[key[1:]] == 1})
        again = [
            want
            for want in waiting
            if want.key not in places
            and ((name := want.key[1:]) in handed or (is_whole and counted[name] < here[name]))
        ]
        unknown = [key for key in named if key[1:] not in here and not self._local_seats.holder_has_seat(key.holder)]
        if again or unknown:
            task = asyncio.create_task(self._settle(again, unknown))
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    def stop(self) -> None:
        """Cancel the work under way; the master repeats its notices in the next run."""
        for task in self._working:
            task.cancel()

    async def _settle(self, again: Sequence[Want], unknown: Sequence[SeatKey]) -> None:
        if self._client_state.state is State.CONNECTED and again:
            await self._acquire([want for want in again if self._local_seats.awaits(want.key)])
        if self._client_state.state is State.CONNECTED and unknown:
            await self._give_back([Want(*key) for key in unknown])
