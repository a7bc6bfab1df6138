"""Events of seats, states and notices, for readers; a reader that does not keep up is dropped. States and notices are
logged, too.

Decides: that nobody waits for a reader. Leaves to others: how events are written (`license_agent.http.event_stream`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from license_agent.views import Json, as_json, change_view
from slave_client import Notice, SeatChange, State, Want

_log = structlog.get_logger(__name__)
OnSeat = Callable[[Want, SeatChange], None]


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `data` has its details."""

    name: str
    data: Json


@dataclass(eq=False)
class Reader:
    """Events that wait for one reader."""

    waiting_max: int
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the reader is dropped: it is too far behind, or the agent ends."""
    is_behind: bool = False
    _waiting: deque[Event] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: Event) -> None:
        """Note an event for the reader; where too many wait, mark the reader as behind."""
        if len(self._waiting) < self.waiting_max:
            self._waiting.append(event)
            self._news.set()
        else:
            self.is_behind = True
            self.over.set()

    async def events(self, *, pause_seconds: float) -> AsyncIterator[Event | None]:
        """Yield every event as it comes, and None after each `pause_seconds` without an event."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            self._news.clear()
            try:
                async with asyncio.timeout(pause_seconds):
                    await self._news.wait()
            except TimeoutError:
                yield None


class EventHub:
    """Hands each event to every reader. Its methods are the callbacks of a client."""

    def __init__(self, *, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._readers: set[Reader] = set()
        self._listeners: list[OnSeat] = []
        self.dropped = 0
        """How many readers were dropped so far because they did not keep up."""

    @property
    def readers(self) -> int:
        return len(self._readers)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Give a reader of all events from now on, until the context ends."""
        reader = Reader(self._waiting_max)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self.dropped += reader.is_behind

    def listen(self, on_seat: OnSeat) -> None:
        """Have a callback called for each change of a seat, as the client would."""
        self._listeners.append(on_seat)

    def end(self) -> None:
        """End all readers."""
        for reader in self._readers:
            reader.over.set()

    def on_state(self, old: State, new: State, why: str) -> None:
        """Log a new state of the lease, and hand it to the readers; called by the client."""
        _log.info("the lease's state changed", old=old.value, new=new.value, why=why)
        self._tell("state", {"old": old.value, "state": new.value, "why": why})

    def on_seat(self, want: Want, change: SeatChange) -> None:
        """Hand the change of a seat to the listeners and readers; called by the client."""
        for listener in self._listeners:
            listener(want, change)
        if self._readers:
            self._tell("seat", change_view(change))

    def on_notice(self, notice: Notice) -> None:
        """Log a notice, and hand it to the readers; called by the client."""
        _log.warning("a notice", kind=notice.kind.value, message=notice.message)
        self._tell("notice", as_json(notice))

    def _tell(self, name: str, data: Json) -> None:
        for reader in self._readers:
            reader.tell(Event(name, data))
