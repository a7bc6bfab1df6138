"""How much one caller may ask, so that one mad PBX cannot starve the others: a token bucket and a count of streams.

Arithmetic only: the clock is handed in, any that only goes forward. Callers silent until their bucket was full again
are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class CallerLimitError(Exception):
    """A caller asks more than its share; it may come back after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """What each caller may do."""

    calls_per_second: float
    burst_seconds: float
    """For so long it may save up what it did not use."""
    streams_max: int


@dataclass(slots=True)
class _Bucket:
    calls: float
    at: float


class Shares:
    """What every caller has left."""

    def __init__(self, limits: CallerLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._full = max(limits.calls_per_second * limits.burst_seconds, 1.0)
        self._buckets: dict[str, _Bucket] = {}
        self._streams: dict[str, int] = {}
        self._swept_at = clock()

    def __len__(self) -> int:
        """Callers that are remembered."""
        return len(self._buckets)

    def take_call(self, caller: str) -> None:
        """One call more.

        Raises:
            CallerLimitError: too many of late; the call counts for nothing.
        """
        now, rate = self._clock(), self._limits.calls_per_second
        bucket = self._buckets.get(caller)
        if bucket is None:
            self._forget_the_silent(now)
            bucket = self._buckets[caller] = _Bucket(self._full, now)
        bucket.calls = min(self._full, bucket.calls + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.calls < 1:
            raise CallerLimitError(f"more than {rate:g} calls a second from this caller", (1 - bucket.calls) / rate)
        bucket.calls -= 1

    def open_stream(self, caller: str) -> None:
        """One stream more, until `close_stream`.

        Raises:
            CallerLimitError: it has as many as it may have.
        """
        found = self._streams.get(caller, 0)
        if found >= self._limits.streams_max:
            raise CallerLimitError(f"{found} streams of this caller are open; close one first", 5.0)
        self._streams[caller] = found + 1

    def close_stream(self, caller: str) -> None:
        """One stream less."""
        self._streams[caller] -= 1
        if not self._streams[caller]:
            del self._streams[caller]

    def _forget_the_silent(self, now: float) -> None:
        if now - self._swept_at < self._limits.burst_seconds:
            return
        self._swept_at = now
        ago = now - self._full / self._limits.calls_per_second
        for caller in [caller for caller, bucket in self._buckets.items() if bucket.at < ago]:
            del self._buckets[caller]
