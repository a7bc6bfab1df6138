"""Runs masters as processes of their own: for the demo, the tests and the benchmark."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from master.variables import PREFIX

_RESERVED: Final[list[socket.socket]] = []


def reserved_port() -> int:
    """Return a TCP port of 127.0.0.1 that the system gives to nobody else while this process lives.

    A socket that never listens holds it: a server that is told the port may listen on it, be killed, and listen again.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _RESERVED.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


class MasterProcess:
    """A process of `license-master serve`; after a kill it can be started again on the same port.

    It serves in plain text unless the settings name certificates, and has no settings but these and the defaults.
    `environment` is added to this process's own.
    """

    def __init__(self, database_url: str, *, environment: Mapping[str, str] | None = None, **settings: object) -> None:
        self._environment = environment or {}
        self._settings = {
            "database_url": database_url,
            "listen": f"127.0.0.1:{reserved_port()}",
            "metrics_listen": f"127.0.0.1:{reserved_port()}",
            "plaintext": "tls_certificate_file" not in settings,
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._log: asyncio.Task[bytes] | None = None
        self.address = ""
        self.metrics_port = 0
        self.log = ""
        """The log of the process while it served, once the process has ended."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process and wait until it serves.
        Raises RuntimeError if the process ended instead; the text is its log."""
        variables = {f"{PREFIX}{key.upper()}": str(value) for key, value in self._settings.items()}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from master.cli.main import main; main()",
            "serve",
            env={**_without_settings(os.environ), **self._environment, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for whoever started us
        )
        assert self._process.stderr is not None
        log = b""
        while line := await self._process.stderr.readline():
            log += line
            if b'"event": "serving"' in line:
                status = json.loads(line)
                self.address = f"127.0.0.1:{status['port']}"
                self.metrics_port = status["metrics_port"]
                self._log = asyncio.create_task(self._process.stderr.read())
                return
        code = await self._process.wait()
        self._process = None
        raise RuntimeError(f"the master did not start, it ended with {code}: {log.decode(errors='replace')}")

    async def kill(self) -> None:
        """Send SIGKILL: the process cannot finish anything."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """Send SIGTERM, so that calls under way are finished; return the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        code = await self._process.wait()
        if self._log is not None:
            self.log += (await self._log).decode(errors="replace")
        self._process = None
        return code


@asynccontextmanager
async def master_process(
    database_url: str, *, environment: Mapping[str, str] | None = None, **settings: object
) -> AsyncIterator[MasterProcess]:
    """Run a master as a process that ends with the context."""
    process = MasterProcess(database_url, environment=environment, **settings)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


def _without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.startswith(PREFIX)}
