"""One caller's share: what it may do at once, what it gets back with time, and that others lose nothing by it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Awaitable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
import pytest

from licensemaster.tls.channels import open_channel
from licensemaster.v1 import lease_pb2, project_pb2, seat_pb2
from master.auth.callers.limits import CallerLimitError, CallerLimits, Paces, Share, Shares
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.masters import UNHURRIED, Clock, Wire, in_process_master
from tests.support.pbxs.pbx import opened
from tests.support.projects.estates import project
from tests.support.waiting import until


def limits(*, streams_max: int = 1, calls_max: int = 9, bytes_max: int = 1, all_bytes_max: int = 1) -> CallerLimits:
    return CallerLimits(
        burst_seconds=2,
        streams_max=streams_max,
        calls_max=calls_max,
        reads_max=1,
        bytes_per_second=1e9,
        bytes_max=bytes_max,
        all_bytes_max=all_bytes_max,
    )


def test_who_has_had_more_than_its_pace_waits_until_it_is_paid_for() -> None:
    clock = Clock()
    paces = Paces(per_second=100, burst_seconds=10, clock=clock)
    paces.take("mad", 1000)
    assert paces.wait_seconds("mad") == 0
    paces.take("mad", 500)
    assert paces.wait_seconds("mad") == pytest.approx(5)
    assert paces.wait_seconds("berlin") == 0
    clock.advance(4)
    assert paces.wait_seconds("mad") == pytest.approx(1)
    clock.advance(12)
    paces.take("berlin", 1)
    assert paces._paid.keys() == {"berlin"}  # who has paid is forgotten


def test_a_burst_and_then_the_pace_and_never_a_longer_wait_than_the_longest() -> None:
    clock = Clock()
    paces = Paces(per_second=10, burst_seconds=2, clock=clock, wait_seconds_max=5)
    paces.take("a", 20)
    assert paces.wait_seconds("a") == 0
    paces.take("a", 1)
    assert paces.wait_seconds("a") == pytest.approx(0.1)
    paces.take("a", 1000)
    assert paces.wait_seconds("a") == pytest.approx(5)
    clock.advance(3600)
    paces.take("a", 20)
    assert paces.wait_seconds("a") == 0
    assert len(paces) == 1
    rare = Paces(per_second=0.1, burst_seconds=2, clock=clock)
    rare.take("a", 1)
    assert rare.wait_seconds("a") == 0  # one is saved up, however low the pace


def test_a_new_key_costs_no_look_at_all_others() -> None:
    clock = Clock()
    paces = Paces(per_second=1, burst_seconds=10, clock=clock)
    looked, known = 0, paces._paid
    for number in range(1000):
        paces.take(number, 1)
        looked, known = looked + (paces._paid is not known), paces._paid
    assert looked <= 11
    clock.advance(1)
    for number in range(5000):
        paces.take(number, 1)
        clock.advance(1)
    assert len(paces) == 1  # who has paid is forgotten soon, however many there were


def test_streams_and_calls_are_given_back() -> None:
    shares = Shares(limits(streams_max=2, calls_max=2), Clock())

    @contextmanager
    def call(caller: str) -> Iterator[Share]:
        with closing(shares.call(caller)) as share:
            yield share

    @contextmanager
    def stream(caller: str) -> Iterator[None]:
        with call(caller) as share:
            share.become_stream()
            yield

    for counted, answer in ((stream, "2 streams"), (call, "2 calls")):
        with counted("b"), counted("a"):
            with counted("a"), pytest.raises(CallerLimitError, match=answer), counted("a"):
                pass
            with counted("a"):
                pass


def test_bytes_under_way_are_bounded_for_one_and_for_all() -> None:
    shares = Shares(limits(bytes_max=100, all_bytes_max=150), Clock())
    with closing(shares.call("a")) as first, closing(shares.call("a")) as second, closing(shares.call("b")) as other:
        first.bring(90)
        with pytest.raises(CallerLimitError, match="of this caller"):
            second.bring(20)
        first.bring(30)
        second.bring(70)
        with pytest.raises(CallerLimitError, match="too many large requests"):
            other.bring(60)
        other.bring(50)
    with closing(shares.call("a")) as again:
        again.bring(100)


def test_answers_that_are_not_taken_are_bounded_and_given_back() -> None:
    shares = Shares(limits(bytes_max=100), Clock())
    with closing(shares.call("a")) as first, closing(shares.call("a")) as second:
        first.answer(99)
        second.answer(1000)  # however long one is
        for asks in (lambda: shares.call("a"), lambda: first.answer(1)):
            with pytest.raises(CallerLimitError, match=r"1099 bytes|1000 bytes"):
                asks()
        with closing(shares.call("b")) as other:
            other.answer(1000)
        second.close()
        first.answer(5)
    assert not shares._open


async def _first(stream: AsyncIterable[object]) -> None:
    async for _ in stream:
        return


async def test_streams_that_failed_are_not_open_ones(sqlite_database_url: str, pki: Pki) -> None:
    settings = {**pki.serve(pki.server_key()), "caller_streams_max": 1}
    async with in_process_master(sqlite_database_url, Clock(time.time()), **settings) as master:
        credentials = pki.certified_key("projects/acme/pbxs/berlin").credentials
        async with shown_to(f"127.0.0.1:{master.running.port}", credentials) as berlin:
            watch = lease_pb2.WatchLeaseRequest(pbx="projects/acme/pbxs/berlin", epoch=1)
            for _ in range(3):
                assert (await failure(_first(berlin.leases.WatchLease(watch)))).reason == "UNKNOWN_PBX"


async def test_who_takes_no_answers_gets_no_more_until_it_does(sqlite_database_url: str, pki: Pki) -> None:
    """Nothing ends such a call by itself: its connection is alive."""
    settings = {**pki.serve(pki.server_key()), "message_bytes_max": 65_536}
    async with in_process_master(sqlite_database_url, Clock(time.time()), **settings) as master:
        address = f"127.0.0.1:{master.running.port}"
        anna, own = (pki.certified_key(uri).credentials for uri in ("operators/anna", "projects/acme/pbxs/berlin"))
        slow = (*UNHURRIED, ("grpc.http2.bdp_probe", 0))  # else the client takes ahead what nobody reads
        async with shown_to(address, anna) as operator, open_channel(address, own, slow) as channel:
            berlin = Wire(address, channel)
            await operator.apply(project({"PBX-Port12": 1}, pbxs={"berlin": "slave 12 gateway"}))
            pbx = await opened(berlin, "berlin")
            user = seat_pb2.HOLDER_KIND_USER
            wanted = [seat_pb2.Seat(license_type="fax", holder_kind=user, holder=f"{n}") for n in range(3_000)]
            request = lease_pb2.AcquireSeatsRequest(pbx=pbx.name, epoch=pbx.epoch, seats=wanted)
            ask: Any = berlin.channel.unary_stream("/licensemaster.v1.LeaseService/AcquireSeats")
            unread = ask(request.SerializeToString())
            await unread.initial_metadata()
            refused = await failure(pbx.renew())
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALLER_LIMIT")
            assert "not taken" in refused.message
            assert refused.retry_after_ms > 0
            await operator.projects.ListProjects(project_pb2.ListProjectsRequest())  # who takes them, does
            assert len(lease_pb2.AcquireSeatsResponse.FromString(await unread.read()).results) == 3_000
            assert await unread.read() is grpc.aio.EOF
            await until(lambda: served(pbx.renew()))


async def served(call: Awaitable[object]) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError:
        return False
    return True
