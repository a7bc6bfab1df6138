"""The seats of another PBX that this one carries as its standby: one takeover at a time, over restarts.

Decides: that a takeover outlives this process, and when it is over. Leaves to others: whether it is allowed
(`SlaveClient.take_over`), who is answered with whose seat (`license_agent.agent`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from licensemaster.files.texts import FileError, read_text
from licensemaster.files.writer import write_file
from slave_client import LossCause, Lost, SeatChange, SlaveClient, State, TakeoverError, Want

_log = structlog.get_logger(__name__)
_FILE: Final = "takeover"


@dataclass(frozen=True, slots=True)
class TakeoverRequest:
    """The PBX to take over for, and why; `force` does not wait for evidence that the other PBX is gone."""

    primary: str
    reason: str = ""
    force: bool = False


class Takeover:
    """The takeover of an agent; `own` is its PBX's client, `on_seat` is called for the seats of the PBX carried."""

    def __init__(
        self, own: SlaveClient, folder: Path, *, wait_seconds: float, on_seat: Callable[[Want, SeatChange], None]
    ) -> None:
        self._own, self._file, self._wait_seconds = own, folder / _FILE, wait_seconds
        self._on_seat = on_seat
        self._carrying: SlaveClient | None = None
        self._turn = asyncio.Lock()

    @property
    def client(self) -> SlaveClient | None:
        """The client of the PBX that is carried; None where none is carried, or that PBX is back."""
        return None if self._carrying is None or self._carrying.state.is_final else self._carrying

    async def begin(self, request: TakeoverRequest) -> SlaveClient:
        """Take over for a PBX, without a master by the standby lease; safe to repeat.
        Raises TakeoverError if the takeover is refused, or another PBX is carried, ConfigError if `request.primary` is
        no name of a PBX."""
        primary = replace(self._own.config, pbx=request.primary).pbx
        async with self._turn:
            before = self.client
            if before is not None and before.config.pbx != primary:
                raise TakeoverError(f"{before.config.pbx} is carried already")
            self._carrying = carrying = await self._own.take_over(
                primary,
                reason=request.reason,
                force=request.force,
                wait_seconds=self._wait_seconds,
                on_state=partial(self._on_state, primary),
                on_seat=self._on_seat,
            )
            self._remember(primary)
            return carrying

    async def end(self) -> None:
        """End the takeover: the seats stay the other PBX's, for its return, and their holders here lose them."""
        async with self._turn:
            carrying, self._carrying = self.client, None
            self._forget()
            if carrying is None:
                return
            held = carrying.held
            await carrying.stop()
            for seat in held:
                lost = Lost(want=seat.want, cause=LossCause.HANDED_BACK, message="handed back")
                self._on_seat(seat.want, lost)

    async def resume(self) -> None:
        """Take over again for the PBX that was carried when the agent ended."""
        try:
            primary = read_text(self._file).strip()
        except FileError:
            return
        try:
            await self.begin(TakeoverRequest(primary, "the agent was started again"))
        except (TakeoverError, ValueError) as error:
            _log.warning("the takeover is not carried on", primary=primary, reason=str(error))
            self._forget()

    def _on_state(self, primary: str, old: State, new: State, why: str) -> None:
        stands = "a PBX is carried" if new.has_seats else "a PBX is not carried"
        _log.info(stands, primary=primary, old=old.value, state=new.value, why=why)
        if new is State.FENCED:
            self._forget()

    def _remember(self, primary: str) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._file, primary.encode())
        except OSError as error:
            _log.error("the takeover will not outlive this process", reason=str(error))

    def _forget(self) -> None:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            _log.error("a takeover that is over cannot be forgotten", reason=str(error))
