"""A line that reads what goes over it: HTTP/2 frames in plain text, counted by kind and direction."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES = 9
_ACK = 1


class Frame(Enum):
    """Kinds that tests look for, as RFC 9113 numbers them."""

    PING = 6
    GOAWAY = 7


class Frames:
    """Counts of frames; acknowledgements are not counted."""

    def __init__(self) -> None:
        self.address = ""
        self.connections = 0
        self.from_client: Counter[Frame] = Counter()
        self.from_server: Counter[Frame] = Counter()
        self._changed = asyncio.Condition()

    async def until(self, count: Counter[Frame], frame: Frame, number: int) -> None:
        """Wait until so many were seen."""
        async with self._changed:
            await self._changed.wait_for(lambda: count[frame] >= number)

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Counter[Frame], *, preface: bytes
    ) -> None:
        """Pass on one direction of a connection until it ends."""
        with suppress(OSError, asyncio.IncompleteReadError):
            if preface:
                writer.write(await reader.readexactly(len(preface)))
            while True:
                header = await reader.readexactly(_HEADER_BYTES)
                writer.write(header + await reader.readexactly(int.from_bytes(header[:3])))
                await writer.drain()
                kind, is_answer = header[3], header[3] == Frame.PING.value and header[4] & _ACK
                if kind in [frame.value for frame in Frame] and not is_answer:
                    async with self._changed:
                        count[Frame(kind)] += 1
                        self._changed.notify_all()
        writer.close()


@asynccontextmanager
async def frames_to(target: str) -> AsyncIterator[Frames]:
    """A line to HOST:PORT."""
    frames = Frames()
    host, _, port = target.rpartition(":")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames.connections += 1
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(
            frames.carry(reader, far_writer, frames.from_client, preface=_PREFACE),
            frames.carry(far_reader, writer, frames.from_server, preface=b""),
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    frames.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield frames
    finally:
        server.close()
