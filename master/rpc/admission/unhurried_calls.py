"""Keeps calls in no hurry back, to serve them together (ADR 49).

A call that comes alone is served by code that has left the processor's caches since the call before; twenty calls that
are served one after the other share the loading of that code, and a commit. So such a call waits before its certificate
is checked and its message read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from master.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

METHODS: Final = frozenset({"licensemaster.v1.LeaseService/RenewLease"})
"""The methods that may be answered late: nobody waits for a renewal as long as the lease lasts."""
_SAYS: Final = "may-wait-seconds"
"""The metadata by which a call says how long its answer may be kept back."""
_SECONDS_MAX: Final = 10.0
_TOGETHER_MAX: Final = 32
"""The most calls that are kept back at a time: more would save little, and a call in a hurry would wait for them."""


class UnhurriedCalls:
    """Keeps calls back until the first of them is due, or 32 of them wait."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._due: asyncio.TimerHandle | None = None
        self._stopped = False

    async def wait(self, context: Context) -> None:
        """Keep a call back for the seconds in its metadata at most, and for no more than half the time to its deadline.
        Raises InvalidArgumentError if the metadata is no number from 0 to 10."""
        seconds = _seconds(context)
        if not seconds or self._stopped:
            return
        loop = asyncio.get_running_loop()
        served = loop.create_future()
        self._waiting.append(served)
        if len(self._waiting) >= _TOGETHER_MAX:
            self._serve()
        elif self._due is None or loop.time() + seconds < self._due.when():
            self._forget_due()
            self._due = loop.call_later(seconds, self._serve)
        await served

    def stop(self) -> None:
        """Serve the calls that wait, and keep no further call back."""
        self._stopped = True
        self._serve()

    def _serve(self) -> None:
        self._forget_due()
        waiting, self._waiting = self._waiting, []
        for served in waiting:
            if not served.done():  # its caller is still there
                served.set_result(None)

    def _forget_due(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def _seconds(context: Context) -> float:
    said = next((value for key, value in context.invocation_metadata() or () if key == _SAYS), 0)
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _SECONDS_MAX:
        raise InvalidArgumentError(_SAYS, f"{str(said)[:40]!r} must be a number from 0 to {_SECONDS_MAX:g}")
    left = context.time_remaining()
    return seconds if left is None else min(seconds, left / 2)
