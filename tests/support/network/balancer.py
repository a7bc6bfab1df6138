"""A plain TCP balancer, as stands before masters: it knows nothing of what it passes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count


class Balancer:
    """Passes each new connection to the next address that accepts one."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._numbers = count()
        self._passing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        try:
            for _ in self._addresses:
                host, _, port = self._addresses[next(self._numbers) % len(self._addresses)].rpartition(":")
                with suppress(OSError, asyncio.CancelledError):
                    there, back = await asyncio.open_connection(host, int(port))
                    await _both_ways((reader, back), (there, writer))
                    return
        finally:
            writer.close()


async def _both_ways(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Until one end closes; then the other is closed, too."""
    copying = [asyncio.create_task(_copy(*way)) for way in ways]
    try:
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copying:
            task.cancel()
        await asyncio.gather(*copying, return_exceptions=True)
        for _, writer in ways:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def balancer_before(*addresses: str) -> AsyncIterator[Balancer]:
    balancer = Balancer(addresses)
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.stop()
