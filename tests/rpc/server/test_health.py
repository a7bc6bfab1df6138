"""Health as balancers watch it, beside one that takes no answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
_SETTINGS, _HEADERS, _DATA = 4, 1, 0
_END_HEADERS, _END_STREAM = 4, 1
_NO_WINDOW = b"\x00\x04\x00\x00\x00\x00"
"""SETTINGS_INITIAL_WINDOW_SIZE is 0: no answer may be sent."""


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + content


@asynccontextmanager
async def watching_without_a_window(port: int) -> AsyncIterator[None]:
    """A connection that watches the master's health and takes no answer; gRPC's own clients always open a window."""
    headers = {":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Watch", ":authority": "master"}
    headers |= {"content-type": "application/grpc", "te": "trailers"}
    spelt = [text.encode() for pair in headers.items() for text in pair]
    block = b"".join((b"\x00" if at % 2 == 0 else b"") + bytes((len(text),)) + text for at, text in enumerate(spelt))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asyncio.get_running_loop().call_later(HANG_SECONDS, writer.close)  # else a test that fails would never end
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, _NO_WINDOW))
    writer.write(_frame(_HEADERS, _END_HEADERS, 1, block) + _frame(_DATA, _END_STREAM, 1, bytes(5)))
    try:
        while True:  # until the headers of the answer are there: then the answer itself waits for a window
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3]))
            if head[3] == _HEADERS:
                break
        yield
    finally:
        writer.close()


async def test_one_that_takes_no_answers_keeps_no_news_from_others_and_no_master_from_stopping(
    sqlite_database_url: str, clock: Clock
) -> None:
    async with (
        asyncio.timeout(HANG_SECONDS),
        AsyncExitStack() as until_stopped,
        in_process_master(sqlite_database_url, clock, drain_seconds=0.1) as master,
    ):
        await until_stopped.enter_async_context(watching_without_a_window(master.running.port))
        stub: Any = health_pb2_grpc.HealthStub(master.wire.channel)
        stream = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await stream.read()).status == SERVING
        master.running.server.health.set(serving=False)
        assert (await stream.read()).status == NOT_SERVING


async def test_what_is_unknown_is_said_and_what_did_not_change_is_not(master: InProcess) -> None:
    stub: Any = health_pb2_grpc.HealthStub(master.wire.channel)
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="licensemaster.v1.Nothing"))
    assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    stream = stub.Watch(health_pb2.HealthCheckRequest(service="licensemaster.v1.LeaseService"))
    assert (await stream.read()).status == SERVING
    master.running.server.health.set(serving=True)
    await stub.Check(health_pb2.HealthCheckRequest())
    master.running.server.health.stop()
    master.running.server.health.set(serving=True)  # too late: it was set for good
    assert (await stream.read()).status == NOT_SERVING
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
