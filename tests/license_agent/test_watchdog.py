"""An agent whose loop stands still is noticed, and started again: by the protocol, and by the real systemd."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from slave_client.connection.clocks import SystemClock
from tests.license_agent.conftest import agent_settings, port
from tests.license_agent.kamailio.conftest import until
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.systemd import unit_running

UNIT = Path(__file__).parents[2] / "packaging" / "systemd" / "license-agent.service"
PERIOD_SECONDS = 0.4
_HANGS = (
    "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600));"
    " from license_agent.commands import main; main()"
)
"""The agent's command; SIGUSR1 has its loop stand still, while its other threads go on."""


def _environment(master: RestartableMaster, folder: Path) -> dict[str, str]:
    settings = agent_settings(master.address, folder)
    names = ("pbx", "software_version", "state_dir", "socket", "plaintext")
    given = {name: str(getattr(settings, name)) for name in names} | {"masters": master.address}
    return {f"LICENSE_AGENT_{name.upper()}": value for name, value in given.items()}


class Notified:
    """What an agent tells systemd: a process, and the socket that it is given."""

    def __init__(self, telling: socket.socket, process: asyncio.subprocess.Process) -> None:
        self._telling, self.process = telling, process

    async def next(self, seconds: float = HANG_SECONDS) -> str:
        """The next state; raises TimeoutError where none comes."""
        async with asyncio.timeout(seconds):
            return (await asyncio.get_running_loop().sock_recv(self._telling, 100)).decode()

    async def until(self, state: str) -> None:
        while await self.next() != state:
            pass

    async def falls_silent(self) -> None:
        """Wait until nothing comes for as long as systemd would wait; what was told before may still be there."""
        async with asyncio.timeout(HANG_SECONDS):
            while True:
                try:
                    await self.next(PERIOD_SECONDS)
                except TimeoutError:
                    return


@pytest.fixture
async def notified(master: RestartableMaster, tmp_path: Path) -> AsyncIterator[Notified]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.bind(str(tmp_path / "notify"))
        telling.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(int(PERIOD_SECONDS * 1e6))}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _HANGS, "serve"),
            env={**os.environ, **_environment(master, tmp_path), **environment},
        )
        try:
            yield Notified(telling, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_systemd_is_told_while_the_loop_runs(notified: Notified) -> None:
    assert await notified.next() == "READY=1"
    await notified.until("WATCHDOG=1")
    notified.process.send_signal(signal.SIGSTOP)
    await notified.falls_silent()
    notified.process.send_signal(signal.SIGCONT)
    await notified.until("WATCHDOG=1")
    notified.process.terminate()
    await notified.until("STOPPING=1")
    assert await notified.process.wait() == 0


async def test_systemd_is_told_nothing_while_the_loop_alone_stands_still(notified: Notified) -> None:
    await notified.until("WATCHDOG=1")
    notified.process.send_signal(signal.SIGUSR1)
    await notified.falls_silent()
    assert notified.process.returncode is None


async def test_systemd_starts_an_agent_that_hangs_again_and_it_carries_on(
    master: RestartableMaster, tmp_path: Path
) -> None:
    """The unit as it is shipped, but for where things are here, and that the test waits two seconds, not sixty."""
    async with unit_running(UNIT, tmp_path, _drop_in(master, tmp_path)):
        first = await _when_serving(tmp_path / "socket")
        assert await _answered(tmp_path / "socket", "PUT", port("4711")) == 200

        await until(lambda: '"4711"' in _written(tmp_path / "state" / "lease"))
        boot = SystemClock().boot()
        assert f'"saved_boot":"{boot}"' in _written(tmp_path / "state" / "lease"), "its end needs no wall clock"
        with suppress(ProcessLookupError):  # on a machine that stalls it has been started again already
            os.kill(first, signal.SIGUSR1)

        async def is_another() -> bool:
            return await _when_serving(tmp_path / "socket") != first

        await until(is_another)
        assert await _answered(tmp_path / "socket", "GET", port("4711")) == 200
        assert await master.holders("berlin") == {"4711"}
    assert "Fatal Python error: Aborted" in (tmp_path / "agent.log").read_text(), "the log says where it stood"


def _written(lease: Path) -> str:
    return lease.read_text() if lease.exists() else ""


def _drop_in(master: RestartableMaster, folder: Path) -> str:
    lines = (
        *("[Unit]", "DefaultDependencies=no", "[Service]", "User=", "Group=", "StateDirectory=", "PrivateTmp=no"),
        *("ProtectHome=no", f"ReadWritePaths={folder}", f"WorkingDirectory={folder}", "WatchdogSec=2"),
        *(f'Environment="{name}={value}"' for name, value in _environment(master, folder).items()),
        *("ExecStart=", f'ExecStart={sys.executable} -c "{_HANGS}" serve'),
        *(f"Standard{stream}=append:{folder / 'agent.log'}" for stream in ("Output", "Error")),
    )
    return "\n".join((*lines, ""))


async def _answered(path: Path, method: str, at: str) -> int:
    """Ask until an agent answers: on a machine that stalls, it may be started again just then."""
    status = 0

    async def is_answered() -> bool:
        nonlocal status
        connector = aiohttp.UnixConnector(str(path))
        with suppress(aiohttp.ClientError, OSError):
            async with (
                aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(HANG_SECONDS)) as session,
                session.request(method, f"http://agent{at}") as answer,
            ):
                status = answer.status
        return bool(status)

    await until(is_answered)
    return status


async def _when_serving(path: Path) -> int:
    """Wait until somebody listens on a socket; returns the process's id as it is known here."""
    process = 0

    async def is_there() -> bool:
        nonlocal process
        with socket.socket(socket.AF_UNIX) as calling:
            try:
                calling.connect(str(path))
            except OSError:
                return False
            process, _, _ = struct.unpack("3i", calling.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return True

    await until(is_there)
    return process
