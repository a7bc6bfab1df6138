"""A log that is never a flood, whatever others do."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog


class SparingLog:
    """A log of what others can cause as often as they like: so many lines of a kind in a while, the rest only counted.

    The next line of that kind says how many were left out. May be used from several threads.
    """

    def __init__(
        self, log: structlog.stdlib.BoundLogger, *, clock: Callable[[], float], lines_max: int, seconds: float
    ) -> None:
        """At most `lines_max` lines of one event in `seconds`, by `clock`."""
        self._log = log
        self._clock = clock
        self._lines_max = lines_max
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kinds: dict[str, _Lines] = {}

    def info(self, event: str, **what: object) -> None:
        """What is to be known."""
        self._tell(self._log.info, event, what)

    def warning(self, event: str, **what: object) -> None:
        """What is to be looked at."""
        self._tell(self._log.warning, event, what)

    def error(self, event: str, **what: object) -> None:
        """What is to be repaired."""
        self._tell(self._log.error, event, what)

    def _tell(self, write: Callable[..., object], event: str, what: dict[str, object]) -> None:
        with self._lock:
            now, kind = self._clock(), self._kinds.setdefault(event, _Lines())
            if not 0 <= now - kind.since < self._seconds:
                kind.since, kind.told = now, 0
            if kind.told >= self._lines_max:
                kind.left_out += 1
                return
            kind.told += 1
            left_out, kind.left_out = kind.left_out, 0
        write(event, **what, **({"left_out": left_out} if left_out else {}))


@dataclass(slots=True)
class _Lines:
    since: float = -math.inf
    told: int = 0
    left_out: int = 0
