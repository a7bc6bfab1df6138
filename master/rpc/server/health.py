"""gRPC's health service: whether this master serves, as balancers and probes ask.

gRPC's own holds a lock while it writes to whoever watches. One that opens no window for answers keeps that lock: then
nobody else hears of a change, and the server, which says that it stops, never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_Answer = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """The status of some services, which is the same for all; none of its methods waits for a caller to change it."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._status: int = _Answer.NOT_SERVING
        self._is_over = False
        self._changed = asyncio.Event()
        """Set once the status is no longer what it was when the event was made."""

    def set(self, *, serving: bool) -> None:
        """Set the status of all services, unless it was set for good."""
        if self._is_over:
            return
        self._status = _Answer.SERVING if serving else _Answer.NOT_SERVING
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Set all services to not serving, for good."""
        self.set(serving=False)
        self._is_over = True

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> _Answer:
        """Return the status of a service; NOT_FOUND where it is unknown."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return _Answer(status=self._status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> AsyncIterator[_Answer]:
        """Yield the status of a service now, and whenever it changes; where the service is unknown, that."""
        last: int | None = None
        while True:
            changed = self._changed
            status = self._status if request.service in self._services else _Answer.SERVICE_UNKNOWN
            if status != last:
                last = status
                yield _Answer(status=status)
            await changed.wait()

    async def List(self, request: Any, context: Context) -> Any:
        """Return the status of every service."""
        answer: Any = health_pb2
        return answer.HealthListResponse(statuses={name: _Answer(status=self._status) for name in self._services})
