"""One connection to Kamailio's evapi: messages in, answers out.

Decides: how many messages of Kamailio's may be unanswered, and how many bytes it may have unread. Its evapi (5.6) reads
32 KiB at a time, and discards the rest of what it read where that ends within the length of a message, or before its
last comma. Where no more is ever under way, every read ends with a message. So now and then a message asks for a sign
that it was read, and messages above the limit wait for the sign.
Leaves to others: what is answered.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import Final

from license_agent.kamailio.netstrings import MessageReader, message
from licensemaster.values.addresses import Address

_UNANSWERED_MAX: Final = 4_000
"""Unanswered messages, of 250 bytes at most, that fit into the buffers between Kamailio and an agent that hangs."""
_READ_BYTES: Final = 65_536
_UNREAD_MAX: Final = 28_000
_UNSIGNED_MAX: Final = 7_000
_ALIVE_SECONDS: Final = 4.0
"""license.cfg takes an agent that has said nothing for 15 seconds for hung."""


class EvapiConnection:
    """A connection to Kamailio's evapi; `unanswered_max` is the most messages of Kamailio's that may be unanswered, and
    Kamailio believes whoever shows the `token`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, unanswered_max: int, token: str
    ) -> None:
        self._reader, self._writer = reader, writer
        self._socket = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        self._arriving = MessageReader()
        self._waiting: deque[bytes] = deque()
        self._unread = 0
        self._unsigned = 0
        """Bytes sent since Kamailio was last asked to confirm reading."""
        self._is_due = False
        self._loop = asyncio.get_running_loop()
        self._alive = self._loop.create_task(self._say_alive(min(unanswered_max, _UNANSWERED_MAX), token))

    @classmethod
    async def open(cls, at: Address, *, unanswered_max: int, token: str) -> EvapiConnection:
        """Connect to Kamailio's evapi. Raises OSError."""
        reader, writer = await asyncio.open_connection(at.host, at.port)
        return cls(reader, writer, unanswered_max=unanswered_max, token=token)

    async def read(self) -> list[list[str]]:
        """Read the messages that have arrived, at least one piece of data; return the words of each.

        Raises:
            ValueError: something else has arrived.
            EOFError: Kamailio has gone.
            OSError: the connection is broken.
        """
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise EOFError("the connection has ended")
        # Kamailio sends small messages and waits for each to be acknowledged (Nagle): the kernel would take 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        messages = self._arriving.feed(data)
        signs = [words for words in messages if words[0] == "read"]
        if not signs:
            return messages
        self._unread -= sum(int(words[-1]) for words in signs)
        self._flush()
        return [words for words in messages if words[0] != "read"]

    def send(self, *words: object) -> None:
        """Send a message as soon as Kamailio has read enough of those before; never fails."""
        self._waiting.append(message(*words))
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close the connection to Kamailio's evapi."""
        self._alive.cancel()
        self._socket.close()
        self._writer.close()

    def _flush(self) -> None:
        self._is_due = False
        parts: list[bytes] = []
        while self._waiting and self._unread + len(self._waiting[0]) <= _UNREAD_MAX:
            self._add(parts, self._waiting.popleft())
            if self._unsigned >= _UNSIGNED_MAX:
                sign = message("read", self._unsigned)
                self._unsigned = 0
                self._add(parts, sign)
        if parts and not self._writer.is_closing():
            self._writer.write(b"".join(parts))

    def _add(self, parts: list[bytes], part: bytes) -> None:
        parts.append(part)
        self._unread += len(part)
        self._unsigned += len(part)

    async def _say_alive(self, unanswered_max: int, token: str) -> None:
        alive = ("alive", unanswered_max, token)
        while True:
            if message(*alive) not in self._waiting:  # as of a Kamailio that hangs, for days perhaps
                self.send(*alive)
            await asyncio.sleep(_ALIVE_SECONDS)
