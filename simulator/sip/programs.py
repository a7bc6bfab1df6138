"""Programs that this process starts and may kill, each a session of its own."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

NEEDED: Final = {"kamailio": "kamailio and kamailio-extra-modules", "sipp": "sip-tester"}
"""What has to be installed, and Debian's packages for it."""
_LOOK_SECONDS: Final = 0.05
_PORTS: Final = 20_000, 32_000
_RESERVED: Final[list[socket.socket]] = []


def missing_programs() -> list[str]:
    """Return which of the programs needed are not installed."""
    return [name for name in NEEDED if shutil.which(name) is None]


def free_port() -> int:
    """Return a port of 127.0.0.1, free for UDP and TCP, that nobody else gets while this process lives.

    It is below those that systems give to whoever asks for none: a program may be away for a while and listen again. A
    socket that never listens keeps other callers of this function away.
    """
    while True:
        port = random.randrange(*_PORTS)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            tcp.bind(("127.0.0.1", port))
            with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as udp:
                udp.bind(("127.0.0.1", port))
        except OSError:
            tcp.close()
            continue
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # from now on others may that say the same
        _RESERVED.append(tcp)
        return port


class Program:
    """One program; after a kill it can be started again. What it writes is in `log`."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command, self._environment = tuple(command), dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self.log = log

    async def start(self) -> None:
        """Start it, and wait until it is ready.
        Raises RuntimeError if it ended instead; the text is the end of its log."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the group that is killed, and no Ctrl-C of ours
            )
        while not await self.is_ready():
            if self._process.returncode is not None:
                said = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._command[0]} ended with {self._process.returncode}: {said}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def is_ready(self) -> bool:
        """Whether it does its work."""
        return True

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def wait(self) -> int:
        """Wait until it has ended; returns its exit code."""
        return 0 if self._process is None else await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL, to all of its processes; it may hang."""
        self.send(signal.SIGKILL)
        await self.wait()
