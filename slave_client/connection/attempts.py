"""Attempts to connect: one at a time to each master, for all clients of a process, with growing, jittered pauses.

Many attempts do not find an absent master sooner; when it is back, one attempt shows that to all clients. Decides:
who may try, who waits for what that brings, and who is told at once that it was tried a moment ago. Leaves to others:
what is attempted, and when each of them comes again (`lease_keeper`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Final

from slave_client.connection.backoff import Backoff

_PAUSE_SECONDS_MAX: Final = 2.0


class AttemptOutcome(Enum):
    CONNECTED = "connected"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    """Nothing is known, because the attempt was cancelled."""


class TriedJustNowError(Exception):
    """Raised instead of an attempt, because this process made one a moment ago; the text says why that one failed."""


@dataclass(slots=True)
class _AddressState:
    """What is known of the attempts at one address."""

    failures: int = 0
    not_before: float = 0.0
    said: str = ""
    trying: Future[AttemptOutcome] | None = None


class Attempts:
    """The attempts of one process; may be used from several event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, _AddressState] = {}

    async def begin(self, address: str) -> bool:
        """Wait until it is known whether to try an address: return True where the caller has to try and then call
        `end`, and False where another caller has just connected.
        Raises TriedJustNowError if an attempt failed a moment ago, or while this caller waited for it."""
        while (waiting := self._enter(address)) is not None:
            outcome = await asyncio.shield(asyncio.wrap_future(waiting))
            if outcome is AttemptOutcome.CONNECTED:
                return False
            if outcome is AttemptOutcome.FAILED:
                raise TriedJustNowError(self._states[address].said)
        return True

    def end(self, address: str, outcome: AttemptOutcome, *, pauses: Backoff, said: str = "") -> None:
        """Report the outcome of an attempt; `pauses` gives the pause before the next one after repeated failures."""
        with self._lock:
            state = self._states[address]
            trying, state.trying = state.trying, None
            if outcome is AttemptOutcome.CONNECTED:
                state.failures = 0
            elif outcome is AttemptOutcome.FAILED:
                state.failures += 1
                longest = min(pauses.ceiling_seconds(state.failures), _PAUSE_SECONDS_MAX)
                state.not_before = time.monotonic() + pauses.chance.uniform(longest / 2, longest)
                state.said = said
        if trying is not None:
            trying.set_result(outcome)

    def _enter(self, address: str) -> Future[AttemptOutcome] | None:
        """Return the attempt under way, to be waited for; None where the caller has to make the attempt."""
        with self._lock:
            state = self._states.setdefault(address, _AddressState())
            if state.trying is not None:
                return state.trying
            if state.failures and time.monotonic() < state.not_before:
                raise TriedJustNowError(state.said)
            state.trying = Future()
            return None


OF_THIS_PROCESS: Final = Attempts()
