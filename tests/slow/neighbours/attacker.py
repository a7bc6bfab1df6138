"""One attacker: its connections, what it sent and what became of it."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

import grpc
from google.protobuf.message import Message

from licensemaster.tls.channels import open_channel
from tests.slow.neighbours.estate import CALLERS, PROJECT, Wallet

CONNECTIONS = 4
LEASES, STATUS = "licensemaster.v1.LeaseService", "licensemaster.v1.StatusService"
ACME = f"projects/{PROJECT}"
MAD, SPARE = CALLERS["pbx"], CALLERS["standby"]
HOLLOW = b"\x1a\x00" * 1_900_000
"""3.8 MB of seats with nothing in them."""
DOTS = "a" + ".a" * 20_000 + " = 1\n"


@dataclass(slots=True)
class Attacker:
    """Somebody with a certificate, or without one, and several connections."""

    who: str
    wallet: Wallet
    address: str
    metrics_port: int
    calls_max: int
    """Of each kind, at a time."""
    outcomes: Counter[str] = field(default_factory=Counter)
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def connect(self, connections: int = CONNECTIONS) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        credentials = self.wallet.credentials(self.who)
        self.channels = [open_channel(self.address, credentials, options=options) for _ in range(connections)]

    async def flood(self, method: str, *messages: Message | bytes, at_once: int) -> None:
        """So many calls at a time, one after the other, of these messages in turn."""
        data = [message if isinstance(message, bytes) else message.SerializeToString() for message in messages]
        calls = [
            channel.unary_unary(f"/{method}", request_serializer=bytes, response_deserializer=bytes)
            for channel in self.channels
        ]
        numbers = count()

        async def rage() -> None:
            for number in numbers:
                await self.tried(calls[number % len(calls)](data[number % len(data)], timeout=30))

        await asyncio.gather(*(rage() for _ in range(min(at_once, self.calls_max))))

    async def stream(self, method: str, message: Message, *, at_once: int, seconds: float = 30) -> None:
        """The same for answers in streams, each of which is dropped after so many seconds."""
        data = message.SerializeToString()
        calls = [
            channel.unary_stream(f"/{method}", request_serializer=bytes, response_deserializer=bytes)
            for channel in self.channels
        ]

        async def read(call: AsyncIterable[bytes]) -> None:
            async for _ in call:
                pass

        async def rage(number: int) -> None:
            while True:
                await self.tried(read(calls[number % len(calls)](data, timeout=seconds)))

        await asyncio.gather(*(rage(number) for number in range(min(at_once, self.calls_max))))

    async def silent(self, method: str, *, at_once: int) -> None:
        """Calls whose message never comes."""
        calls = [
            channel.stream_unary(f"/{method}", request_serializer=bytes, response_deserializer=bytes)
            for channel in self.channels
        ]

        async def rage(number: int) -> None:
            while True:
                await self.tried(calls[number % len(calls)](timeout=30))

        await asyncio.gather(*(rage(number) for number in range(min(at_once, self.calls_max))))

    async def tried(self, call: Awaitable[object]) -> None:
        try:
            await call
            self.outcomes["OK"] += 1
        except grpc.aio.AioRpcError as error:
            metadata = dict(error.trailing_metadata() or ())
            self.outcomes[str(metadata.get("error-reason", error.code().name))] += 1

    async def connections(self, port: int, say: Callable[[int], bytes], *, at_once: int, tls: bool = False) -> None:
        """Connections that say something now and then until they are closed, and are opened again."""
        context = self._context() if tls else None

        async def rage() -> None:
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
                except (OSError, ssl.SSLError) as error:
                    self.outcomes[type(error).__name__] += 1
                    await asyncio.sleep(0.01)
                    continue
                self.outcomes["connected"] += 1
                try:
                    await self._talk(reader, writer, say)
                except (OSError, ssl.SSLError) as error:
                    self.outcomes[type(error).__name__] += 1
                finally:
                    writer.transport.abort()
                await asyncio.sleep(0.01)

        await asyncio.gather(*(rage() for _ in range(min(at_once, self.calls_max))))

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, say: Callable[[int], bytes]
    ) -> None:
        ended = asyncio.ensure_future(reader.read())
        for number in count():
            if said := say(number):
                writer.write(said)
                await writer.drain()
            done, _ = await asyncio.wait([ended], timeout=1)
            if done:
                self.outcomes["answered" if ended.result() else "closed"] += 1
                return

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.wallet.ca))
        context.check_hostname = False
        certificate, key = self.wallet.files(self.who)
        context.load_cert_chain(certificate, key)
        return context

    async def shaking_hands(self, port: int, *, at_once: int) -> None:
        """Handshakes that come to nothing."""
        context = self._context()

        async def rage() -> None:
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
                    await asyncio.wait_for(reader.read(), 5)
                    writer.transport.abort()
                    self.outcomes["closed"] += 1
                except (OSError, ssl.SSLError, TimeoutError) as error:
                    self.outcomes[type(error).__name__] += 1

        await asyncio.gather(*(rage() for _ in range(min(at_once, self.calls_max))))

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])
