"""A process that has lost its master tries again one attempt at a time, however many clients it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from slave_client import HolderKind, SlaveClient, State, Want
from slave_client.connection import attempts as attempts_module
from slave_client.connection.attempts import AttemptOutcome, Attempts, TriedJustNowError
from slave_client.connection.backoff import Backoff
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.projects.estates import project

CLIENTS = 10
_PAUSES = Backoff(base_seconds=0.01, max_seconds=0.02)
_LONG_PAUSES = Backoff(base_seconds=HANG_SECONDS, max_seconds=HANG_SECONDS)


@dataclass(slots=True)
class Knocking:
    """How often, and how many at once, somebody knocked."""

    times: int = 0
    now: int = 0
    most: int = 0


@asynccontextmanager
async def nobody_at(address: str) -> AsyncIterator[Knocking]:
    """A place where a master was: connections come about, and end."""
    knocking = Knocking()

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocking.times += 1
        knocking.now += 1
        knocking.most = max(knocking.most, knocking.now)
        await asyncio.sleep(0.03)
        writer.transport.abort()
        knocking.now -= 1

    server = await asyncio.start_server(knocked, "127.0.0.1", int(address.rpartition(":")[2]))
    yield knocking
    server.close()
    await server.wait_closed()


async def test_many_clients_of_a_process_knock_one_by_one_and_are_all_back(master: RestartableMaster) -> None:
    names = [f"site-{number}" for number in range(CLIENTS)]
    await master.apply(project({"PBX-Port12": CLIENTS}, pbxs=dict.fromkeys(names, "slave 12 gateway")))
    async with AsyncExitStack() as stack, asyncio.timeout(HANG_SECONDS):
        clients = [await stack.enter_async_context(SlaveClient(master.config(name))) for name in names]
        for client in clients:
            assert (await client.acquire(Want("port", HolderKind.USER, client.config.pbx))).granted
        await master.stop()
        async with nobody_at(master.address) as knocking:
            for client in clients:
                client.look_again()
            for client in clients:
                await client.wait_for_state(State.OFFLINE)
            while knocking.times < 3 * CLIENTS:
                await asyncio.gather(*(client.acquire(Want("port", HolderKind.USER, "more")) for client in clients))
                await asyncio.sleep(0.01)
        assert knocking.most <= 2, "one attempt, and perhaps the greeting that finds out why it failed"
        await master.start()
        for client in clients:
            client.look_again()
            await client.wait_for_state(State.CONNECTED)
            assert len(client.held) == 1


async def test_what_one_attempt_brings_is_known_to_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts_module, "_PAUSE_SECONDS_MAX", HANG_SECONDS)  # which no machine that stalls outlasts
    attempts = Attempts()
    assert await attempts.begin("a:1")
    waiting = [asyncio.create_task(attempts.begin("a:1")) for _ in range(3)]
    assert await attempts.begin("b:1"), "another master has nothing to do with it"
    await asyncio.sleep(0)
    attempts.end("a:1", AttemptOutcome.FAILED, pauses=_LONG_PAUSES, said="nobody there")
    for task in waiting:
        with pytest.raises(TriedJustNowError, match="nobody there"):
            await task
    with pytest.raises(TriedJustNowError):
        await attempts.begin("a:1")
    attempts.end("b:1", AttemptOutcome.FAILED, pauses=_PAUSES)
    await asyncio.sleep(0.03)  # the pause, and more
    assert await attempts.begin("b:1")
    waiting = [asyncio.create_task(attempts.begin("b:1")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    attempts.end("b:1", AttemptOutcome.CONNECTED, pauses=_PAUSES)
    assert await asyncio.gather(*waiting) == [False, False]


async def test_who_is_called_off_leaves_the_attempt_to_the_next() -> None:
    attempts = Attempts()
    assert await attempts.begin("a:1")
    waiting = [asyncio.create_task(attempts.begin("a:1")) for _ in range(3)]
    await asyncio.sleep(0)
    attempts.end("a:1", AttemptOutcome.GIVEN_UP, pauses=_PAUSES)
    done, others = await asyncio.wait(waiting, timeout=HANG_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [True]
    attempts.end("a:1", AttemptOutcome.CONNECTED, pauses=_PAUSES)
    assert await asyncio.gather(*others) == [False, False]
