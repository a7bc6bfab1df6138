"""Dry runs are done on a copy: they take no writer and no lock, and leave nothing anywhere."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, lease_pb2, license_pb2, project_pb2, standby_pb2
from master.service.leases.drill import drill
from master.service.runtime.names import PbxName
from master.store.backends.sqlite import SqliteDatabase
from master.store.dry_runs.project_copies import LEFT_OUT, copy_of, rehearsed, tables_of
from master.store.dry_runs.rehearsals import of_every_pbx, of_no_pbx, of_pair
from master.store.tables.names import TABLES
from tests.auth.callers.test_permissions import METHODS
from tests.rpc.failures import NAME, failure
from tests.rpc.services.test_planning import everything_stored
from tests.support.databases.held import busy, writer_held
from tests.support.masters import PROJECT, Clock, InProcess, Wire, in_process_master
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.pbxs.standbys import PAIR, standing_by
from tests.support.projects.allocations import Rule, lay_down
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, imported
from tests.support.waiting import until

BERLIN, SPARE = f"{NAME}/pbxs/berlin", f"{NAME}/pbxs/spare"
_LICENSES: dict[str, int | tuple[int, str]] = {"PBX-Port12": 10, "PBX-Standby12": 20}
_OTHER_PLACES = {**PAIR, "berlin": "slave 12 ipva", "rome": "slave 12 gateway"}
_ORDER = orders.AgreementOrder(add_credits=orders.AddCredits(amount="5"))
_DEAD = {"in_use": license_pb2.IN_USE_FORCE, "device_dead": True, "reason": "test"}

DRY_RUNS: dict[str, Callable[[Wire], Awaitable[Any]]] = {
    "ProjectService/ApplyProject": lambda wire: wire.apply(
        project({**_LICENSES, "PBX-IPVA12": (10, "berlin-box")}, pbxs=_OTHER_PLACES), dry_run=True
    ),
    "AllocationService/ApplyAllocation": lambda wire: lay_down(
        wire, Rule(site="site-berlin", reserve={"port": 1}), dry_run=True
    ),
    "LeaseService/EndLease": lambda wire: wire.leases.EndLease(
        lease_pb2.EndLeaseRequest(pbx=BERLIN, reason="test", dry_run=True)
    ),
    "LicenseService/BindLicenses": lambda wire: wire.licenses.BindLicenses(
        license_pb2.BindLicensesRequest(project=NAME, licenses=["free"], device="hq-box", dry_run=True)
    ),
    "LicenseService/ReleaseLicenses": lambda wire: wire.licenses.ReleaseLicenses(
        license_pb2.ReleaseLicensesRequest(project=NAME, licenses=["bound"], dry_run=True, **_DEAD)  # type: ignore[arg-type]
    ),
    "AgreementService/PlaceOrder": lambda wire: wire.agreements.PlaceOrder(
        agreement_pb2.PlaceOrderRequest(project=NAME, order=_ORDER, dry_run=True)
    ),
}
"""What has a dry run, but for DeleteProject, which is refused here."""


async def _estate(master: InProcess) -> None:
    """A pair, seats held, licenses free and bound."""
    wire = master.wire
    await wire.apply(project(_LICENSES, pbxs=PAIR))
    items = {"free": ("PBX-Port12", 5), "bound": ("PBX-Port12", 4)}
    await imported(wire, Vendor(), items, now=master.clock.now)
    await bind(wire, "hq-box", "bound")
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 8)))
    spare = await standing_by(wire)
    await spare.renew()


def test_every_dry_run_is_tried_here() -> None:
    have = {name for name, method in METHODS.items() if "dry_run" in method.input_type.fields_by_name}
    tried = {f"licensemaster.v1.{name}" for name in (*DRY_RUNS, "ProjectService/DeleteProject")}
    assert have == tried


async def test_dry_runs_and_drills_answer_while_the_writer_is_held_and_leave_nothing(
    any_master: InProcess, database_url: str
) -> None:
    await _estate(any_master)
    before = await everything_stored(database_url)
    estates = any_master.running.estates.apart()
    name = PbxName(PROJECT, "spare")
    async with writer_held(any_master, database_url):
        for dry_run in DRY_RUNS.values():
            await dry_run(any_master.wire)
        request = project_pb2.DeleteProjectRequest(name=NAME, reason="test", dry_run=True)
        assert (await failure(any_master.wire.projects.DeleteProject(request))).reason == "PROJECT_IN_USE"
        report = await any_master.running.rehearsals.run(
            PROJECT,
            lambda tx: drill(tx, estates, name, caller="test", time=any_master.running.lease_time()),
            seats_of=of_pair("spare"),
        )
        assert report.passed, report.steps
    assert await everything_stored(database_url) == before
    drilled = await any_master.wire.standby.DrillStandby(standby_pb2.DrillStandbyRequest(standby=SPARE))
    assert [step.message for step in drilled.steps] == [step.message for step in report.steps]


async def test_what_a_dry_run_tells_is_what_then_happens(any_master: InProcess) -> None:
    await _estate(any_master)
    wire = any_master.wire
    wanted = project({"PBX-Port12": 12, "PBX-Standby12": 16}, pbxs={**PAIR, "rome": "slave 12 gateway"})
    planned = await wire.apply(wanted, dry_run=True)
    assert await wire.apply(wanted) == planned
    assert planned.changes
    end = lease_pb2.EndLeaseRequest(pbx=BERLIN, reason="test", dry_run=True)
    would = await wire.leases.EndLease(end)
    end.dry_run, end.request_id = False, "end"
    assert await wire.leases.EndLease(end) == would
    assert would.seats_returned == 8


async def test_a_copy_has_every_row_of_its_project_and_none_of_another(
    any_master: InProcess, database_url: str
) -> None:
    await _estate(any_master)
    other = project(_LICENSES, pbxs=PAIR)
    other.name = "other"
    await any_master.wire.apply(other)
    database = any_master.running.database
    tables = await tables_of(database)
    copy = await database.read(lambda tx: copy_of(tx, tables, PROJECT, of_every_pbx))
    assert {table for table, _ in copy.rows} | LEFT_OUT == TABLES.keys()
    filled = {table: len(rows) for table, rows in copy.rows if rows}
    assert filled["project"] == filled["audit_head"] == filled["event"] == 1
    assert (filled["pbx"], filled["device"], filled["seat"], filled["license"]) == (4, 4, 8, 4)
    assert filled.keys() >= {"site", "pool", "pool_usage", "lease", "license_file", "vendor_key", "claim"}
    (counts,) = rehearsed(copy, lambda tx: tx.rows("SELECT COUNT(*), SUM(pool_id) FROM seat"))
    stored = await database.read(lambda tx: tx.rows("SELECT COUNT(*), SUM(pool_id) FROM seat"))
    assert tuple(counts) == tuple(stored[0])
    bare = await database.read(lambda tx: copy_of(tx, tables, PROJECT, of_no_pbx))
    assert [rows for table, rows in bare.rows if table == "seat"] == [[]]
    assert (await database.read(lambda tx: copy_of(tx, tables, "nobody", of_every_pbx))).rows == ()


async def test_what_others_keep_in_the_database_is_not_copied(sqlite_database_url: str) -> None:
    file = sqlite_database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript("""
            CREATE TABLE note (text TEXT);
            CREATE INDEX of_theirs ON pool (used);
            CREATE VIEW pools AS SELECT type, used, text FROM pool, note;
            CREATE TRIGGER noted AFTER INSERT ON pool BEGIN INSERT INTO note VALUES (new.type); END;
        """)
    async with in_process_master(sqlite_database_url, Clock()) as master:
        wanted = project(_LICENSES, pbxs=PAIR)
        planned = await master.wire.apply(wanted, dry_run=True)
        assert await master.wire.apply(wanted) == planned
        assert (await master.wire.apply(wanted, dry_run=True)).changes == []


async def test_of_two_applies_at_once_each_is_judged_by_what_it_finds(any_master: InProcess) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 10}))
    wanted = [project({"PBX-Port12": 10 + more}) for more in range(1, 6)]
    answers = await asyncio.gather(*(wire.apply(want) for want in wanted))
    assert sorted(answer.revision for answer in answers) == [2, 3, 4, 5, 6]
    quantities = {answer.revision: answer.changes[0].after for answer in answers}
    for answer in answers:
        if answer.revision > 2:
            assert answer.changes[0].before == quantities[answer.revision - 1]


async def test_what_pbxs_do_while_a_project_is_judged_counts(
    sqlite_master: InProcess, sqlite_database_url: str
) -> None:
    wire = sqlite_master.wire
    await wire.apply(project({"PBX-Port12": 10}))
    berlin = await opened(wire, "berlin")
    async with writer_held(sqlite_master, sqlite_database_url):
        acquiring = asyncio.create_task(berlin.acquire(*seats("port", 8)))
        await _waiting_for_the_writer(sqlite_master, 1)
        shrinking = asyncio.create_task(wire.apply(project({"PBX-Port12": 5})))
        await _waiting_for_the_writer(sqlite_master, 2)
    granted(await acquiring)
    refused = await failure(shrinking)
    assert refused.reason == "PROJECT_INVALID"
    assert "8 are in use" in str(refused.fields)
    assert (await wire.projects.GetProject(project_pb2.GetProjectRequest(name=NAME))).revision == 1


async def _waiting_for_the_writer(master: InProcess, transactions: int) -> None:
    database = master.running.database
    assert isinstance(database, SqliteDatabase)
    await until(lambda: database._writer._waiting.qsize() >= transactions)


async def test_a_dry_run_that_is_given_up_leaves_its_turn_to_the_next(any_master: InProcess) -> None:
    await _estate(any_master)
    begun, end = threading.Event(), threading.Event()
    rehearsals = any_master.running.rehearsals
    given_up = asyncio.create_task(rehearsals.run(PROJECT, busy(begun, end)))
    await asyncio.to_thread(begun.wait)
    given_up.cancel()
    waiting = asyncio.ensure_future(DRY_RUNS["LeaseService/EndLease"](any_master.wire))
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert not waiting.done(), "one copy at a time"
    end.set()
    assert (await waiting).seats_returned == 8
