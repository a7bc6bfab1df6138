"""The clocks that the client reads, in one place, so that tests can replace them.

Decides: which of the machine's clocks counts for what. Nothing else in this package reads a clock.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from licensemaster.signing.verified_lease import ClockReading

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """The clocks that a client reads."""

    def now(self) -> float:
        """Return the time in seconds of a clock that never jumps and goes on while the machine sleeps."""

    def boot(self) -> str:
        """Return the name of the start of the machine that `now` counts from; empty where it is not known."""

    def wall(self) -> float:
        """Return the time in seconds since 1970 by the machine's wall clock, which may be wrong or be set."""

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds; return at once where it is 0 or less."""


class SystemClock:
    """The machine's own clocks.

    CLOCK_BOOTTIME rather than CLOCK_MONOTONIC where there is one: a lease must not last longer because the machine
    slept. A virtual machine that is paused by its host is not noticed by either; the master is, on the next renewal.
    """

    _SOURCE = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> float:
        """Return the time in seconds since the machine started, sleep included."""
        return time.clock_gettime(self._SOURCE)

    def boot(self) -> str:
        """Return the id that the kernel gave this start of the machine; empty where there is none."""
        return _boot_id()

    def wall(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds on the running event loop."""
        await asyncio.sleep(seconds)


def reading_of(clock: Clock) -> ClockReading:
    """Read all clocks."""
    return ClockReading(wall=clock.wall(), steady=clock.now(), boot=clock.boot())


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
