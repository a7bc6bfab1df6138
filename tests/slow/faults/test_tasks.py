"""Every long-lived task of a master, whatever ends it, is started again, or ends the process; none is forgotten."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from master.variables import PREFIX
from tests.auth.pki import Pki, shown_to
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import granted, opened, seat
from tests.support.projects.estates import project

KEPT = {
    "committer",
    "metrics page",
    "gRPC",
    "Authorizer",
    "DatabaseHealth",
    "ChangePoller",
    "Expiry",
    "LearningTask",
    "ReleaseTask",
    "ShrinkTask",
    "WaitingTask",
    "AutoRenewalTask",
    "AgreementUseTask",
    "UsageTask",
    "WebhookDelivery",
    "AlarmTask",
    "StreamRecorder",
}


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


@asynccontextmanager
async def _whole_master(database_url: str, pki: Pki, clock: Clock) -> AsyncIterator[InProcess]:
    """A master with everything that one can have."""
    settings = pki.serve(pki.server_key()) | {"metrics_listen": "127.0.0.1:0"}
    async with (
        in_process_master(database_url, clock, **settings) as master,
        shown_to(f"127.0.0.1:{master.running.port}", pki.certified_key("operators/anna").credentials) as wire,
    ):
        yield InProcess(wire, master.running, clock)


def _tasks(name: str) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


def _is_of_grpc(task: asyncio.Task[Any]) -> bool:
    return str(getattr(task.get_coro(), "__qualname__", "")).startswith("AioServer.")


def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()


def _failed(task: asyncio.Task[Any]) -> None:
    """An exception where it waits."""
    waits_for: Any = task
    while isinstance(waits_for, asyncio.Task):
        waits_for = waits_for._fut_waiter  # type: ignore[attr-defined]
    if waits_for is not None and not waits_for.done():
        waits_for.set_exception(RuntimeError("injected"))


@pytest.fixture
def now() -> Clock:
    """Certificates are good today."""
    return Clock(time.time())


async def test_none_is_missing(postgresql_database_url: str, pki: Pki, now: Clock) -> None:
    before = asyncio.all_tasks()
    async with _whole_master(postgresql_database_url, pki, now) as master, asyncio.timeout(HANG_SECONDS):
        assert master.running.tasks.names == KEPT
        while True:
            if {task.get_name() for task in asyncio.all_tasks() - before if not _is_of_grpc(task)} == KEPT:
                break  # what is no kept task has ended by itself
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", [_cancelled, _failed])
async def test_each_is_started_again(
    sqlite_database_url: str, pki: Pki, now: Clock, end: Callable[[asyncio.Task[Any]], None]
) -> None:
    async with _whole_master(sqlite_database_url, pki, now) as master, asyncio.timeout(HANG_SECONDS):
        await master.wire.apply(project({"PBX-Port12": 50}, pbxs={"berlin": "slave 12 gateway"}))
        for name in sorted(KEPT - {"gRPC", "ChangePoller"}):
            (task,) = _tasks(name)
            while not task.done():
                end(task)
                await asyncio.sleep(0.01)
            while True:
                if _tasks(name):
                    break
                await asyncio.sleep(0.01)
            assert _value(master, "license_master_task_failures_total", name) >= 1, name
            assert _value(master, "license_master_task_up", name) == 1, name
        certified_key = pki.certified_key("projects/acme/pbxs/berlin")
        async with shown_to(master.wire.address, certified_key.credentials) as wire:
            berlin = await opened(wire, "berlin")
            granted(await berlin.acquire(seat("port", "anna")))
        assert await asyncio.to_thread(_listens, master.running.metrics_port)


def _value(master: InProcess, name: str, task: str) -> float:
    return master.running.metrics.registry.get_sample_value(name, {"task": task}) or 0


def _listens(port: int) -> bool:
    context = ssl._create_unverified_context()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as plain,
        context.wrap_socket(plain) as secured,
    ):
        return secured.version() is not None


_SERVE = """
import asyncio
from contextlib import asynccontextmanager
import master.app as app
from master.cli.main import main

whole = app.running

@asynccontextmanager
async def running(settings):
    async with whole(settings) as master:
        {end}
        yield master

app.running = running
main()
"""
_KILLS_GRPC = "[task.cancel() for task in asyncio.all_tasks() if 'main_loop' in task.get_coro().__qualname__]"
_ENDS_AT_ONCE = "master.committer._kept._run = lambda: asyncio.sleep(0); master.committer._kept._task.cancel()"


@pytest.mark.parametrize(("end", "task"), [(_KILLS_GRPC, "gRPC"), (_ENDS_AT_ONCE, "committer")])
def test_one_that_cannot_be_kept_going_ends_the_process(sqlite_database_url: str, end: str, task: str) -> None:
    variables = {
        "DATABASE_URL": sqlite_database_url,
        "LISTEN": "127.0.0.1:0",
        "METRICS_LISTEN": "127.0.0.1:0",
        "PLAINTEXT": "true",
        "DRAIN_SECONDS": "0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", _SERVE.format(end=end), "serve"],
        env={f"{PREFIX}{name}": value for name, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 1, done.stderr
    assert f"the task {task} has ended" in done.stderr
