"""How long a call under a lease is repeated, and what its failures say about the lease.

Decides: a call is repeated while a master is thought to answer and time is left, after the delay that the master asks
for and a jittered pause. A master that does not answer, or has no database, is left for the next address at once. What
is said of a lease that was replaced meanwhile concerns nobody.
Leaves to others: whether a master answers (`check_connection`, of the `lease_keeper`), and what a final failure means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import LEASE_EVENTS, FailureKind, MasterError
from slave_client.values.states import State

Response = TypeVar("Response")


class Retry:
    """Repeats calls under the lease of one client.

    `check_connection` has the lease keeper try the masters, and waits until that is done.
    """

    def __init__(self, parts: ClientParts, *, check_connection: Callable[[], Awaitable[None]]) -> None:
        self._give_up_after_seconds = parts.config.give_up_after_seconds
        self._masters, self._client_state = parts.masters, parts.client_state
        self._clock, self._backoff = parts.clock, parts.backoff
        self._check_connection = check_connection

    async def judged(self) -> None:
        """Wait for the first attempt to get a lease, `give_up_after_seconds` at most."""
        if not self._client_state.judged.is_set():
            try:
                async with asyncio.timeout(self._give_up_after_seconds):
                    await self._client_state.judged.wait()
            except TimeoutError:
                return

    async def repeat(self, epoch: int, attempt: Callable[[], Awaitable[Response]]) -> Response:
        """Repeat a call under the lease with this epoch until it succeeds; raises the last MasterError."""
        deadline = self._clock.now() + self._give_up_after_seconds
        failures = 0
        while True:
            try:
                return await attempt()
            except MasterError as failure:
                failures += 1
                if self._client_state.epoch != epoch:
                    raise MasterError(FailureKind.LEASE_ENDED, "the lease ended meanwhile") from failure
                if event := LEASE_EVENTS.get(failure.kind):
                    self._client_state.happened(event, str(failure))
                if failure.is_local:
                    self._masters.move_on(failure.address)
                if failure.kind is FailureKind.UNREACHABLE and self._client_state.state is State.CONNECTED:
                    await self._check_connection()
                others_left = failure.is_local and failures < self._masters.count
                pause = self._backoff.pause_seconds(failures, 0.0 if others_left else failure.retry_after_seconds)
                if not self._worth_repeating(failure, deadline - pause):
                    raise
                await self._clock.sleep(pause)

    def _worth_repeating(self, failure: MasterError, deadline: float) -> bool:
        return (
            failure.kind in (FailureKind.UNREACHABLE, FailureKind.BUSY)
            and self._client_state.state is State.CONNECTED
            and self._clock.now() < deadline
        )
