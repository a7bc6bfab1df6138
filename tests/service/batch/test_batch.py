"""What requests of one batch leave to each other, in an order that a socket cannot guarantee."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from licensemaster.api_enums import HolderKind
from licensemaster.daemon.settings import load
from master.catalogs import load_catalogs
from master.domain.catalog.versions import Version
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.project import ProjectSpec
from master.domain.leases.leases import LeaseError
from master.domain.seats.seats import Returned, SeatKey, Want
from master.rpc.convert.from_messages import value_from
from master.service.batch.answers import LeaseClosed, LeaseGranted, SeatsAcquired, SeatsReclaimed, SeatsReturned
from master.service.batch.batch import run_batch
from master.service.batch.requests import (
    AcquireSeats,
    CloseLease,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    Request,
    ReturnSeats,
    SyncSeats,
)
from master.service.estates.estate_cache import EstateCache
from master.service.projects.apply import Applied, ApplyProject, apply_project
from master.service.runtime.names import PbxName
from master.service.runtime.request_answers import RequestKey
from master.settings import Settings
from master.store.backends.database import Database, Tx
from master.store.backends.opening import open_database
from master.store.backends.sqlite import SqliteTx
from master.store.dry_runs.rehearsals import Rehearsals
from master.store.upkeep.integrity import counter_mismatches
from master.values import replace
from tests.support.projects.estates import project

BERLIN = PbxName("acme", "berlin")


def _at(now: float) -> LeaseTime:
    return LeaseTime.at(now, clock_allowance_seconds=5)


def opening(request_id: str) -> OpenLease:
    return OpenLease(pbx=BERLIN, caller="test", instance_id="one", request_id=request_id, software=Version(12))


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches on a database of ten ports, each at a moment of its own."""

    database: Database
    estates: EstateCache

    async def run(self, now: float, *requests: Request[object]) -> list[object]:
        return await self.database.transact(lambda tx: run_batch(tx, self.estates, _at(now), requests).answers)

    async def statements(self, now: float, request: Request[object]) -> int:
        """How many statements a request takes, but for those that begin and end its transaction."""
        received: list[str] = []

        def work(tx: Tx) -> None:
            assert isinstance(tx, SqliteTx)
            raw = tx._connection
            raw.set_trace_callback(received.append)
            run_batch(tx, self.estates, _at(now), [request])
            raw.set_trace_callback(None)

        await self.database.transact(work)
        return len(received)


@pytest.fixture
async def batches(sqlite_database_url: str) -> AsyncIterator[Batches]:
    settings = load(Settings, None, database_url=sqlite_database_url)
    catalogs = load_catalogs(settings)
    database = open_database(sqlite_database_url)
    spec = value_from(ProjectSpec, project({"PBX-Port12": 10}, ttl_seconds=60, grace_seconds=0))
    key: RequestKey[Applied] = RequestKey(kind="ApplyProject", request_id="apply", fingerprint="", encode=lambda _: b"")
    applied = ApplyProject(spec=spec, caller="test", key=key, dry_run=False)
    estates = EstateCache(catalogs, settings.pace)
    await apply_project(database, Rehearsals(database), applied, estates, _at(0))
    yield Batches(database, estates)
    assert await database.read(counter_mismatches) == []
    await database.close()


def acquiring(count: int) -> AcquireSeats:
    wants = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(count)]
    return AcquireSeats(pbx=BERLIN, caller="test", proven=None, epoch=1, wants=wants)


async def test_a_lease_that_expires_and_is_opened_in_one_batch_starts_with_nothing(batches: Batches) -> None:
    await batches.run(100, opening("first"))
    await batches.run(101, acquiring(3))
    reclaim = ReclaimSeats(pbx=BERLIN, caller="test", holders_max=1)
    reclaimed, granted = await batches.run(200, reclaim, opening("second"))
    assert isinstance(reclaimed, SeatsReclaimed)
    assert isinstance(granted, LeaseGranted)
    assert granted.lease.epoch == 2
    assert granted.holdings == {}


async def test_what_a_lease_that_ran_out_has_left_goes_back_before_the_next_one_acquires(batches: Batches) -> None:
    await batches.run(100, opening("first"))
    await batches.run(101, acquiring(10))
    await batches.run(200, ReclaimSeats(pbx=BERLIN, caller="test", holders_max=1))
    wants = [Want("port", HolderKind.USER, f"new-{number}") for number in range(10)]
    (granted,) = await batches.run(201, replace(opening("second"), wants=wants))
    assert isinstance(granted, LeaseGranted)
    assert granted.holdings == {"port": 10}
    assert granted.held_before == 0
    holders = await batches.database.read(lambda tx: tx.rows("SELECT holder FROM seat ORDER BY holder"))
    assert {holder for (holder,) in holders} == {want.holder for want in wants}


async def test_a_lease_tells_what_is_held_when_its_turn_comes(batches: Batches) -> None:
    await batches.run(100, opening("first"))
    renewal = RenewLease(pbx=BERLIN, caller="test", proven=None, epoch=1)
    give_back = ReturnSeats(
        pbx=BERLIN, caller="test", proven=None, epoch=1, keys=[want.key for want in acquiring(1).wants]
    )
    close = CloseLease(pbx=BERLIN, caller="test", proven=None, epoch=1)
    answers = await batches.run(
        101, renewal, acquiring(3), renewal, acquiring(5), give_back, renewal, close, opening("second")
    )
    granted = [answer.holdings for answer in answers if isinstance(answer, LeaseGranted)]
    assert granted == [{}, {"port": 3}, {"port": 4}, {}]


async def test_how_many_statements_the_hot_path_takes(batches: Batches) -> None:
    await batches.run(100, opening("first"))
    assert await batches.statements(101, acquiring(3)) == 10
    assert await batches.statements(102, RenewLease(pbx=BERLIN, caller="test", proven=None, epoch=1)) == 4
    assert await batches.statements(103, opening("second")) == 7
    assert await batches.statements(104, replace(opening("third"), wants=acquiring(5).wants)) == 13


async def test_giving_up_ten_seats_takes_as_many_statements_as_giving_up_one(batches: Batches) -> None:
    taken = []
    for epoch, count in ((1, 1), (2, 10)):
        await batches.run(100, opening(f"opened-{epoch}"))
        await batches.run(101, replace(acquiring(count), epoch=epoch))
        close = CloseLease(pbx=BERLIN, caller="test", proven=None, epoch=epoch)
        taken.append(await batches.statements(102, close))
        assert await batches.database.read(lambda tx: tx.rows("SELECT count(*) FROM seat")) == [(0,)]
    assert taken[0] == taken[1]


async def test_a_sync_that_gives_up_ten_seats_takes_as_many_statements_as_one_that_gives_up_one(
    batches: Batches,
) -> None:
    taken, nothing = [], SyncSeats(pbx=BERLIN, caller="test", proven=None, epoch=1, wants=[])
    await batches.run(100, opening("opened"))
    for count in (1, 10):
        await batches.run(101, acquiring(count))
        taken.append(await batches.statements(102, nothing))
        assert await batches.database.read(lambda tx: tx.rows("SELECT count(*) FROM seat")) == [(0,)]
    assert taken[0] == taken[1]


async def test_a_seat_that_is_returned_twice_in_one_call_was_held_once(batches: Batches) -> None:
    await batches.run(100, opening("opened"))
    await batches.run(101, acquiring(3))
    keys = [SeatKey("port", HolderKind.USER, f"phone-{number}") for number in (2, 2, 5, 0)]
    (returned,) = await batches.run(102, ReturnSeats(pbx=BERLIN, caller="test", proven=None, epoch=1, keys=keys))
    assert isinstance(returned, SeatsReturned)
    assert [outcome == Returned(was_held=True) for outcome in returned.outcomes] == [True, False, False, True]
    assert await batches.database.read(lambda tx: tx.rows("SELECT holder FROM seat")) == [("phone-1",)]


async def test_a_renewal_beside_the_end_of_its_lease_tells_what_was_held_until_then(batches: Batches) -> None:
    await batches.run(100, opening("first"))
    await batches.run(101, acquiring(4))
    renewal = RenewLease(pbx=BERLIN, caller="test", proven=None, epoch=1)
    close = CloseLease(pbx=BERLIN, caller="test", proven=None, epoch=1)
    before, closed, after = await batches.run(102, renewal, close, renewal)
    assert isinstance(before, LeaseGranted)
    assert before.holdings == {"port": 4}
    assert closed == LeaseClosed(4)
    assert isinstance(after, LeaseError)


async def test_a_lease_opened_after_its_end_finds_all_ports_free(batches: Batches) -> None:
    await batches.run(100, opening("first"))
    await batches.run(101, acquiring(10))
    await batches.run(200, ReclaimSeats(pbx=BERLIN, caller="test", holders_max=1))
    (granted,) = await batches.run(201, opening("second"))
    assert isinstance(granted, LeaseGranted)
    assert granted.holdings == {}
    (acquired,) = await batches.run(202, replace(acquiring(10), epoch=2))
    assert isinstance(acquired, SeatsAcquired)
    assert acquired.tally.debited == {"port": 10}
