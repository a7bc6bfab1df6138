"""To reach what may be lost: once an attempt has failed, one at a time for the whole process, and ever more rarely.

A server that comes back finds no crowd before its door, and one that is silent, and keeps what it cannot answer, is not
filled up with it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FIRST_WAIT_SECONDS = 0.25
_DOUBLINGS_MAX = 16


class StillLostError(ConnectionError):
    """The target was lost before, and now is not the time to try again; the cause is the failure of the
    last attempt.
    """

    def __init__(self, failure: BaseException, wait_seconds: float) -> None:
        super().__init__(f"{str(failure) or type(failure).__name__} (tried again in {wait_seconds:.1f} s)")
        self.wait_seconds = wait_seconds


class Attempts:
    """Attempts to reach one target. While attempts succeed, any number may run at once."""

    def __init__(
        self,
        *,
        wait_max_seconds: float,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """After the first failure the next attempt may follow at once, after the second soon, then up to
        `wait_max_seconds` later.
        """
        self._wait_max_seconds = wait_max_seconds
        self._now = now
        self._chance = chance
        self._failure: Exception | None = None
        self._in_a_row = 0
        self._due = 0.0
        self._is_under_way = False

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failure is not None

    def check(self) -> None:
        """Raise StillLostError if no attempt may be made now."""
        if self._failure is None:
            return
        wait_seconds = self._due - self._now()
        if self._is_under_way or wait_seconds > 0:
            raise StillLostError(self._failure, max(wait_seconds, 0.0)) from self._failure

    @contextmanager
    def attempt(self, *failures: type[BaseException]) -> Iterator[None]:
        """Make one attempt. The attempt has failed where one of `failures` leaves the context; another exception says
        nothing.
        Raises StillLostError if no attempt may be made now."""
        self.check()
        is_probe = self._is_under_way = self.failing
        try:
            yield
        except Exception as error:
            if isinstance(error, failures) and (is_probe or not self.failing):
                self._failed(error)
            raise
        else:
            self._failure, self._in_a_row = None, 0
        finally:
            if is_probe:
                self._is_under_way = False

    def _failed(self, error: Exception) -> None:
        self._failure = error.with_traceback(None)
        self._in_a_row += 1
        doublings = min(self._in_a_row - 2, _DOUBLINGS_MAX)
        wait_seconds = min(_FIRST_WAIT_SECONDS * 2.0**doublings, self._wait_max_seconds) if doublings >= 0 else 0.0
        self._due = self._now() + wait_seconds * (0.5 + self._chance() / 2)
