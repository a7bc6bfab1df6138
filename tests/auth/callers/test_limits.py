"""One caller's share: what it may do at once, what it gets back with time, and that others lose nothing by it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable

import pytest

from licensemaster.v1 import lease_pb2
from master.auth.callers.limits import CallerLimitError, CallerLimits, Paces, Shares
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.masters import Clock, in_process_master


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
    for opened, answer in ((shares.stream, "2 streams"), (shares.call, "2 calls")):
        with opened("b"), opened("a"):
            with opened("a"), pytest.raises(CallerLimitError, match=answer), opened("a"):
                pass
            with opened("a"):
                pass


def test_bytes_under_way_are_bounded_for_one_and_for_all() -> None:
    shares = Shares(limits(bytes_max=100, all_bytes_max=150), Clock())
    with shares.call("a") as first, shares.call("a") as second, shares.call("b") as other:
        first.bring(90)
        with pytest.raises(CallerLimitError, match="of this caller"):
            second.bring(20)
        first.bring(30)
        second.bring(70)
        with pytest.raises(CallerLimitError, match="too many large requests"):
            other.bring(60)
        other.bring(50)
    with shares.call("a") as again:
        again.bring(100)


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
