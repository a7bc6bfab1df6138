"""Decides registrations for one Kamailio: a seat for each address of record, however many contacts it has (E3).

Decides: what a refusal is in SIP; when a seat goes back; that seats and `ul.dump` agree in the end, whoever died in
between. Leaves to others: the seats (`license_agent.agent`), what happens while the agent is away (license.cfg).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import structlog

from license_agent.agent import Agent, TooManyWaitingError
from license_agent.kamailio.locations import Locations, LocationsError
from license_agent.kamailio.netstrings import message, read_message
from license_agent.settings import AgentSettings
from licensemaster.values import address
from slave_client import Granted, HolderKind, LossCause, Lost, Reason, Refused, SeatChange, Want

_log = structlog.get_logger(__name__)
_AGAIN_SECONDS: Final = 1.0
_LATER: Final = frozenset({Reason.OFFLINE, Reason.NO_LEASE, Reason.NO_ANSWER, Reason.CLOSED, Reason.LEARNING})
_DETAIL_MAX: Final = 200


class Registrar:
    """Serves one Kamailio over its evapi, from `run` on."""

    def __init__(self, settings: AgentSettings, agent: Agent) -> None:
        assert settings.kamailio is not None
        self._settings, self._agent = settings, agent
        self._at = address(settings.kamailio)
        self._locations = Locations(settings.kamailio_rpc)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: set[str] = set()
        """Holders that asked since the last comparison began: their contact may not be there yet."""
        agent.events.listen(self._on_seat)

    async def run(self) -> None:
        """Serve until cancelled; while Kamailio is away, try again and again."""
        is_told = False
        try:
            while True:
                try:
                    reader, writer = await asyncio.open_connection(self._at.host, self._at.port)
                except OSError as error:
                    if not is_told:
                        _log.warning("Kamailio is not there; trying again", evapi=str(self._at), reason=str(error))
                    is_told = True
                else:
                    is_told = False
                    _log.info("Kamailio is there", evapi=str(self._at))
                    await self._serve(reader, writer)
                await asyncio.sleep(_AGAIN_SECONDS)
        finally:
            await self._locations.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        comparing = asyncio.create_task(self._compare_repeatedly())
        try:
            while True:
                self._start(self._answer(await read_message(reader), writer))
        except (EOFError, OSError, ValueError, asyncio.LimitOverrunError) as error:
            _log.warning("Kamailio has gone", reason=str(error))
        finally:
            comparing.cancel()
            writer.close()

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a message of Kamailio's failed", exc_info=error)

    async def _answer(self, said: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        try:
            want = self._want(bytes.fromhex(said["holder"]).decode())
        except (KeyError, TypeError, ValueError) as error:
            if said.get("event") == "register":
                await self._decide(said, writer, 403, "Bad Address of Record", str(error), 0)
            return
        if said.get("event") == "gone":
            await self._give_back_if_gone(want)
        elif said.get("event") == "register":
            self._asked.add(want.holder)
            retry = self._settings.retry_after_seconds
            try:
                outcome = await self._agent.acquire(want)
            except TooManyWaitingError:
                await self._decide(said, writer, 503, "License Agent Busy", "too many wait", retry)
                return
            if isinstance(outcome, Granted):
                await self._decide(said, writer, 200, "OK", "", 0)
            elif outcome.reason in _LATER:
                await self._decide(said, writer, 503, f"No License Now: {outcome.reason.value}", outcome.message, retry)
            else:
                retry = self._settings.kamailio_retry_after_seconds
                await self._decide(said, writer, 403, f"No License: {outcome.reason.value}", outcome.message, retry)

    @staticmethod
    async def _decide(
        said: dict[str, Any], writer: asyncio.StreamWriter, code: int, reason: str, detail: str, retry_after: int
    ) -> None:
        shown = "".join(one for one in detail if " " <= one <= "~" and one not in '"\\')[:_DETAIL_MAX]
        with suppress(OSError):  # Kamailio has gone: its transaction ends by itself
            writer.write(
                message(
                    index=said.get("index"),
                    label=said.get("label"),
                    code=code,
                    reason=reason,
                    detail=shown,
                    retry_after=retry_after,
                )
            )
            await writer.drain()

    def _want(self, holder: str) -> Want:
        return Want(self._settings.kamailio_license_type, HolderKind.USER, holder)

    async def _give_back_if_gone(self, want: Want) -> None:
        """Return a seat whose last contact has gone."""
        try:
            if not await self._locations.has_contacts(want.holder):
                await self._agent.give_back(want)
        except (LocationsError, TooManyWaitingError) as error:
            _log.info("a seat is looked at later", holder=want.holder, reason=str(error))

    # Both sides agree in the end.

    async def _compare_repeatedly(self) -> None:
        while True:
            try:
                await self.compare()
            except (LocationsError, ValueError) as error:  # a name in ul.dump that no seat can have
                _log.warning("seats and ul.dump could not be compared", reason=str(error))
            await asyncio.sleep(self._settings.kamailio_compare_seconds)

    async def compare(self) -> None:
        """Return seats without a contact, acquire those of contacts without a seat, remove contacts that get none."""
        self._asked.clear()
        license_type = self._settings.kamailio_license_type
        held = [
            seat.want
            for seat in self._agent.client.held
            if seat.want.license_type == license_type and seat.want.holder_kind is HolderKind.USER
        ]
        registered = await self._locations.holders()
        here = registered | self._asked
        await self._agent.client.return_seats([want for want in held if want.holder not in here])
        missing = registered - {want.holder for want in held}
        outcomes = await self._agent.client.acquire_many([self._want(holder) for holder in sorted(missing)])
        for outcome in outcomes:
            if isinstance(outcome, Refused) and outcome.reason not in _LATER:
                await self._locations.remove(outcome.want.holder)

    def _on_seat(self, want: Want, change: SeatChange) -> None:
        """Remove the contacts of a phone whose seat was taken away; what an end of the lease took is wanted still."""
        if isinstance(change, Lost) and change.cause in (LossCause.REVOKED, LossCause.FENCED):
            self._start(self._remove(want.holder))

    async def _remove(self, holder: str) -> None:
        try:
            await self._locations.remove(holder)
        except LocationsError as error:
            _log.warning("contacts stay", holder=holder, reason=str(error))
