"""`license-master health`: exit code 0 only while the master takes calls, or, with --alive, while it answers at all."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from master.launch import reserved_port
from tests.cli.command import Done, run
from tests.support.masters import Clock, InProcess, in_process_master

Health = Callable[..., Awaitable[Done]]


@pytest.fixture
def health(master: InProcess) -> Health:
    async def health(*arguments: str) -> Done:
        return await run("health", *arguments, LICENSE_MASTER_SERVER=master.wire.address)

    return health


async def test_a_master_that_takes_calls(health: Health, master: InProcess) -> None:
    done = await health()
    assert (done.code, done.err) == (0, "")
    assert done.out == f"the master at {master.wire.address} answers SERVING\n"


async def test_for_programs(health: Health) -> None:
    done = await health("--json")
    assert (done.code, json.loads(done.out)["status"]) == (0, "SERVING")


async def test_a_master_that_takes_no_calls(health: Health, master: InProcess) -> None:
    master.running.server.health.set(serving=False)
    done = await health()
    assert (done.code, done.out) == (1, "")
    assert f"error: the master at {master.wire.address} takes no calls: NOT_SERVING" in done.err
    assert "try: look into the master's log" in done.err


async def test_a_master_that_takes_no_calls_is_alive(health: Health, master: InProcess) -> None:
    master.running.server.health.set(serving=False)
    done = await health("--alive")
    assert (done.code, done.err) == (0, "")
    assert "answers NOT_SERVING" in done.out


async def test_waiting_for_a_master_that_is_not_up_yet(sqlite_database_url: str) -> None:
    address = f"127.0.0.1:{reserved_port()}"
    gone = await run("health", "--wait", "--timeout", "0.5", "--server", address)
    assert (gone.code, f"no master answers at {address}" in gone.err) == (1, True)
    waiting = asyncio.create_task(run("health", "--wait", "--server", address))
    async with in_process_master(sqlite_database_url, Clock(), listen=address):
        assert (await waiting).out == f"the master at {address} answers SERVING\n"


async def test_waiting_for_a_master_that_takes_no_calls_yet(health: Health, master: InProcess) -> None:
    master.running.server.health.set(serving=False)
    still = await health("--wait", "--timeout", "0.3", "--json")
    assert (still.code, json.loads(still.out)["status"]) == (1, "NOT_SERVING")
    waiting = asyncio.ensure_future(health("--wait"))
    master.running.server.health.set(serving=True)
    assert (await waiting).code == 0


@pytest.mark.parametrize("arguments", [[], ["--alive"]], ids=["health", "alive"])
async def test_nobody_answers(arguments: list[str]) -> None:
    address = f"127.0.0.1:{reserved_port()}"
    done = await run("health", *arguments, "--server", address)
    assert (done.code, done.out) == (1, "")
    assert f"error: no master answers at {address}" in done.err
