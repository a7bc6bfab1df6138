"""How much one caller may ask, so that one mad PBX cannot starve the others: paces, and counts of what is open.

Arithmetic only: the clock is handed in, any that only goes forward. Callers are forgotten once what they had is paid.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from msgspec import Struct

from master.values import Value

COME_BACK_SECONDS = 0.25
"""In how many seconds a caller that has too much under way should come back."""
_STREAM_SECONDS = 5.0


class CallerLimitError(Exception):
    """A caller asks for more than its share; it may come back after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CallerLimits(Value):
    burst_seconds: float
    """For how many seconds a caller may save up what it did not use."""
    streams_max: int
    calls_max: int
    """Calls under way, calls included whose message is still to come or whose answer is still to be taken."""
    reads_max: int
    """Messages that are read at a time; further messages wait, and so do their senders."""
    bytes_per_second: float
    """Bytes of a caller's messages per second, once it has used up what it saved; further messages are read later."""
    bytes_max: int
    """Bytes of the messages of a caller's calls under way, once they are read. As many bytes of answers that the caller
    has yet to take, plus the one answer that exceeds the limit.
    """
    all_bytes_max: int
    """The same limit in bytes for all callers together."""


class _Open(Struct):
    reads: asyncio.Semaphore
    large: asyncio.Lock
    calls: int = 0
    bytes: int = 0
    answered: int = 0
    streams: int = 0


class Paces:
    """A pace per second for each key, and what was saved up; a key that has had more waits."""

    def __init__(
        self, *, per_second: float, burst_seconds: float, clock: Callable[[], float], wait_seconds_max: float = math.inf
    ) -> None:
        """At least one is always saved up. Whatever is taken, no key has to wait longer than `wait_seconds_max`."""
        self.per_second = per_second
        self._burst_seconds = max(burst_seconds, 1 / per_second)
        self._clock = clock
        self._wait_seconds_max = wait_seconds_max
        self._paid: dict[Hashable, float] = {}
        """When what each key has had will be paid for."""
        self._forget_at = 0
        """At how many keys those that are paid are forgotten: twice as many as were left the last time."""

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._paid)

    def wait_seconds(self, key: Hashable) -> float:
        """Return how many seconds a key waits until what it took is paid for, except for what was saved up."""
        return max(self._paid.get(key, 0.0) - self._clock() - self._burst_seconds, 0.0)

    def take(self, key: Hashable, count: float) -> None:
        """Record that `count` was taken from a key's pace."""
        now = self._clock()
        if key not in self._paid and len(self._paid) >= self._forget_at:
            self._paid = {payer: at for payer, at in self._paid.items() if at > now}
            self._forget_at = 2 * len(self._paid)
        paid = max(self._paid.get(key, 0.0), now) + count / self.per_second
        self._paid[key] = min(paid, now + self._burst_seconds + self._wait_seconds_max)


class Share:
    """What one call has of its caller's share, until the call's answer was taken."""

    def __init__(self, shares: Shares, caller: str, counts: _Open) -> None:
        self._shares = shares
        self._caller = caller
        self._counts = counts
        self._bytes = self._answered = 0
        self._calls, self._streams = 1, 0
        counts.calls += 1
        self.large = counts.large
        """Held while a large message is served: other large messages of the caller stay unparsed until then."""

    def bring(self, count: int) -> None:
        """Record how many bytes the message of the call has.
        Raises CallerLimitError if the caller, or all callers, bring too many bytes at a time; the record stays as it
        was."""
        self._shares._weigh(self._caller, count - self._bytes)
        self._bytes = count

    def answer(self, count: int) -> None:
        """Record how many bytes the caller is answered; earlier answers of a stream were taken.
        Raises CallerLimitError if the caller was answered too much that it has not taken; this answer is not counted.
        """
        self._counts.answered -= self._answered
        self._answered = 0
        self._shares._check_answered(self._counts)
        self._counts.answered += count
        self._answered = count

    def become_stream(self) -> None:
        """Count the call as a stream from now on.
        Raises CallerLimitError if the caller has as many streams as it may have; the call is counted as before."""
        streams = self._counts.streams
        if streams >= self._shares._limits.streams_max:
            raise CallerLimitError(f"{streams} streams of this caller are open; close one first", _STREAM_SECONDS)
        self._counts.calls -= 1
        self._counts.streams += 1
        self._calls, self._streams = 0, 1

    def close(self) -> None:
        """Give back the call's whole share: the call is over, and its answer taken or lost."""
        self.bring(0)
        self._counts.answered -= self._answered
        self._counts.calls -= self._calls
        self._counts.streams -= self._streams
        self._answered = self._calls = self._streams = 0
        self._shares._forget(self._caller)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Wait until a message may be read: a caller's messages at a time and bytes per second are limited."""
        async with self._counts.reads:
            if seconds := self._shares._paces.wait_seconds(self._caller):
                await asyncio.sleep(seconds)
            yield


class Shares:
    """The calls, streams and bytes that are left to each caller."""

    def __init__(self, limits: CallerLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._paces = Paces(per_second=limits.bytes_per_second, burst_seconds=limits.burst_seconds, clock=clock)
        self._open: dict[str, _Open] = {}
        self._bytes = 0

    def call(self, caller: str) -> Share:
        """Count a call of a caller until its share is closed.
        Raises CallerLimitError if the caller has as many calls as it may, or was answered too much that it has not
        taken."""
        counts = self._of(caller)
        if counts.calls >= self._limits.calls_max:
            raise CallerLimitError(f"{counts.calls} calls of this caller are under way", COME_BACK_SECONDS)
        self._check_answered(counts)
        return Share(self, caller, counts)

    def _check_answered(self, counts: _Open) -> None:
        if counts.answered >= self._limits.bytes_max:
            problem = f"{counts.answered} bytes that this caller was answered are not taken; read them first"
            raise CallerLimitError(problem, COME_BACK_SECONDS)

    def _weigh(self, caller: str, more: int) -> None:
        counts, limits = self._open[caller], self._limits
        if more > 0:
            self._paces.take(caller, more)
        if more > 0 and counts.bytes + more > limits.bytes_max:
            raise CallerLimitError(f"{counts.bytes} bytes of this caller's are under way", COME_BACK_SECONDS)
        if more > 0 and self._bytes + more > limits.all_bytes_max:
            raise CallerLimitError("too many large requests at a time", COME_BACK_SECONDS)
        counts.bytes += more
        self._bytes += more

    def _of(self, caller: str) -> _Open:
        counts = self._open.get(caller)
        if counts is None:
            counts = self._open[caller] = _Open(asyncio.Semaphore(self._limits.reads_max), asyncio.Lock())
        return counts

    def _forget(self, caller: str) -> None:
        counts = self._open[caller]
        if not counts.calls and not counts.streams:
            del self._open[caller]
