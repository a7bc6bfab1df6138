"""A line of TCP between two parties, with weather on it: late, thin, lossy, torn, silent or cut.

Decides: what becomes of each piece of each connection, by the line's seed. Nothing is ever altered or reordered: TCP
would not let that through either. A piece that a real net would lose comes late, as a repetition would.
Leaves to others: when the weather changes.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Flag, auto

_PIECE_BYTES = 65_536


class Way(Flag):
    """Directions of a line."""

    NONE = 0
    THERE = auto()
    BACK = auto()
    BOTH = THERE | BACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What is wrong with a line; by itself nothing."""

    delay_seconds: float = 0
    jitter_seconds: float = 0
    """On top of the delay, evenly spread."""
    bytes_per_second: float = 0
    """0 for no limit."""
    loss: float = 0
    """By what chance a piece is lost and has to be sent again."""
    again_after_seconds: float = 0.2
    """How much later such a piece comes, and everything behind it."""
    reset: float = 0
    """By what chance a piece tears its connection."""
    silent: Way = Way.NONE
    """Half-open: pieces that way vanish, and nobody hears of it. Such a connection stays silent for good."""
    is_cut: bool = False
    """Connections break, and no new ones come about."""


FAIR = Weather()


class Line:
    """Listens, and passes on to `target`: "host:port", or the path of a socket."""

    def __init__(self, target: str, *, seed: object) -> None:
        self._target = target
        self._chance = random.Random(str(seed))
        self._weather = FAIR
        self._connections: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._server: asyncio.Server | None = None
        self.address = ""
        self.happened: Counter[str] = Counter()
        """How often connections were made, pieces were late, lost or swallowed, and connections were torn."""

    @property
    def weather(self) -> Weather:
        """What is wrong with it."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        if weather.is_cut:
            self.tear()

    def tear(self) -> None:
        """Break every connection that there is."""
        for writers in self._connections.values():
            for writer in writers:
                self.happened["torn"] += 1
                writer.transport.abort()

    async def start(self, *, path: str = "") -> None:
        """Listen at a port of its own, or at a socket."""
        if path:
            self._server, self.address = await asyncio.start_unix_server(self._accept, path), path
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """End every connection."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connection(reader, writer))
        self._connections[task] = (writer,)
        task.add_done_callback(self._connections.pop)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if self._weather.is_cut:
                return
            there, back = await self._reach()
            self._connections[task] = (writer, back)
            self.happened["connections"] += 1
            silent = _Silence()
            pumps = (self._pump(reader, back, Way.THERE, silent), self._pump(there, writer, Way.BACK, silent))
            try:
                _, others = await asyncio.wait(map(asyncio.ensure_future, pumps), return_when=asyncio.FIRST_COMPLETED)
                for other in others:
                    other.cancel()
            finally:
                back.transport.abort()
        except OSError:
            pass  # nobody is there, as it may be
        finally:
            writer.transport.abort()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.startswith("/"):
            return await asyncio.open_unix_connection(self._target)
        host, _, port = self._target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, silence: _Silence
    ) -> None:
        """Pass pieces on in their order until one side ends."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        deliverer = asyncio.create_task(_deliver(pieces, writer))
        due = 0.0
        try:
            while piece := await reader.read(_PIECE_BYTES):
                weather = self._weather
                if way in weather.silent or way in silence.ways:
                    silence.ways |= way
                    self.happened["swallowed"] += 1
                    continue
                if weather.reset and self._chance.random() < weather.reset:
                    self.happened["torn"] += 1
                    return
                due = max(due, loop.time() + self._lateness(weather, len(piece)))
                pieces.put_nowait((due, piece))
            if way not in silence.ways and way not in self._weather.silent:
                pieces.put_nowait((due, b""))
                await deliverer
            else:
                await asyncio.Event().wait()  # that it ended is not heard either
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            deliverer.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await deliverer

    def _lateness(self, weather: Weather, length: int) -> float:
        late = weather.delay_seconds
        if weather.jitter_seconds:
            late += self._chance.uniform(0, weather.jitter_seconds)
        if weather.bytes_per_second:
            late += length / weather.bytes_per_second
        if weather.loss and self._chance.random() < weather.loss:
            self.happened["lost"] += 1
            late += weather.again_after_seconds
        if late:
            self.happened["late"] += 1
        return late


@dataclass(slots=True)
class _Silence:
    """Ways on which a connection has lost something: nothing behind that can be delivered."""

    ways: Way = Way.NONE


async def _deliver(pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due, piece = await pieces.get()
        if not piece:
            return
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        if writer.is_closing():  # uvloop answers a write with a RuntimeError then, asyncio's own loop does not
            return
        writer.write(piece)
        await writer.drain()


@asynccontextmanager
async def line_to(target: str, *, seed: object = 0, path: str = "") -> AsyncIterator[Line]:
    """A line in fair weather."""
    line = Line(target, seed=seed)
    await line.start(path=path)
    try:
        yield line
    finally:
        await line.stop()
