"""Processes beside the master: told what to do by their arguments, ready by a line, ended by the end of their input."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.limits import HANG_SECONDS

Act = Callable[[asyncio.Event], Awaitable[Any]]


def set_share(pid: int, niceness: int) -> None:
    """Which part of the cores a process, or the session that it leads, gets where others want them too.

    Linux weighs sessions against each other, and processes in them, so it is told of both.
    """
    with suppress(OSError):  # going before others takes root
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness), encoding="ascii")


def play(prepare: Callable[[], Awaitable[Act]]) -> None:
    """The process itself: prepare, say so, act until told to end, and tell what came of it."""

    async def run() -> None:
        act = await prepare()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # the word to begin
        ended = asyncio.Event()
        acting = asyncio.ensure_future(act(ended))
        await asyncio.to_thread(sys.stdin.read)
        ended.set()
        print(json.dumps(await acting), flush=True)
        os._exit(0)  # connections that are many take their time

    asyncio.run(run())


def play_until_cut_off(
    prepare: Callable[[], Awaitable[Callable[[], Awaitable[object]]]], tell: Callable[[], Any]
) -> None:
    """The same for who is so busy that it would not notice the end: it is cut off, whatever it is at."""

    def end() -> None:
        sys.stdin.read()
        print(json.dumps(tell()), flush=True)
        os._exit(0)

    async def run() -> None:
        act = await prepare()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        Thread(target=end, daemon=True).start()
        await act()

    asyncio.run(run())


@dataclass(slots=True)
class Other:
    """Such a process, seen from outside."""

    process: asyncio.subprocess.Process
    told: Any = None
    """What came of it, once it has ended."""

    async def end(self) -> None:
        """Have it end, and hear what came of it."""
        output, _ = await self.process.communicate(b"")  # which ends its input
        if self.process.returncode:
            raise RuntimeError(f"it ended with {self.process.returncode}")
        self.told = json.loads(output)


@asynccontextmanager
async def other(module: str, *arguments: str, niceness: int, begins_with: int = 0) -> AsyncIterator[Other]:
    """One that acts from now on, with so much of the cores, and is gone when the context ends.

    While it prepares, it has as much of them as `begins_with` says: else it would take long.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # what asyncio has to say of thousands of calls that are broken off
        start_new_session=True,
        limit=64 * 1024 * 1024,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    set_share(process.pid, begins_with)
    try:
        async with asyncio.timeout(HANG_SECONDS):
            assert await process.stdout.readline() == b"ready\n"
        set_share(process.pid, niceness)
        process.stdin.write(b"begin\n")
        yield Other(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
