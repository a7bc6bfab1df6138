"""Calls in no hurry are kept back, to be served together (ADR 49).

A call that comes alone is served by code that has left the processor's caches since the one before; twenty that are
served one after the other share that, and a commit. So the wait is the first thing that such a call does: before
anybody looks at its certificate, or reads its message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from master.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

METHODS: Final = frozenset({"licensemaster.v1.LeaseService/RenewLease"})
"""What nobody waits for, as long as the lease lasts."""
_SAYS: Final = "may-wait-seconds"
"""The metadata by which a call says how long its answer may be kept back."""
_SECONDS_MAX: Final = 10.0
_TOGETHER_MAX: Final = 32
"""More at once save little, and whoever is in a hurry would wait for all of them."""


class UnhurriedCalls:
    """Keeps calls back until the first of them is due, or enough of them wait."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._due: asyncio.TimerHandle | None = None
        self._stopped = False

    async def wait(self, context: Context) -> None:
        """Keep a call back for as long as it says at most, and no longer than half of what is left of its deadline.

        Raises:
            InvalidArgumentError: what it says is no number of seconds, or too many.
        """
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
