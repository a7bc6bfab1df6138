"""Group commit: one batch for all that waits, a bounded queue, and nobody harmed by a neighbour."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from licensemaster.api_enums import HolderKind
from master.catalogs import load_catalogs
from master.domain.catalog.versions import Version
from master.domain.leases.leases import LeaseError
from master.domain.seats.seats import Granted, SeatKey, Want
from master.metrics import Metrics
from master.process.tasks import Tasks
from master.service.batch.answers import LeaseGranted, SeatsAcquired
from master.service.batch.requests import AcquireSeats, CloseLease, OpenLease, RenewLease, Request, ReturnSeats
from master.service.estates.estate_cache import EstateCache
from master.service.estates.service_context import ServiceContext
from master.service.leases.committer import CommitLimits, Committer
from master.service.runtime.errors import QueueFullError, StoppedError
from master.service.runtime.fair_queue import QueueLimits
from master.service.runtime.lease_clock import lease_times, never_stepped
from master.service.runtime.names import PbxName, UnknownPbxError
from master.service.runtime.questions import QuestionLimits, Questions
from master.service.runtime.watch import WatchHub
from master.settings import Settings
from master.store.backends.database import Database, StorageError, Tx
from master.store.backends.opening import open_database
from master.store.dry_runs.rehearsals import Rehearsals
from master.store.upkeep.integrity import counter_mismatches
from master.values import replace
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, Clock, in_process_master
from tests.support.projects.estates import project

NAMES = ("berlin", "paris", "rome")


@dataclass(frozen=True, slots=True)
class Bench:
    """A committer that is not started yet: what is submitted before is one batch."""

    committer: Committer
    database: Database
    metrics: Metrics


@pytest.fixture
async def bench(database_url: str, clock: Clock) -> AsyncIterator[Bench]:
    """Three slaves with open leases; rome is licensed locally, so that it has a pool of its own."""
    async with in_process_master(database_url, clock) as master:
        licenses: dict[str, int | tuple[int, str]] = {"PBX-Port12": 10, "PBX-Port 12": (5, "rome-box")}
        await master.wire.apply(project(licenses, pbxs=dict.fromkeys(NAMES, "slave 12 gateway")))
    database, settings, metrics = open_database(database_url), Settings(), Metrics()
    limits = CommitLimits(
        queue=QueueLimits(length_max=8, seats_max=1_000, bytes_max=1_000_000),
        batch_seats_max=100,
        hold_seconds=0,
        retry_after_seconds=0.5,
    )
    lease_time = lease_times(clock, never_stepped, clock_allowance_seconds=5)
    questions = Questions(database, caller=str, limits=QuestionLimits(1, 1))
    context = ServiceContext(
        database=database,
        questions=questions,
        rehearsals=Rehearsals(questions),
        estates=EstateCache(load_catalogs(settings), settings.pace),
        hub=WatchHub(),
        lease_time=lease_time,
        metrics=metrics,
    )
    committer = Committer(context, limits)
    first = [asyncio.ensure_future(committer.submit(_opening(name))) for name in NAMES]
    await asyncio.sleep(0)
    committer.start(Tasks(metrics))
    await asyncio.gather(*first)
    await committer.stop()
    fresh = Committer(replace(context, estates=EstateCache(load_catalogs(settings), settings.pace)), limits)
    yield Bench(fresh, database, metrics)
    await fresh.stop()
    assert await database.read(counter_mismatches) == []
    await database.close()


def _opening(name: str) -> OpenLease:
    return OpenLease(
        pbx=PbxName(PROJECT, name), caller="test", instance_id="i", request_id="r", software=Version.parse("12")
    )


def _wanting(name: str, *holders: str, epoch: int = 1) -> AcquireSeats:
    wants = [Want("port", HolderKind.USER, holder) for holder in holders]
    return AcquireSeats(pbx=PbxName(PROJECT, name), caller="test", proven=None, epoch=epoch, wants=wants)


async def _submitted(bench: Bench, *requests: Request[object]) -> list[asyncio.Task[object]]:
    tasks = [asyncio.create_task(bench.committer.submit(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


def _batches(bench: Bench) -> float:
    return bench.metrics.registry.get_sample_value("license_master_batch_requests_count") or 0


def _granted(answer: object) -> int:
    assert isinstance(answer, SeatsAcquired)
    return sum(isinstance(outcome, Granted) for outcome in answer.outcomes)


async def test_what_waits_is_one_batch(bench: Bench) -> None:
    before = _batches(bench)
    tasks = await _submitted(bench, *(_wanting(name, "anna", "ben") for name in NAMES))
    bench.committer.start(Tasks(bench.metrics))
    assert [_granted(answer) for answer in await asyncio.gather(*tasks)] == [2, 2, 2]
    assert _batches(bench) == before + 1


@pytest.mark.parametrize(("requests", "is_asked", "kept"), [(4, False, 1), (5, False, 50), (5, True, 1)])
async def test_threads_keep_the_interpreter_longer_for_many_callers_alone(
    bench: Bench, requests: int, is_asked: bool, kept: int
) -> None:
    """In tenths of a millisecond; what questions compute would hold up every call."""
    seen, usual = [], sys.getswitchinterval()
    questions = Questions(bench.database, caller=lambda: "operators/anna", limits=QuestionLimits(1, 1))
    context = replace(bench.committer._context, questions=questions)
    committer = Committer(
        context, bench.committer._limits, observer=lambda: seen.append(round(sys.getswitchinterval() * 10_000))
    )
    async with AsyncExitStack() as stack:
        if is_asked:
            await stack.enter_async_context(questions._place())
        sys.setswitchinterval(0.0001)
        stack.callback(sys.setswitchinterval, usual)
        asked = [asyncio.create_task(committer.submit(_wanting("berlin", f"phone-{n}"))) for n in range(requests)]
        await asyncio.sleep(0)
        committer.start(Tasks(bench.metrics))
        await asyncio.gather(*asked)
        await committer.stop()
        assert (seen, round(sys.getswitchinterval() * 10_000)) == ([kept], 1)


async def test_requests_of_a_batch_see_what_those_before_them_left(bench: Bench) -> None:
    tasks = await _submitted(
        bench,
        _wanting("berlin", *(f"phone-{n}" for n in range(8))),
        _wanting("paris", *(f"phone-{n}" for n in range(8))),
        _wanting("berlin", *(f"phone-{n}" for n in range(8))),
        CloseLease(pbx=PbxName(PROJECT, "berlin"), caller="test", proven=None, epoch=1),
        _wanting("paris", *(f"phone-{n}" for n in range(8))),
        _wanting("berlin", "late"),
    )
    bench.committer.start(Tasks(bench.metrics))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [_granted(answers[at]) for at in (0, 1, 2, 4)] == [8, 2, 8, 8]
    assert isinstance(answers[5], LeaseError)


async def test_a_batch_is_bounded_by_its_seats(bench: Bench) -> None:
    before = _batches(bench)
    tasks = await _submitted(bench, *(_wanting("berlin", *(f"{name}-{n}" for n in range(60))) for name in NAMES))
    bench.committer.start(Tasks(bench.metrics))
    assert sum(_granted(answer) for answer in await asyncio.gather(*tasks)) == 10
    assert _batches(bench) == before + 3


async def test_a_request_larger_than_a_batch_is_one_of_its_own(bench: Bench) -> None:
    before = _batches(bench)
    tasks = await _submitted(bench, _wanting("berlin", *(f"n-{n}" for n in range(150))), _wanting("paris", "anna"))
    bench.committer.start(Tasks(bench.metrics))
    assert [_granted(answer) for answer in await asyncio.gather(*tasks)] == [10, 0]
    assert _batches(bench) == before + 2


async def test_a_full_queue_turns_callers_away(bench: Bench) -> None:
    tasks = await _submitted(bench, *(_wanting("berlin", f"phone-{n}") for n in range(10)))
    with pytest.raises(QueueFullError, match=r"try again in 0\.5 s") as failed:
        await tasks[8]
    assert failed.value.retry_after_seconds == 0.5
    with pytest.raises(QueueFullError):
        await tasks[9]
    bench.committer.start(Tasks(bench.metrics))
    assert [_granted(answer) for answer in await asyncio.gather(*tasks[:8])] == [1] * 8
    assert _granted(await bench.committer.submit(_wanting("berlin", "later"))) == 1


async def test_one_pbx_fills_the_queue_for_itself_alone(bench: Bench) -> None:
    """Its newest request goes, and the other's renewal is let in."""
    flood = await _submitted(bench, *(_wanting("berlin", f"phone-{n}") for n in range(8)))
    renewal = RenewLease(pbx=PbxName(PROJECT, "paris"), caller="test", proven=None, epoch=1)
    (renewed,) = await _submitted(bench, renewal)
    with pytest.raises(QueueFullError):
        await flood[7]
    bench.committer.start(Tasks(bench.metrics))
    assert isinstance(await renewed, LeaseGranted)
    assert [_granted(answer) for answer in await asyncio.gather(*flood[:7])] == [1] * 7


async def test_a_pbx_is_served_with_the_next_batch_whatever_another_asks(bench: Bench) -> None:
    """Berlin asks for much, each a batch of its own: Paris renews before, all else it asks is before the next."""
    order: list[str] = []

    async def asked(request: Request[object]) -> None:
        await bench.committer.submit(request)
        order.append(f"{request.pbx.pbx} {type(request).__name__}")

    paris = PbxName(PROJECT, "paris")
    requests: list[Request[object]] = [
        *[_wanting("berlin", *(f"n-{n}" for n in range(120)))] * 4,
        _wanting("paris", "anna"),
        ReturnSeats(pbx=paris, caller="test", proven=None, epoch=1, keys=[SeatKey("port", HolderKind.USER, "anna")]),
        RenewLease(pbx=paris, caller="test", proven=None, epoch=1),
        CloseLease(pbx=paris, caller="test", proven=None, epoch=1),
    ]
    tasks = [asyncio.create_task(asked(request)) for request in requests]
    await asyncio.sleep(0)
    bench.committer.start(Tasks(bench.metrics))
    await asyncio.gather(*tasks)
    assert order == [
        "paris RenewLease",
        "berlin AcquireSeats",
        "paris AcquireSeats",
        "paris ReturnSeats",
        "paris CloseLease",
        *["berlin AcquireSeats"] * 3,
    ]


async def test_a_cancelled_request_does_no_harm(bench: Bench) -> None:
    tasks = await _submitted(bench, *(_wanting(name, "anna") for name in NAMES))
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    bench.committer.start(Tasks(bench.metrics))
    assert [_granted(await tasks[at]) for at in (0, 2)] == [1, 1]
    (again,) = await _submitted(bench, _wanting("paris", "anna"))
    answer = await again
    assert isinstance(answer, SeatsAcquired)
    assert isinstance(answer.outcomes[0], Granted)
    assert not answer.outcomes[0].already_held, "it was given up before it was decided"


async def test_only_the_culprit_of_a_batch_fails(bench: Bench) -> None:
    """Rome's pool is gone from the database by somebody's hand; its estate still names it."""
    bench.committer.start(Tasks(bench.metrics))
    assert _granted(await bench.committer.submit(_wanting("rome", "first"))) == 1
    await bench.committer.stop()

    def break_it(tx: Tx) -> None:
        tx.rows("DELETE FROM seat WHERE holder = ?1 RETURNING holder", "first")
        tx.rows("DELETE FROM pool_usage WHERE pbx_id = (SELECT id FROM pbx WHERE name = ?1) RETURNING 1", "rome")
        tx.rows("DELETE FROM pool WHERE device_id = (SELECT id FROM device WHERE name = ?1) RETURNING id", "rome-box")

    again = Bench(_like(bench.committer), bench.database, bench.metrics)
    warm = await _submitted(again, _wanting("rome"), _wanting("berlin"))
    again.committer.start(Tasks(bench.metrics))
    await asyncio.gather(*warm)
    await again.committer.stop()
    third = Bench(_like(again.committer), bench.database, bench.metrics)
    await bench.database.transact(break_it)
    tasks = await _submitted(
        third,
        _wanting("berlin", "anna"),
        _wanting("rome", "ben"),
        _wanting("paris", "cleo"),
        RenewLease(pbx=PbxName(PROJECT, "rome"), caller="test", proven=None, epoch=1),
    )
    third.committer.start(Tasks(bench.metrics))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await third.committer.stop()
    assert [_granted(answers[at]) for at in (0, 2)] == [1, 1]
    assert isinstance(answers[1], KeyError)
    assert not isinstance(answers[3], BaseException)


def _like(committer: Committer) -> Committer:
    """A committer over the same parts, not started."""
    return Committer(committer._context, committer._limits)


async def test_a_counter_that_would_go_below_nothing_fails_the_request_alone(bench: Bench) -> None:
    """Somebody reset a counter by hand: what contradicts it is not served, everything else is."""
    bench.committer.start(Tasks(bench.metrics))
    await bench.committer.submit(_wanting("rome", "anna"))
    await bench.committer.stop()
    await bench.database.transact(lambda tx: _set_used(tx, 0))
    again = Bench(_like(bench.committer), bench.database, bench.metrics)
    keys = [SeatKey("port", HolderKind.USER, "anna")]
    giving_back = ReturnSeats(pbx=PbxName(PROJECT, "rome"), caller="test", proven=None, epoch=1, keys=keys)
    tasks = await _submitted(again, _wanting("berlin", "ben"), giving_back, _wanting("paris", "cleo"))
    again.committer.start(Tasks(bench.metrics))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await again.committer.stop()
    assert [_granted(answers[at]) for at in (0, 2)] == [1, 1]
    assert isinstance(answers[1], AssertionError)
    assert await bench.database.read(counter_mismatches), "and `license-master db check` says what is wrong"
    await bench.database.transact(lambda tx: _set_used(tx, 1))


def _set_used(tx: Tx, used: int) -> None:
    statement = "UPDATE pool SET used = ?1 WHERE device_id = (SELECT id FROM device WHERE name = ?2) RETURNING id"
    assert len(tx.rows(statement, used, "rome-box")) == 1


async def test_the_database_itself_refuses_an_overdrawn_pool(bench: Bench) -> None:
    """Should the arithmetic ever be wrong, the constraint fails the work and not the licenses."""
    with pytest.raises(Exception, match="never_overdrawn"):
        await bench.database.transact(lambda tx: _set_used(tx, 6))
    with pytest.raises(Exception, match="never_overdrawn"):
        await bench.database.transact(lambda tx: _set_used(tx, -1))


async def test_an_unknown_pbx_and_a_wrong_epoch_fail_alone(bench: Bench) -> None:
    tasks = await _submitted(
        bench, _wanting("nowhere", "anna"), _wanting("berlin", "anna", epoch=7), _wanting("paris", "anna")
    )
    bench.committer.start(Tasks(bench.metrics))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], UnknownPbxError)
    assert isinstance(answers[1], LeaseError)
    assert _granted(answers[2]) == 1


async def test_stopping_commits_what_waits_and_takes_no_more(bench: Bench) -> None:
    tasks = await _submitted(bench, _wanting("berlin", "anna"))
    bench.committer.start(Tasks(bench.metrics))
    await bench.committer.stop()
    assert _granted(await tasks[0]) == 1
    with pytest.raises(StoppedError):
        await bench.committer.submit(_wanting("berlin", "ben"))


async def test_whoever_waits_when_it_is_broken_off_is_answered_and_the_next_is_served(bench: Bench) -> None:
    """Whatever ends it in the middle of a commit: nobody waits for ever, and asking again is safe."""
    kept = Tasks(bench.metrics)
    (waiting,) = await _submitted(bench, _wanting("berlin", "anna"))
    bench.committer.start(kept)
    await asyncio.sleep(0)  # it has begun
    (running,) = (task for task in asyncio.all_tasks() if task.get_name() == "committer")
    running.cancel()
    (late,) = await _submitted(bench, _wanting("paris", "ben"))
    async with asyncio.timeout(HANG_SECONDS):
        with pytest.raises(StorageError, match="try again"):
            await waiting
        assert _granted(await late) == 1
        assert _granted(await bench.committer.submit(_wanting("berlin", "anna"))) == 1
