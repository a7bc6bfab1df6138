"""Bounds the connections of a server with a thread for each: their number, in all and by address, and their time.

Leaves to the server what is sent over them. May be used from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_RDWR, socket

from msgspec import Struct

from master.values import Value


class ConnectionBounds(Value):
    """The most connections that may be open, and how long each may last."""

    connections_max: int = 32
    address_connections_max: int = 8
    """The most connections from one address."""
    seconds_max: float = 15.0
    """Seconds from accepting a connection until the answer is sent, even if data comes meanwhile."""


class _Connection(Struct):
    address: str
    ends_at: float
    socket: socket
    ended: bool = False


class OpenConnections:
    """The connections that are open now, by the socket that was accepted."""

    def __init__(self, bounds: ConnectionBounds, *, clock: Callable[[], float]) -> None:
        """`clock` only goes forward."""
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[socket, _Connection] = {}

    def open(self, accepted: socket, address: str) -> bool:
        """Note a new connection; return False where there are too many."""
        with self._lock:
            alike = sum(connection.address == address for connection in self._open.values())
            if len(self._open) >= self._bounds.connections_max or alike >= self._bounds.address_connections_max:
                return False
            self._open[accepted] = _Connection(address, self._clock() + self._bounds.seconds_max, accepted)
            return True

    def secured(self, accepted: socket, connection: socket) -> None:
        """Record that a connection has passed its TLS handshake."""
        with self._lock:
            self._open[accepted].socket = connection

    def close(self, accepted: socket) -> None:
        with self._lock:
            del self._open[accepted]

    def end_late(self) -> int:
        """End the connections that last too long, whatever their thread waits for; return how many."""
        with self._lock:
            now = self._clock()
            late = [
                connection for connection in self._open.values() if connection.ends_at <= now and not connection.ended
            ]
            for connection in late:
                connection.ended = True
                with suppress(OSError):  # it is closed already
                    socket.shutdown(connection.socket, SHUT_RDWR)  # TLS has nothing to add, and is another thread's
        return len(late)
