"""A log whose lines are bounded, whatever others do."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

_CALLERS_MAX = 1_000
_SHARE = 5


class SparingLog:
    """A log of what others can cause as often as they like: a bounded number of lines of a kind in a time.

    Further lines are counted, and the next line of that kind says how many were left out. May be used from several
    threads.
    """

    def __init__(
        self,
        log: structlog.stdlib.BoundLogger,
        *,
        clock: Callable[[], float],
        lines_max: int,
        seconds: float,
        each: tuple[str, ...] = (),
    ) -> None:
        """`lines_max` is the most lines of one event in `seconds`, by `clock`.

        `each` names fields that tell apart who causes the event, and why: each combination of their values has
        `lines_max` lines, all together have five times as many, so that a frequent one hides no other.
        """
        self._log = log
        self._clock = clock
        self._lines_max = lines_max
        self._seconds = seconds
        self._each = each
        self._lock = threading.Lock()
        self._kinds: OrderedDict[tuple[str, ...], _Lines] = OrderedDict()
        """The lines of each kind; kinds whose time began first come first."""

    def info(self, event: str, **what: object) -> None:
        self._tell(self._log.info, event, what)

    def warning(self, event: str, **what: object) -> None:
        self._tell(self._log.warning, event, what)

    def error(self, event: str, **what: object) -> None:
        self._tell(self._log.error, event, what)

    def _tell(self, write: Callable[..., object], event: str, what: dict[str, object]) -> None:
        with self._lock:
            now = self._clock()
            kinds = [self._lines((event,), now)]
            limits = [self._lines_max]
            if self._each:
                kinds.append(self._lines((event, *(str(what.get(name)) for name in self._each)), now))
                limits = [_SHARE * self._lines_max, self._lines_max]
            if any(kind.written >= limit for kind, limit in zip(kinds, limits, strict=True)):
                for kind in kinds:
                    kind.left_out += 1
                return
            left_out = kinds[-1].left_out
            for kind in kinds:
                kind.written += 1
                kind.left_out = 0
        write(event, **what, **({"left_out": left_out} if left_out else {}))

    def _lines(self, key: tuple[str, ...], now: float) -> _Lines:
        lines = self._kinds.get(key)
        if lines is None:
            while len(self._kinds) >= _CALLERS_MAX and not self._lasts(next(iter(self._kinds.values())), now):
                self._kinds.popitem(last=False)
            if len(self._kinds) >= _CALLERS_MAX:
                key = (key[0], "others")
            lines = self._kinds.setdefault(key, _Lines())
        if not self._lasts(lines, now):
            lines.since, lines.written = now, 0
            self._kinds.move_to_end(key)
        return lines

    def _lasts(self, lines: _Lines, now: float) -> bool:
        return 0 <= now - lines.since < self._seconds


@dataclass(slots=True)
class _Lines:
    since: float = -math.inf
    written: int = 0
    left_out: int = 0
