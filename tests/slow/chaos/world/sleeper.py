"""A PBX as a process of its own, so that it can be put to sleep: `python -m tests.slow.chaos.world.sleeper CONFIG`.

It wants a few seats all the time, and looks at what it may use from a thread of its own, as a PBX does: each look is a
line with the count and the moments before and after it, on the steady clock that all processes share.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from slave_client import BlockingSlaveClient, CallKind, ClientConfig, HolderKind, Want
from tests.slow.chaos.seat_records import SeatRecords
from tests.support.limits import HANG_SECONDS

_PHONES = 6
_PAUSE_SECONDS = 0.005


class Sleeper:
    """The process, as the story sees it."""

    def __init__(self, config: ClientConfig, *, records: SeatRecords) -> None:
        self._config = config
        self._records = records
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._has_seats = asyncio.Event()

    async def at_work(self) -> None:
        """Switch it on, if it is not yet, and wait until it uses seats."""
        if self._process is None:
            await self._start()
        self._has_seats.clear()
        await asyncio.wait_for(self._has_seats.wait(), HANG_SECONDS)

    async def _start(self) -> None:
        collected = {
            "addresses": self._config.addresses,
            "pbx": self._config.pbx,
            "state_dir": str(self._config.state_dir),
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.slow.chaos.world.sleeper",
            json.dumps(collected),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reading = asyncio.create_task(self._read(self._process.stdout))

    def pause(self) -> None:
        """Put it to sleep."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Wake it up."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Let it close its lease and end."""
        if self._process is None or self._reading is None:
            return
        process, self._process = self._process, None
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await asyncio.wait_for(process.wait(), HANG_SECONDS)  # killed, it would close no lease, and seats would stay
        await self._reading

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def _read(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            begin, end, count = json.loads(line)
            if count:
                self._has_seats.set()
                self._records.used_elsewhere(count, begin=begin, end=end)


def main() -> None:
    """Be a PBX until told to end."""
    shown = json.loads(sys.argv[1])
    config = ClientConfig(
        addresses=tuple(shown["addresses"]),
        pbx=shown["pbx"],
        software_version="12r1",
        state_dir=Path(shown["state_dir"]),
        call_timeout_seconds=1,
        give_up_after_seconds=2,
        backoff_base_seconds=0.05,
        backoff_max_seconds=0.5,
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    wants = [Want("port", HolderKind.USER, f"sleeper-{number}") for number in range(_PHONES)]
    with BlockingSlaveClient(config) as client:
        looking = threading.Thread(target=_look, args=(client, wants, ended))
        looking.start()
        while not ended.wait(0.2):
            client.acquire_many(wants)
        looking.join()
        client.close()


def _look(client: BlockingSlaveClient, wants: list[Want], ended: threading.Event) -> None:
    while not ended.is_set():
        begin = monotonic()
        count = sum(client.call_allowed(kind=CallKind.NEW, holder=want.holder) for want in wants)
        print(json.dumps([begin, monotonic(), count]), flush=True)
        sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main()
