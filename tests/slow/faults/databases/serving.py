"""Masters whose database may be silent for a moment: an answer is asked for until it comes, a status waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from tests.support.limits import HANG_SECONDS
from tests.support.masters import Wire

Answer = TypeVar("Answer")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_LATER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def answered(ask: Callable[[Wire], Awaitable[Answer]], *wires: Wire) -> Answer:
    """The answer of the first master that has one, asked in turns as a PBX does.

    On a busy machine a database that is well may take longer than a test lets it, here and there.
    """
    async with asyncio.timeout(HANG_SECONDS):
        for attempt in count():
            try:
                return await ask(wires[attempt % len(wires)])
            except grpc.aio.AioRpcError as error:
                if error.code() not in _LATER:
                    raise
                await asyncio.sleep(0.02)
    raise AssertionError("nobody answers")


async def becomes(stream: Any, status: int) -> None:
    """Read a health stream until it tells this status."""
    async with asyncio.timeout(HANG_SECONDS):
        while (await stream.read()).status != status:
            continue
