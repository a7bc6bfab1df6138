"""Health, reflection, overload and the end of a process."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from licensemaster.v1 import lease_pb2
from master.rpc.server.server import SERVICES
from tests.rpc.failures import failure, seen
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, MasterProcess, Wire, in_process_master, master_process, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat, seats
from tests.support.projects.estates import project


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Another program holds the SQLite file; commits wait."""
    connection = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def test_health_of_each_service(master: InProcess) -> None:
    stub: Any = health_pb2_grpc.HealthStub(master.wire.channel)
    for service in ("", *SERVICES):
        response = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    with structlog.testing.capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.Check(health_pb2.HealthCheckRequest(service="licensemaster.v1.Nothing"))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    labels = {"grpc_service": "grpc.health.v1.Health", "grpc_method": "Check", "grpc_code": "NOT_FOUND"}
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if master.running.metrics.registry.get_sample_value("grpc_server_handled_total", labels) == 1:
                break
            await asyncio.sleep(0.01)
    assert logs == [], "a question that has an answer is no failure"


@pytest.mark.parametrize("service", ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"])
async def test_reflection_lists_the_services_and_shows_their_comments(master: InProcess, service: str) -> None:
    ask: Any = master.wire.channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in SERVICES),
    ]
    listed, *files = [answer async for answer in ask(iter(questions))]
    names = {described.name for described in listed.list_services_response.service}
    both = {"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
    assert names == {*SERVICES, "grpc.health.v1.Health", *both}
    for name, answer in zip(SERVICES, files, strict=True):
        collected = [
            FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto
        ]
        [own] = [file for file in collected if name.rpartition(".")[2] in {service.name for service in file.service}]
        assert [place for place in own.source_code_info.location if place.leading_comments], name


async def test_a_full_queue_tells_when_to_come_back(sqlite_database_url: str, clock: Clock) -> None:
    async with in_process_master(sqlite_database_url, clock, queue_length_max=3, retry_after_seconds=0.125) as master:
        await master.wire.apply(project({"PBX-Port12": 100}))
        berlin = await opened(master.wire, "berlin")
        async with locked(sqlite_database_url):
            calls = [asyncio.ensure_future(berlin.acquire(seat("port", "phone-0")))]
            await _is_under_way(master.wire, berlin)
            calls += [asyncio.ensure_future(berlin.acquire(seat("port", f"phone-{n}"))) for n in range(1, 10)]
            for answer in itertools.islice(asyncio.as_completed(calls), 6):  # one is being committed, three wait
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await answer
                actual = seen(failed.value)
                assert (actual.code, actual.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
                assert (actual.info, actual.retry_after_ms) == ("OVERLOADED", 125)
        waited = await asyncio.gather(*(call for call in calls if not call.done()))
        assert [len(granted(results)) for results in waited] == [1] * 4
        assert len(granted(await berlin.acquire(*seats("port", 10)))) == 10


async def test_too_many_streams(sqlite_database_url: str, clock: Clock) -> None:
    async with in_process_master(sqlite_database_url, clock, streams_max=1) as master:
        await master.wire.apply(project({"PBX-Port12": 1}))
        berlin = await opened(master.wire, "berlin")
        request = lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch)
        first = master.wire.leases.WatchLease(request)
        await first.read()
        failed = await failure(master.wire.leases.WatchLease(request).read())
        assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert failed.retry_after_ms > 0


async def test_sigterm_answers_what_is_under_way_and_tells_the_streams(sqlite_database_url: str) -> None:
    url = sqlite_database_url
    async with master_process(url, drain_seconds=10) as process, wire_to(process.address) as wire:
        await wire.apply(project({"PBX-Port12": 5}))
        berlin = await opened(wire, "berlin")
        stream = wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
        await stream.read()
        async with locked(url):
            under_way = asyncio.ensure_future(berlin.acquire(seat("port", "phone-0")))
            await _is_under_way(wire, berlin)
            ending = asyncio.create_task(process.terminate())
            answer = await stream.read()
            assert isinstance(answer, lease_pb2.WatchLeaseResponse)
            assert [notice.kind for notice in answer.notices] == [lease_pb2.NOTICE_KIND_DRAINING]
            assert await stream.read() is grpc.aio.EOF
            async with wire_to(process.address) as another:
                late = await failure(_until_refused(BarePbx(another, "berlin")))
                assert late.code is grpc.StatusCode.UNAVAILABLE
        assert len(granted(await under_way)) == 1
        assert await ending == 0
    async with master_process(url) as process, wire_to(process.address) as wire:
        berlin.wire = wire
        assert [grant.already_held for grant in granted(await berlin.acquire(seat("port", "phone-0")))] == [True]


async def _is_under_way(wire: Wire, berlin: BarePbx) -> None:
    """A question asked on the same connection after a call is answered after the call has reached the master."""
    stub: Any = health_pb2_grpc.HealthStub(wire.channel)
    for _ in range(3):
        await stub.Check(health_pb2.HealthCheckRequest())


async def _until_refused(pbx: BarePbx) -> None:
    """The master may take calls for the moment between the signal and its effect."""
    while True:
        await pbx.wire.leases.RenewLease(lease_pb2.RenewLeaseRequest(pbx=pbx.name, epoch=1), timeout=HANG_SECONDS)


async def test_sigint_ends_it_too(sqlite_database_url: str) -> None:
    process = MasterProcess(sqlite_database_url)
    await process.start()
    assert await process._end(signal.SIGINT) == 0
