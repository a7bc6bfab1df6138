"""The load: sites whose phones come and go, over real slave clients, and people who ask how things stand.

Decides: who does what next, by a seed, and how long each answer took (I5: none takes longer than it may).
Leaves to others: what is wrong meanwhile (`faults`), and whether what they were told is true (`records`).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

import grpc

from licensemaster.v1 import status_pb2
from slave_client import (
    ClientConfig,
    HolderKind,
    Outcome,
    Refused,
    ReturnOutcome,
    SeatChange,
    SlaveClient,
    Source,
    Want,
)
from tests.slow.chaos.seat_records import SeatRecords
from tests.support.masters import PROJECT, Wire

CALL_TIMEOUT_SECONDS = 5.0
GIVE_UP_AFTER_SECONDS = 10.0
"""As in earnest: in less, a busy machine opens no lease, however often it is tried."""
ANSWER_SECONDS_MAX = 60.0
"""Joined calls take turns, and each may be repeated for GIVE_UP_AFTER_SECONDS and judge the line besides."""
ASKING_SECONDS_MAX = 2.0
_SLACK_SECONDS = 60.0
"""A hang is to be found, not a machine that has much else to do."""
_REASONS = {"STORAGE_UNAVAILABLE", "STORAGE_LOCKED", "STORAGE_FULL", "OVERLOADED", "DRAINING"}
_WITHOUT_A_MASTER = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


@dataclass(slots=True)
class Tally:
    """What was done how often, and what it took."""

    calls: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    answer_seconds_max: float = 0
    silence_seconds_max: float = 0
    """The longest that a site was without an answer of a master's."""


class Site:
    """One PBX and its phones."""

    def __init__(
        self,
        config: ClientConfig,
        *,
        phones: int,
        seed: object,
        records: SeatRecords,
        tally: Tally,
        pause_seconds: float,
    ) -> None:
        self.config = config
        self.name = config.pbx.rpartition("/")[2]
        self.records = records
        self.tally = tally
        self._pause_seconds = pause_seconds
        self._chance = random.Random(f"{seed} {self.name}")
        self._wants = [Want("port", HolderKind.USER, f"{self.name}-{number:02}") for number in range(phones)]
        self._living: asyncio.Task[None] | None = None
        self._next_answers: list[tuple[float, asyncio.Future[float]]] = []
        self._last_answer = monotonic()
        self.client = self._new_client()

    async def start(self) -> None:
        """Switch the PBX on."""
        await self.client.start()
        self.records.follow(self.name, self.client)

    async def crash(self) -> None:
        """Kill the PBX: nobody is told, nothing more is written."""
        await self.rest()
        self.records.forget(self.client)
        await self.client.crash()

    async def restart(self) -> None:
        """Switch it on again, and reconcile what is known to be in use, as a PBX does."""
        self.client = self._new_client()
        await self.start()
        self.tally.calls["restart"] += 1

    async def be_copied(self) -> SlaveClient:
        """Let another installation of this PBX take its place; returns the client of the older one, which goes on."""
        await self.rest()
        older, folder = self.client, self.config.state_dir
        self.records.forget(older)
        assert folder is not None
        self.config = replace(self.config, state_dir=folder.with_name(f"{folder.name}-again"))
        self.client = self._new_client()
        await self.start()
        await self.reconcile()
        self.live()
        return older

    async def close(self) -> None:
        """Switch it off for good; its seats go back."""
        await self.rest()
        self.records.forget(self.client)
        await self.client.close()

    def live(self) -> None:
        """Let phones come and go from now on."""
        if self._living is None:
            self._last_answer = monotonic()
            self._living = asyncio.create_task(self._live())

    async def rest(self) -> None:
        """Let what is under way end, and do nothing more."""
        living, self._living = self._living, None
        if living is not None:
            await living

    def next_answer(self, *, after: float) -> asyncio.Future[float]:
        """When a master first answers something that was asked after that moment."""
        waiting: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._next_answers.append((after, waiting))
        return waiting

    async def reconcile(self) -> None:
        """Tell the whole set that is in use."""
        self.tally.calls["sync"] += 1
        wants = [held.want for held in self.client.held]
        await self.client.sync(wants)

    async def _live(self) -> None:
        while self._living is asyncio.current_task():
            await self._step()
            await asyncio.sleep(self._chance.expovariate(1 / self._pause_seconds))

    async def _step(self) -> None:
        held = {held_seat.want.key for held_seat in self.client.held}
        free = [want for want in self._wants if want.key not in held]
        used = [want for want in self._wants if want.key in held]
        kind = self._chance.choices(("acquire", "return", "sync"), weights=(11, 8, 1))[0]
        if kind == "return" and used:
            some = self._chance.sample(used, min(len(used), self._chance.randint(1, 3)))
            self.records.gives_up(self.client, some)
            await self._timed("return", self.client.return_seats(some))
        elif kind == "sync":
            some = self._chance.sample(self._wants, len(self._wants) // 2)
            self.records.gives_up(self.client, [want for want in used if want not in some])
            await self._timed("sync", self._synced(some))
        elif free:
            some = self._chance.sample(free, min(len(free), self._chance.randint(1, 3)))
            await self._timed("acquire", self.client.acquire_many(some))

    async def _synced(self, wants: Sequence[Want]) -> Sequence[Outcome]:
        return (await self.client.sync(wants)).outcomes

    async def _timed(self, call: str, answer: object) -> None:
        began = monotonic()
        outcomes: Sequence[Outcome | ReturnOutcome] = await answer  # type: ignore[misc]
        ended = monotonic()
        self.tally.calls[call] += 1
        took = ended - began
        self.tally.answer_seconds_max = max(self.tally.answer_seconds_max, took)
        if took > ANSWER_SECONDS_MAX + _SLACK_SECONDS:
            self.records.violated(f"I5: {self.name}: {call} took {took:.1f} s")
        for outcome in outcomes:
            self.tally.answers[_kind_of(outcome)] += 1
        if call != "sync" and any(_source_of(outcome) is Source.MASTER for outcome in outcomes):
            self.tally.silence_seconds_max = max(self.tally.silence_seconds_max, ended - self._last_answer)
            self._last_answer = ended
            waiting = self._next_answers
            self._next_answers = [each for each in waiting if each[0] > began]
            for after, future in waiting:
                if after <= began and not future.done():
                    future.set_result(ended)

    def _new_client(self) -> SlaveClient:
        def changed(_: Want, change: SeatChange) -> None:
            self.records.seat_changed(client, change)

        client = SlaveClient(
            self.config,
            on_seat=changed,
            on_state=lambda *_: self.records.check(),
            chance=random.Random(self._chance.random()),
        )
        return client


class Dashboard:
    """Somebody who asks one master how things stand, again and again, over bare calls."""

    def __init__(self, wire: Wire, *, records: SeatRecords, tally: Tally, pause_seconds: float) -> None:
        self._wire = wire
        self._records = records
        self._tally = tally
        self._pause_seconds = pause_seconds
        self._asking: asyncio.Task[None] | None = None

    def ask(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())

    async def rest(self) -> None:
        """Ask no more."""
        asking, self._asking = self._asking, None
        if asking is not None:
            await asking

    async def _ask(self) -> None:
        while self._asking is asyncio.current_task():
            await self._once()
            await asyncio.sleep(self._pause_seconds)

    async def _once(self) -> None:
        """I5: a call ends within its deadline, and a failure says what it is."""
        self._tally.calls["status"] += 1
        began = monotonic()
        try:
            request = status_pb2.GetStatusRequest(project=f"projects/{PROJECT}")
            await self._wire.status.GetStatus(request, timeout=ASKING_SECONDS_MAX)
            self._tally.answers["status"] += 1
        except grpc.aio.AioRpcError as failure:
            reason = str(dict(failure.trailing_metadata() or ()).get("error-reason", ""))
            self._tally.answers[f"status: {failure.code().name} {reason}".strip()] += 1
            if reason not in _REASONS if reason else failure.code() not in _WITHOUT_A_MASTER:
                self._records.violated(f"I5: {failure.code().name} {reason}: {failure.details()}")
        if (took := monotonic() - began) > ASKING_SECONDS_MAX + _SLACK_SECONDS:
            self._records.violated(f"I5: a question took {took:.1f} s")


def _kind_of(outcome: Outcome | ReturnOutcome) -> str:
    if isinstance(outcome, Refused):
        return f"refused: {outcome.reason.value}"
    return f"{type(outcome).__name__.lower()} by {outcome.source.value}"


def _source_of(outcome: Outcome | ReturnOutcome) -> Source:
    return outcome.reason.source if isinstance(outcome, Refused) else outcome.source
