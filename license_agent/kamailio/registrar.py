"""Decides registrations for one Kamailio: a seat for each address of record, however many contacts it has (E3).

Decides: what a refusal is in SIP; when a seat goes back; that seats and `ul.dump` agree in the end, whoever died in
between. Leaves to others: the seats (`license_agent.agent`), which one an address of record needs
(`license_agent.seat_rules`), what happens while the agent is away (license.cfg).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, KeysView, Sequence
from itertools import takewhile
from time import monotonic
from typing import Any, Final

import structlog

from license_agent.agent import Agent, TooManyWaitingError
from license_agent.kamailio.evapi import EvapiConnection
from license_agent.kamailio.locations import AS_BYTES, Locations, LocationsError
from license_agent.kamailio.lost_contacts import LostContacts
from license_agent.kamailio.netstrings import MARK
from license_agent.seat_rules import seat_of
from license_agent.settings import AgentSettings
from license_agent.views import UNDECIDED
from licensemaster.values import address
from slave_client import Granted, LossCause, Lost, NoticeKind, Outcome, Refused, SeatChange, Want

_log = structlog.get_logger(__name__)
_AGAIN_SECONDS: Final = 1.0
_DETAIL_MAX: Final = 200
_NOT_SHOWN: Final = '"\\' + MARK
_HEARD: Final = 100
"""The code that acknowledges a message without a transaction."""
_ANSWERED_SECONDS: Final = 20.0
"""Seconds for which a holder that asked counts as present; longer than Kamailio waits for an answer."""
_REOPENING_SECONDS: Final = 5.0
"""Seconds before contacts of an expired lease's seats are removed: a new lease mostly brings the seats back first."""

_LOOKS_AT_ONCE: Final = 16
"""The most questions to Kamailio at a time whether a contact has gone: a phone may leave as often as it likes."""

_Transaction = Sequence[str]
"""Kamailio's index and label of a REGISTER that waits."""


class Registrar:
    """Serves one Kamailio over its evapi, from `run` on."""

    def __init__(self, settings: AgentSettings, agent: Agent) -> None:
        secret = settings.secret()
        assert settings.kamailio is not None
        assert secret is not None
        self._settings, self._agent = settings, agent
        self._rules = settings.seat_rules
        self._at = address(settings.kamailio)
        self._token = secret.decode()
        self._locations = Locations(settings.kamailio_rpc, self._token)
        self._lost = LostContacts(self._locations, self._is_licensed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[str, float] = {}
        """When each holder asked last; a recent holder's contact may not be in Kamailio yet."""
        self._have_asked(held.want.holder for held in agent.held)  # perhaps just before this agent was started again
        self._leaving: dict[Want, float] = {}
        """When each seat's last contact went, as Kamailio said last, until the look whether it did begins."""
        self._looks = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self._acquiring = 0
        self._may_acquire, self._is_quiet = asyncio.Event(), asyncio.Event()
        self._may_acquire.set()
        self._is_quiet.set()
        agent.events.listen(self._on_seat)

    async def run(self) -> None:
        """Serve Kamailio until cancelled; while it cannot be reached, try again every second."""
        is_told = False
        try:
            while True:
                try:
                    connection = await EvapiConnection.open(
                        self._at, unanswered_max=self._settings.asks_waiting_max, token=self._token
                    )
                except OSError as error:
                    if not is_told:
                        _log.warning("Kamailio is not there; trying again", evapi=str(self._at), reason=str(error))
                    is_told = True
                else:
                    is_told = False
                    _log.info("Kamailio is there", evapi=str(self._at))
                    await self._serve(connection)
                await asyncio.sleep(_AGAIN_SECONDS)
        finally:
            await self._lost.stop()
            await self._locations.close()

    async def _serve(self, connection: EvapiConnection) -> None:
        comparing = asyncio.create_task(self._compare_repeatedly())
        try:
            while True:
                self._answer(await connection.read(), connection)
        except (EOFError, OSError, ValueError) as error:
            _log.warning("Kamailio has gone", reason=str(error))
        finally:
            comparing.cancel()
            connection.close()

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a message of Kamailio's failed", exc_info=error)

    def _answer(self, messages: Sequence[Sequence[str]], connection: EvapiConnection) -> None:
        """Answer each message once: Kamailio counts those that are not answered."""
        asked: list[tuple[_Transaction, Want]] = []
        for words in messages:
            if len(words) < 2:
                raise ValueError("license.cfg is of another version than this agent")
            event, *transaction, name = words
            want, problem = self._seat(bytes.fromhex(name).decode(errors=AS_BYTES))
            if event != "register":
                connection.send(_HEARD)
                if want is not None and self._agent.held_seat(want.key) is not None:
                    if want not in self._leaving:
                        self._start(self._give_back_if_gone(want))
                    self._leaving[want] = monotonic()
            elif problem:
                self._decide(transaction, connection, 403, "Bad Address of Record", problem)
            elif want is None:
                self._decide(transaction, connection, 200, "OK")
            else:
                asked.append((transaction, want))
        if asked:
            self._start(self._register(asked, connection))

    async def _register(self, asked: Sequence[tuple[_Transaction, Want]], connection: EvapiConnection) -> None:
        holders = [want.holder for _, want in asked]
        self._have_asked(holders)
        async with self._lost.spared(holders):
            await self._register_spared(asked, connection)

    async def _register_spared(self, asked: Sequence[tuple[_Transaction, Want]], connection: EvapiConnection) -> None:
        """Answer registrations: at once where the seat is held, the others after their seats were asked for."""
        await self._may_acquire.wait()
        self._acquiring += 1
        self._is_quiet.clear()
        try:
            new = []
            for transaction, want in asked:
                if (grant := self._agent.already_held(want)) is not None:
                    self._decide(transaction, connection, *_in_sip(grant))
                else:
                    new.append((transaction, want))
            try:
                outcomes = await self._agent.acquire_new([want for _, want in new])
            except TooManyWaitingError:
                for transaction, _ in new:
                    self._decide(transaction, connection, 503, "License Agent Busy", "too many wait")
                return
            for (transaction, _), outcome in zip(new, outcomes, strict=True):
                self._decide(transaction, connection, *_in_sip(outcome))
        finally:
            self._acquiring -= 1
            if not self._acquiring:
                self._is_quiet.set()

    def _decide(
        self, transaction: _Transaction, connection: EvapiConnection, code: int, reason: str, detail: str = ""
    ) -> None:
        if code == 200:
            connection.send(code, *transaction)
            return
        shown = "".join(letter for letter in detail if " " <= letter <= "~" and letter not in _NOT_SHOWN)[:_DETAIL_MAX]
        is_refused = code == 403
        retry = self._settings.kamailio_retry_after_seconds if is_refused else self._settings.retry_after_seconds
        connection.send(code, *transaction, retry, reason, shown)

    async def _give_back_if_gone(self, want: Want) -> None:
        """Return a seat whose last contact has gone, unless its holder has asked again since."""
        try:
            async with self._looks:
                gone = self._leaving.pop(want)
                if await self._locations.has_contacts(want.holder):
                    return
            if self._asked.get(want.holder, -math.inf) < gone and not self._lost.spares(want.holder):
                await self._agent.give_back(want)
        except (LocationsError, TooManyWaitingError) as error:
            _log.info("a seat is looked at later", holder=want.holder, reason=str(error))

    # Both sides agree in the end.

    async def _compare_repeatedly(self) -> None:
        while True:
            try:
                await self.compare()
            except LocationsError as error:
                _log.warning("seats and ul.dump could not be compared", reason=str(error))
            await asyncio.sleep(self._settings.kamailio_compare_seconds)

    async def compare(self) -> None:
        """Return seats without a contact, acquire seats for contacts without one, remove contacts that get no seat.

        Raises LocationsError.
        """
        if not self._has_forgotten:
            return await self._compare()
        self._may_acquire.clear()  # what is granted after the set was made is not in it, and would go back
        try:
            await self._is_quiet.wait()
            await self._compare()
        finally:
            self._may_acquire.set()

    async def _compare(self) -> None:
        registered = await self._locations.holders()
        if self._gone(registered):
            await self._locations.forget_licensed()  # whoever comes back asks, and counts as here
            registered = await self._locations.holders()  # with who came back before, and did not ask
        gone = self._gone(registered)
        unlicensed = [who for who in sorted(registered - self._lost.holders) if not self._is_licensed(who)]
        wants = {holder: self._seat(holder)[0] for holder in unlicensed}
        missing = [want for want in wants.values() if want is not None]
        for holder, want in wants.items():
            if want is None:
                self._lost.add(holder)
        for outcome in await self._settle(gone, missing):
            if isinstance(outcome, Refused) and outcome.reason not in UNDECIDED:
                self._lost.add(outcome.want.holder)

    def _gone(self, registered: set[str]) -> list[Want]:
        """Return the seats whose holder has no contact, and did not ask lately."""
        here = registered | self._asked_lately()
        ours = (held.want for held in self._agent.held if self._is_ours(held.want))
        return [want for want in ours if want.holder not in here]

    @property
    def _has_forgotten(self) -> bool:
        """True where the master has seats for this PBX that the agent does not remember, because it was killed."""
        kinds = {notice.kind for notice in self._agent.client.notices}
        return NoticeKind.SEATS_FROM_BEFORE in kinds and self._agent.takeover.client is None

    async def _settle(self, gone: Sequence[Want], missing: Sequence[Want]) -> Sequence[Outcome]:
        """Return and acquire seats; where seats were forgotten, sync the whole set, which returns unwanted ones."""
        if self._may_acquire.is_set():
            await self._agent.return_seats(gone)
            return await self._agent.acquire_many(missing)
        left = set(gone)
        kept = [held.want for held in self._agent.client.held if held.want not in left]
        return (await self._agent.client.sync([*kept, *missing])).outcomes

    def _have_asked(self, holders: Iterable[str]) -> None:
        for holder in holders:
            self._asked.pop(holder, None)  # whoever asked last stands last
            self._asked[holder] = monotonic()
        self._asked_lately()

    def _asked_lately(self) -> KeysView[str]:
        """Return who asked lately; forget who asked before."""
        since = monotonic() - _ANSWERED_SECONDS
        for holder in list(takewhile(lambda holder: self._asked[holder] <= since, self._asked)):
            del self._asked[holder]
        return self._asked.keys()

    def _seat(self, holder: str) -> tuple[Want | None, str]:
        """Return the seat that a holder needs, None where it needs none; or None and why none can have this holder."""
        try:
            return seat_of(self._rules, holder), ""
        except ValueError as error:
            return None, str(error)

    def _is_ours(self, want: Want) -> bool:
        """Tell whether a seat belongs to a registration, and was not asked for over the local API."""
        return self._seat(want.holder)[0] == want

    def _is_licensed(self, holder: str) -> bool:
        """Tell whether a holder has its seat, or needs none."""
        want, problem = self._seat(holder)
        return not problem and (want is None or self._agent.held_seat(want.key) is not None)

    def _on_seat(self, want: Want, change: SeatChange) -> None:
        """Have the contacts of a phone whose seat was taken away removed."""
        if isinstance(change, Lost) and self._is_ours(want):
            self._lost.add(want.holder, after_seconds=_REOPENING_SECONDS if change.cause is LossCause.EXPIRED else 0)


def _in_sip(outcome: Outcome) -> tuple[int, str, str]:
    """Return code, reason and detail of the answer to a REGISTER."""
    if isinstance(outcome, Granted):
        return 200, "OK", ""
    if outcome.reason in UNDECIDED:
        return 503, f"No License Now: {outcome.reason.value}", outcome.message
    return 403, f"No License: {outcome.reason.value}", outcome.message
