"""Rule F5: a standby takes over as soon as masters see that its primary is gone, not from one that only reconnects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeAlias

import pytest
from grpc import aio

from licensemaster.v1 import lease_pb2, standby_pb2
from master.domain.leases.leases import LeaseError
from master.domain.leases.presence import COME_BACK_SECONDS, HEARD_SECONDS, RECONNECT_SECONDS
from master.service.runtime.names import PbxName
from tests.rpc.failures import failure
from tests.rules.asking import used
from tests.support.databases.truth import all_events, held_by_pbx, mismatches
from tests.support.masters import PROJECT, Clock, InProcess, in_process_master, two_masters, wire_to
from tests.support.network.lines import Line, Way, Weather
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, BareStandby, standing_by
from tests.support.projects.estates import project
from tests.support.waiting import until

TTL, RENEW, SETTLE = 180, 60, 3
Stream: TypeAlias = aio.UnaryStreamCall[lease_pb2.WatchLeaseRequest, lease_pb2.WatchLeaseResponse]


async def _pair(master: InProcess) -> tuple[BarePbx, BareStandby]:
    """Berlin holds six ports; its standby is connected, and the master has served for long enough to know."""
    await master.wire.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=600))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 6)))
    spare = await standing_by(master.wire)
    master.clock.advance(RECONNECT_SECONDS)
    await berlin.renew()
    await spare.renew()
    return berlin, spare


@asynccontextmanager
async def _line(master: InProcess, berlin: BarePbx) -> AsyncIterator[None]:
    """A connection of Berlin's own with its stream; it breaks at the end, and the master has seen so."""
    async with wire_to(master.wire.address) as wire:
        request = lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch)
        await anext(aiter(wire.leases.WatchLease(request)))
        await master.running.stream_recorder.run_once()
        yield
        open_streams = len(master.running.hub)
    await until(lambda: len(master.running.hub) != open_streams)
    await master.running.stream_recorder.run_once()


async def _active(spare: BareStandby) -> standby_pb2.StandbyProblem:
    """The refusal, which is that the primary may be alive; says when to ask again, and what force is."""
    (problem,) = (await spare.refused()).values()
    assert problem.kind == standby_pb2.STANDBY_PROBLEM_KIND_PRIMARY_ACTIVE
    assert problem.HasField("retry_time")
    assert "ask again at" in problem.message
    assert "`force` takes over now" in problem.message
    return problem


@pytest.mark.rule("F5")
async def test_a_dead_primary_is_taken_over_from_when_its_line_breaks(
    master: InProcess, either_database_url: str
) -> None:
    clock = master.clock
    berlin, spare = await _pair(master)
    async with _line(master, berlin):
        assert "its stream is open" in (await _active(spare)).message
    answer = await _active(spare)
    assert "its stream broke 0 s ago" in answer.message
    assert answer.retry_time.ToSeconds() == int(clock.now) + SETTLE
    clock.advance(SETTLE)
    carried = await spare.take_over()
    assert await used(master.wire, "port") == (6, 10)
    assert all(grant.already_held for grant in granted((await carried.sync(*seats("port", 6))).results))
    (event,) = await all_events(master.wire, "lease.taken_over")
    assert '"evidence":"stream_lost"' in event.details
    assert (await failure(berlin.renew())).reason == "LEASE_CARRIED"
    await berlin.open()
    assert len((await held_by_pbx(master.wire))[berlin.name]) == 6
    assert await mismatches(either_database_url) == []


async def _renews(master: InProcess, berlin: BarePbx) -> object:
    return await berlin.renew()


async def _opens_anew(master: InProcess, berlin: BarePbx) -> object:
    return await berlin.open()


async def _watches_again(master: InProcess, berlin: BarePbx) -> Stream:
    """The stream, which lasts as long as somebody has it."""
    stream = master.wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
    await stream.read()
    await master.running.stream_recorder.run_once()
    return stream


@pytest.mark.rule("F5")
@pytest.mark.parametrize("comes_back", [_renews, _opens_anew, _watches_again])
async def test_a_primary_that_comes_back_in_time_is_left_alone(
    master: InProcess, comes_back: Callable[[InProcess, BarePbx], Awaitable[object]]
) -> None:
    berlin, spare = await _pair(master)
    async with _line(master, berlin):
        pass
    master.clock.advance(SETTLE - 1)
    sign = await comes_back(master, berlin)
    master.clock.advance(SETTLE)
    await _active(spare)
    await berlin.renew()
    assert sign is not None


@pytest.mark.rule("F5")
async def test_a_stream_counts_that_was_open_before_there_was_a_standby(master: InProcess) -> None:
    alone = {name: what for name, what in PAIR.items() if name != "spare"}
    await master.wire.apply(project(LICENSES, pbxs=alone, ttl_seconds=TTL, grace_seconds=600))
    berlin = await opened(master.wire, "berlin")
    async with _line(master, berlin):
        await master.wire.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=600))
        spare = await standing_by(master.wire)
        master.clock.advance(RECONNECT_SECONDS)
        await berlin.renew()
        await spare.renew()
    master.clock.advance(SETTLE)
    await spare.take_over()


@pytest.mark.rule("F5")
async def test_a_line_that_breaks_late_says_nothing_of_the_newer_one(master: InProcess) -> None:
    berlin, spare = await _pair(master)
    async with _line(master, berlin):
        newer = await _watches_again(master, berlin)
    master.clock.advance(SETTLE)
    assert "its stream is open" in (await _active(spare)).message
    assert newer is not None


@pytest.mark.rule("F5")
async def test_a_missed_renewal_is_evidence_long_before_the_ttl(master: InProcess) -> None:
    _, spare = await _pair(master)
    answer = await _active(spare)
    assert "no master has seen a stream of it" in answer.message
    late = answer.retry_time.ToSeconds() - int(master.clock.now)
    assert RENEW < late < TTL / 2
    master.clock.advance(late + 1)
    await spare.renew()
    await spare.take_over()
    (event,) = await all_events(master.wire, "lease.taken_over")
    assert '"evidence":"renewal_missed"' in event.details


@pytest.mark.rule("F5")
async def test_a_master_that_has_just_begun_to_serve_says_that_it_knows_nothing(
    either_database_url: str, clock: Clock
) -> None:
    async with in_process_master(either_database_url, clock) as master:
        berlin, spare = await _pair(master)
        async with _line(master, berlin):
            pass
    clock.advance(SETTLE)
    async with in_process_master(either_database_url, clock) as master:
        spare.wire = master.wire
        answer = await _active(spare)
        assert "this master has served for 0 s, and knows of no stream from before" in answer.message
        clock.advance(RECONNECT_SECONDS)
        await spare.take_over()


@pytest.mark.rule("F5")
async def test_a_master_that_drains_is_no_evidence(either_database_url: str, clock: Clock) -> None:
    async with in_process_master(either_database_url, clock) as master:
        berlin, spare = await _pair(master)
        stream = master.wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
        await stream.read()
        await master.running.stream_recorder.run_once()
    async with in_process_master(either_database_url, clock) as master:
        spare.wire = master.wire
        clock.advance(RECONNECT_SECONDS)
        assert "its stream is open" in (await _active(spare)).message


@pytest.mark.rule("F5")
async def test_a_standby_cannot_make_evidence(master: InProcess) -> None:
    berlin, spare = await _pair(master)
    name = PbxName(PROJECT, "berlin")
    for watcher in (PbxName(PROJECT, "spare"), PbxName(PROJECT, "paris"), PbxName("other", "berlin")):
        async with aclosing(master.running.leases.watch_lease(name, berlin.epoch, watcher=watcher)) as stream:
            with pytest.raises(LeaseError):
                await anext(stream)
        await master.running.stream_recorder.run_once()
        master.clock.advance(SETTLE)
        assert "no master has seen a stream of it" in (await _active(spare)).message
    async with aclosing(master.running.leases.watch_lease(name, berlin.epoch, watcher=name)) as stream:
        await anext(stream)
    await master.running.stream_recorder.run_once()
    master.clock.advance(SETTLE)
    await spare.take_over()


@pytest.mark.rule("F5")
async def test_what_one_master_sees_counts_at_the_other(postgresql_database_url: str, clock: Clock) -> None:
    async with two_masters(postgresql_database_url, clock) as (first, other):
        berlin, spare = await _pair(first)
        async with _line(first, berlin):
            spare.wire = other.wire
            assert "its stream is open" in (await _active(spare)).message
        clock.advance(SETTLE)
        await spare.take_over()


async def _stream_ends(stream: Stream, master: InProcess) -> None:
    """The stream is ended by its master, which has written so."""
    assert await stream.read() == aio.EOF
    await master.running.stream_recorder.run_once()


@pytest.mark.rule("F5")
async def test_a_primary_that_hangs_is_asked_by_ending_its_stream(master: InProcess) -> None:
    clock = master.clock
    berlin, spare = await _pair(master)
    stream = await _watches_again(master, berlin)
    await _active(spare)
    clock.advance(HEARD_SECONDS)  # nobody asks for one that was heard of a moment ago
    answer = await _active(spare)
    assert "its stream is open" in answer.message
    assert answer.retry_time.ToSeconds() == int(clock.now + COME_BACK_SECONDS)
    await _stream_ends(stream, master)
    clock.advance(COME_BACK_SECONDS - 1)
    assert "its stream was ended 4 s ago" in (await _active(spare)).message
    clock.advance(1)
    await spare.take_over()
    (event,) = await all_events(master.wire, "lease.taken_over")
    assert '"evidence":"stream_lost"' in event.details


@pytest.mark.rule("F5")
@pytest.mark.parametrize("comes_back", [_renews, _opens_anew, _watches_again])
async def test_a_primary_that_comes_back_as_it_is_asked_is_left_alone(
    master: InProcess, comes_back: Callable[[InProcess, BarePbx], Awaitable[object]]
) -> None:
    berlin, spare = await _pair(master)
    stream = await _watches_again(master, berlin)
    master.clock.advance(HEARD_SECONDS)
    await _active(spare)
    await _stream_ends(stream, master)
    master.clock.advance(1)
    sign = await comes_back(master, berlin)
    master.clock.advance(COME_BACK_SECONDS - 1)
    await _active(spare)
    assert sign is not None


@pytest.mark.rule("F5")
async def test_a_standby_that_could_not_take_over_anyway_ends_no_stream(master: InProcess) -> None:
    berlin, spare = await _pair(master)
    stream = await _watches_again(master, berlin)
    master.clock.advance(HEARD_SECONDS)
    spare.epoch += 1
    assert len(await spare.refused()) == 2
    await berlin.close()
    response = await stream.read()
    assert isinstance(response, lease_pb2.WatchLeaseResponse)
    assert [notice.kind for notice in response.notices] == [lease_pb2.NOTICE_KIND_CLOSED]


@pytest.mark.rule("F5")
async def test_the_other_master_asks_a_primary_as_well(postgresql_database_url: str, clock: Clock) -> None:
    async with two_masters(postgresql_database_url, clock) as (first, other):
        berlin, spare = await _pair(first)
        stream = await _watches_again(first, berlin)
        clock.advance(HEARD_SECONDS)
        spare.wire = other.wire
        await _active(spare)
        await _stream_ends(stream, first)
        clock.advance(COME_BACK_SECONDS)
        await spare.take_over()


@pytest.mark.rule("F5")
async def test_a_line_that_no_longer_answers_is_found_out(either_database_url: str, clock: Clock) -> None:
    """Half-open, as when the power fails: nobody closes the connection, and pings stay unanswered."""
    pings = {"keepalive_seconds": 0.5, "keepalive_timeout_seconds": 2.0}
    async with in_process_master(either_database_url, clock, **pings) as master:
        berlin, spare = await _pair(master)
        line = Line(master.wire.address, seed=0)
        await line.start()
        async with wire_to(line.address) as wire:
            stream = wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
            await stream.read()
            line.weather = Weather(silent=Way.BOTH)
            await until(lambda: not len(master.running.hub))
            await master.running.stream_recorder.run_once()
            clock.advance(SETTLE)
            await spare.take_over()
        await line.stop()
