"""The network between a PBX and its masters, which a simulation can cut.

In production it is never cut here. A simulator, demo or test that wants an outage cuts it:
calls under way end as if the connection broke (their answers are lost, whatever the master did), new ones fail.
"""

from __future__ import annotations

from collections.abc import Callable


class NetworkSwitch:
    """The network to the masters, whole or cut; a cut breaks off the calls under way."""

    def __init__(self) -> None:
        self._whole = True
        self._cut_short: dict[int, Callable[[], object]] = {}
        self._last = 0

    @property
    def is_cut(self) -> bool:
        """True between `cut()` and `restore()`."""
        return not self._whole

    def cut(self) -> None:
        """Break every call under way, and let all calls fail until `restore()`."""
        self._whole = False
        for break_off in list(self._cut_short.values()):
            break_off()

    def restore(self) -> None:
        """Let calls through again."""
        self._whole = True

    def carry(self, break_off: Callable[[], object]) -> int:
        """Remember how to break off a call that is under way; return a ticket for `arrived`."""
        self._last += 1
        self._cut_short[self._last] = break_off
        return self._last

    def arrived(self, ticket: int) -> None:
        """Forget a call that ended."""
        self._cut_short.pop(ticket, None)
