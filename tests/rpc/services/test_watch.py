"""Streams tell a PBX at once of what concerns it."""

from __future__ import annotations

import asyncio
import threading

import grpc

from licensemaster.daemon.settings import load
from licensemaster.v1 import lease_pb2, project_pb2
from master.app import mark_restored
from master.settings import Settings
from master.store.backends.database import Tx
from tests.rpc.failures import failure
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, Wire, in_process_master, two_masters
from tests.support.pbxs.pbx import BarePbx, opened
from tests.support.projects.estates import project
from tests.support.waiting import until

FENCED, CLOSED, EXPIRED = (
    lease_pb2.NOTICE_KIND_FENCED,
    lease_pb2.NOTICE_KIND_CLOSED,
    lease_pb2.NOTICE_KIND_EXPIRED,
)
Stream = grpc.aio.UnaryStreamCall[lease_pb2.WatchLeaseRequest, lease_pb2.WatchLeaseResponse]
ApplyCall = grpc.aio.UnaryUnaryCall[project_pb2.ApplyProjectRequest, project_pb2.ApplyProjectResponse]


def _watch(wire: Wire, pbx: BarePbx) -> Stream:
    return wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=pbx.name, epoch=pbx.epoch))


async def _next(stream: Stream) -> list[lease_pb2.NoticeKind.ValueType]:
    """The next message; it must come by itself."""
    async with asyncio.timeout(HANG_SECONDS):
        answer = await stream.read()
    assert isinstance(answer, lease_pb2.WatchLeaseResponse)
    assert all(notice.message for notice in answer.notices)
    return [notice.kind for notice in answer.notices]


async def _ends(stream: Stream) -> bool:
    return await stream.read() is grpc.aio.EOF


async def test_the_first_message_comes_at_once(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    stream = _watch(master.wire, berlin)
    assert await _next(stream) == []
    stream.cancel()


async def test_a_fenced_holder_is_told_and_can_do_nothing_more(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    old = await opened(master.wire, "berlin")
    stream = _watch(master.wire, old)
    assert await _next(stream) == []
    await opened(master.wire, "berlin")
    assert await _next(stream) == [FENCED]
    assert await _ends(stream)
    for call in (old.renew(), old.close(), old.sync(), _watch(master.wire, old).read()):
        assert (await failure(call)).reason == "LEASE_FENCED"


async def test_a_fenced_holder_is_told_though_who_fenced_it_has_gone(sqlite_master: InProcess) -> None:
    """It gave up while its opening was committed."""
    await sqlite_master.wire.apply(project({"PBX-Port12": 1}))
    old = await opened(sqlite_master.wire, "berlin")
    stream = _watch(sqlite_master.wire, old)
    assert await _next(stream) == []
    busy, may_commit = await _busy_writer(sqlite_master)
    opening = lease_pb2.OpenLeaseRequest(
        pbx=old.name, instance_id="another", request_id="opening", software_version="12"
    )
    call = sqlite_master.wire.leases.OpenLease(opening)
    asking = asyncio.ensure_future(failure(call))
    async with asyncio.timeout(HANG_SECONDS):
        await until(lambda: not len(sqlite_master.running.committer) and sqlite_master.running.committer.is_busy)
        call.cancel()
        await until(lambda: _given_up(sqlite_master, "OpenLease"))
    may_commit.set()
    assert await _next(stream) == [FENCED]
    await asyncio.gather(busy, asking, return_exceptions=True)


async def _watched_while_busy(master: InProcess) -> tuple[Stream, asyncio.Task[bool], threading.Event]:
    """A PBX watches, and the writer is held until the event is set."""
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin", software="12")
    stream = _watch(master.wire, berlin)
    assert await _next(stream) == []
    busy, may_commit = await _busy_writer(master)
    return stream, busy, may_commit


def _applying_less(master: InProcess) -> tuple[ApplyCall, asyncio.Future[object]]:
    """An operator applies a project by which the PBX's software is above what is licensed."""
    wanted = project({"PBX-Port12": 1, "PBX-Port10": 1})
    call = master.wire.projects.ApplyProject(project_pb2.ApplyProjectRequest(project=wanted, request_id="apply-2"))
    return call, asyncio.ensure_future(failure(call))


async def test_who_watches_is_told_of_a_change_whose_operator_has_gone(sqlite_master: InProcess) -> None:
    """A large project may take longer to apply than its operator waits."""
    stream, busy, may_commit = await _watched_while_busy(sqlite_master)
    call, asking = _applying_less(sqlite_master)
    async with asyncio.timeout(HANG_SECONDS):
        while not sqlite_master.running.database._writer._waiting.qsize():  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    may_commit.set()
    assert await _next(stream) == [lease_pb2.NOTICE_KIND_VERSION_LIMIT]
    await busy


async def test_who_watches_is_told_of_a_change_whose_operator_goes_as_it_was_made(sqlite_master: InProcess) -> None:
    """The project is read anew before PBXs ask, which of many sites takes a while."""
    stream, busy, may_commit = await _watched_while_busy(sqlite_master)
    call, asking = _applying_less(sqlite_master)
    may_read, database = threading.Event(), sqlite_master.running.database
    await until(lambda: database._writer._waiting.qsize())  # type: ignore[attr-defined]
    reading = asyncio.create_task(database.ask(lambda _: may_read.wait(HANG_SECONDS)))
    may_commit.set()

    async def applied() -> bool:
        return len(await database.read(lambda tx: tx.rows("SELECT 1 FROM event WHERE kind = 'project.applied'"))) == 2

    await until(applied)
    call.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    may_read.set()
    assert await _next(stream) == [lease_pb2.NOTICE_KIND_VERSION_LIMIT]
    await asyncio.gather(busy, reading)


async def test_who_watches_is_told_that_learning_ends_though_the_operator_has_gone(
    sqlite_database_url: str, clock: Clock
) -> None:
    async with in_process_master(sqlite_database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 1}))
    await mark_restored(load(Settings, None, database_url=sqlite_database_url), caller="operator anna", clock=clock)
    async with in_process_master(sqlite_database_url, clock) as master:
        stream = _watch(master.wire, await opened(master.wire, "berlin"))
        assert await _next(stream) == [lease_pb2.NOTICE_KIND_LEARNING]
        busy, may_commit = await _busy_writer(master)
        call = master.wire.projects.EndLearning(
            project_pb2.EndLearningRequest(project="projects/acme", reason="a test", request_id="end")
        )
        asking = asyncio.ensure_future(failure(call))
        await until(lambda: master.running.database._writer._waiting.qsize())  # type: ignore[attr-defined]
        call.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        may_commit.set()
        assert await _next(stream) == []
        await busy


async def _busy_writer(master: InProcess) -> tuple[asyncio.Task[bool], threading.Event]:
    """Have nothing committed until the event is set."""
    begun, may_commit = threading.Event(), threading.Event()

    def work(_: Tx) -> bool:
        begun.set()
        return may_commit.wait(HANG_SECONDS)

    busy = asyncio.create_task(master.running.database.transact(work))
    await asyncio.to_thread(begun.wait, HANG_SECONDS)
    return busy, may_commit


def _given_up(master: InProcess, method: str) -> float:
    labels = {"grpc_service": "licensemaster.v1.LeaseService", "grpc_method": method, "grpc_code": "CANCELLED"}
    return master.running.metrics.registry.get_sample_value("grpc_server_handled_total", labels) or 0


async def test_a_closed_lease(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    stream = _watch(master.wire, berlin)
    assert await _next(stream) == []
    await berlin.close()
    assert await _next(stream) == [CLOSED]
    assert await _ends(stream)
    assert (await failure(_watch(master.wire, berlin).read())).reason == "LEASE_CLOSED"


async def test_an_expired_lease(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}, ttl_seconds=60, grace_seconds=60))
    berlin = await opened(master.wire, "berlin")
    stream = _watch(master.wire, berlin)
    assert await _next(stream) == []
    master.clock.advance(126)
    await master.running.expiry.run_once()
    assert await _next(stream) == [EXPIRED]
    assert await _ends(stream)
    assert (await failure(_watch(master.wire, berlin).read())).reason == "LEASE_EXPIRED"


async def test_a_version_limit_comes_and_goes_with_an_apply(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin", software="12")
    stream = _watch(master.wire, berlin)
    assert await _next(stream) == []
    await master.wire.apply(project({"PBX-Port12": 1, "PBX-Port10": 1}))
    async with asyncio.timeout(HANG_SECONDS):
        answer = await stream.read()
    assert isinstance(answer, lease_pb2.WatchLeaseResponse)
    (notice,) = answer.notices
    assert notice.kind == lease_pb2.NOTICE_KIND_VERSION_LIMIT
    assert [license.type for license in notice.licenses] == ["PBX-Port10"]
    assert [each.kind for each in (await berlin.renew()).notices] == [notice.kind]
    await master.wire.apply(project({"PBX-Port12": 1}))
    assert await _next(stream) == []
    stream.cancel()


async def test_what_another_master_does_is_told_too(postgresql_database_url: str, clock: Clock) -> None:
    async with two_masters(postgresql_database_url, clock, watch_interval_seconds=0.05) as (first, other):
        await first.wire.apply(project({"PBX-Port12": 1}, ttl_seconds=60, grace_seconds=60))
        old = await opened(first.wire, "berlin")
        stream = _watch(first.wire, old)
        assert await _next(stream) == []
        new = await opened(other.wire, "berlin")
        assert await _next(stream) == [FENCED]
        stream = _watch(first.wire, new)
        assert await _next(stream) == []
        await other.wire.apply(project({"PBX-Port10": 1}, ttl_seconds=60, grace_seconds=60))
        assert await _next(stream) == [lease_pb2.NOTICE_KIND_VERSION_LIMIT]
        clock.advance(126)
        await other.running.expiry.run_once()
        assert await _next(stream) == [EXPIRED]
        assert await _ends(stream)
        late = await opened(first.wire, "berlin")
        stream = _watch(first.wire, late)
        await _next(stream)
        await BarePbx.close(late)
        assert await _next(stream) == [CLOSED]


async def test_a_stopping_master_tells_its_streams(either_database_url: str, clock: Clock) -> None:
    async with in_process_master(either_database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 1}))
        berlin = await opened(master.wire, "berlin")
        stream = _watch(master.wire, berlin)
        assert await _next(stream) == []
        master.running.hub.drain()
        assert await _next(stream) == [lease_pb2.NOTICE_KIND_DRAINING]
        assert await _ends(stream)
        assert [notice.kind for notice in (await berlin.renew()).notices] == [lease_pb2.NOTICE_KIND_DRAINING]
