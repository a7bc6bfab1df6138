"""Calls the PBX's callbacks, and keeps errors of the PBX's own code away from the client.

Decides: nothing but the order: log first, then the callback. What a callback raises is logged and goes no further.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from slave_client.values.notices import Notice
from slave_client.values.seats import SeatChange, Want
from slave_client.values.states import State

_log = logging.getLogger("slave_client")

OnState = Callable[[State, State, str], None]
"""Called with the old state, the new one, and why."""
OnSeat = Callable[[Want, SeatChange], None]
"""Called with a seat and the change of that seat."""
OnNotice = Callable[[Notice], None]
"""Called once for each notice, and again only after the notice had gone."""


class Callbacks:
    """The callbacks of one client, any of which may be missing."""

    def __init__(
        self, pbx: str, *, on_state: OnState | None, on_seat: OnSeat | None, on_notice: OnNotice | None
    ) -> None:
        self._pbx = pbx
        self._on_state = on_state
        self._on_seat = on_seat
        self._on_notice = on_notice

    def state(self, old: State, new: State, why: str) -> None:
        _log.info("%s: %s -> %s: %s", self._pbx, old.value, new.value, why)
        if self._on_state is not None:
            self._call(self._on_state, old, new, why)

    def seat(self, change: SeatChange) -> None:
        """Call `on_seat` with the change of a seat."""
        if self._on_seat is not None:
            self._call(self._on_seat, change.want, change)

    def notice(self, notice: Notice) -> None:
        _log.warning("%s: %s: %s", self._pbx, notice.kind.value, notice.message)
        if self._on_notice is not None:
            self._call(self._on_notice, notice)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            _log.exception("%s: a callback failed", self._pbx)
