"""The chain in the database: whoever changes it there is found out, and masters that write at once keep it whole."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import grpc
import pytest

from licensemaster.v1 import audit_pb2, project_pb2, status_pb2
from master.domain.audit.chain import DefectKind, genesis
from master.service.monitoring.audit import Audit, AuditBrokenError
from master.store.backends.database import Database, Tx
from master.store.statements.events import POLICY_EVENTS, Event, policy_events, write_events
from tests.rpc.failures import NAME, failure
from tests.support.databases.truth import all_events
from tests.support.masters import PROJECT, Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import granted, opened, seat, seats
from tests.support.projects.estates import project

EVENTS = 8


def _event(number: int, *, project_id: int = 1) -> Event:
    return Event(
        1_800_000_000.1 + number,
        project_id,
        "berlin",
        "seats.acquired",
        "test",
        f"request-{project_id}-{number}",
        f'{{"port":["phone-{number}"]}}',
        "because",
    )


def _add_projects(tx: Tx, *names: str) -> None:
    tx.many(
        "INSERT INTO project (id, name, display_name, catalog, revision, applied_at, epoch_floor)"
        " VALUES (?1, ?2, '', 'innovaphone', 1, 0.0, 0)",
        list(enumerate(names, start=1)),
    )


@pytest.fixture
async def chain(database: Database) -> Audit:
    """A project with eight events."""

    def fill(tx: Tx) -> None:
        _add_projects(tx, "acme", "other")
        write_events(tx, [_event(number) for number in range(3)])
        write_events(tx, [_event(0, project_id=2), *(_event(number) for number in range(3, EVENTS))])

    await database.transact(fill)
    return Audit(database)


async def test_a_chain_as_it_was_written(chain: Audit) -> None:
    actual = await chain.verify("acme")
    assert (actual.events, actual.end.seq, actual.defect) == (EVENTS, EVENTS, None)
    assert [(verified.project, verified.events, verified.defect) for verified in await chain.verify_all()] == [
        ("acme", EVENTS, None), ("other", 1, None),
    ]  # fmt: skip


async def test_a_batch_that_fails_leaves_no_gap(chain: Audit, database: Database) -> None:
    def fails(tx: Tx) -> None:
        write_events(tx, [_event(100)])
        raise LookupError

    with pytest.raises(LookupError):
        await database.transact(fails)
    await database.transact(lambda tx: write_events(tx, [_event(101)]))
    assert (await chain.verify("acme")).events == EVENTS + 1


async def test_a_request_id_stands_once(chain: Audit, database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.transact(lambda tx: write_events(tx, [_event(3)]))
    assert (await chain.verify("acme")).events == EVENTS


_HASH_OF = "(SELECT hash FROM event WHERE project_id = 1 AND seq = {})"
_ALTERED, _REMOVED, _END = DefectKind.ALTERED, DefectKind.REMOVED, DefectKind.END_ALTERED
TAMPERING = [
    *(
        (f"UPDATE event SET {change} WHERE project_id = 1 AND seq = {seq}", _ALTERED, seq)
        for change in (
            "time_us = time_us + 1",
            "kind = 'seats.returned'",
            "pbx = ''",
            "caller = 'nobody'",
            "request_id = NULL",
            "reason = ''",
            "details = '{}'",
            f"hash = {_HASH_OF.format(4)}",
        )
        for seq in (1, 5, 8)
    ),
    *((f"DELETE FROM event WHERE project_id = 1 AND seq = {seq}", _REMOVED, seq) for seq in (1, 5, 8)),
    ("DELETE FROM event WHERE project_id = 1 AND seq > 3", _REMOVED, 4),
    ("DELETE FROM event WHERE project_id = 1", _REMOVED, 1),
    ("UPDATE event SET seq = 99 WHERE project_id = 1 AND seq = 5", DefectKind.REORDERED, 5),
    ("UPDATE event SET seq = 99 WHERE project_id = 1 AND seq = 8", _ALTERED, 8),
    ("UPDATE event SET seq = 0 WHERE project_id = 1 AND seq = 8", DefectKind.INSERTED, 0),
    ("UPDATE event SET project_id = 2 WHERE project_id = 1 AND seq = 5", _REMOVED, 5),
    *(
        (
            f"INSERT INTO event SELECT project_id, {seq}, time_us, kind, pbx, caller, NULL, reason, details, hash"
            " FROM event WHERE project_id = 1 AND seq = 5",
            kind,
            shown,
        )
        for seq, kind, shown in ((9, DefectKind.ALTERED, 9), (-1, DefectKind.INSERTED, -1))
    ),
    ("UPDATE audit_head SET seq = 7 WHERE project_id = 1", _END, 8),
    ("UPDATE audit_head SET seq = 9 WHERE project_id = 1", _REMOVED, 9),
    (f"UPDATE audit_head SET hash = {_HASH_OF.format(4)} WHERE project_id = 1", _END, 8),
    ("DELETE FROM audit_head WHERE project_id = 1", _END, 8),
]


@pytest.mark.parametrize(("statement", "kind", "seq"), TAMPERING)
async def test_tampering_is_found(chain: Audit, database: Database, statement: str, kind: DefectKind, seq: int) -> None:
    await database.transact(lambda tx: tx.rows(statement))
    verified = await chain.verify("acme")
    assert verified.defect is not None, statement
    assert (verified.defect.kind, verified.defect.seq) == (kind, seq)
    assert verified.events == max(min(seq, 9) - (kind is not _END), 0) if seq > 0 else verified.events == 0


async def test_swapped_events_are_found(chain: Audit, database: Database) -> None:
    def swap(tx: Tx) -> None:
        for before, after in ((3, 100), (6, 3), (100, 6)):
            tx.many("UPDATE event SET seq = ?2 WHERE project_id = 1 AND seq = ?1", [(before, after)])

    await database.transact(swap)
    defect = (await chain.verify("acme")).defect
    assert defect is not None
    assert (defect.kind, defect.seq) == (DefectKind.REORDERED, 3)


async def test_everything_gone_is_found(chain: Audit, database: Database) -> None:
    def wipe(tx: Tx) -> None:
        tx.rows("DELETE FROM event")
        tx.rows("DELETE FROM audit_head")

    await database.transact(wipe)
    verified = await chain.verify("acme")
    assert verified.defect is not None
    assert (verified.defect.kind, verified.end) == (DefectKind.END_ALTERED, genesis("acme"))


async def test_nothing_is_written_behind_a_missing_end(any_master: InProcess, database: Database) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 5}))
    berlin = await opened(any_master.wire, "berlin")
    await database.transact(lambda tx: tx.rows("DELETE FROM audit_head"))
    failed = await failure(berlin.acquire(seat("port", "anna")))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "AUDIT_BROKEN")
    assert "the end of the audit chain of project acme is missing" in failed.message
    with pytest.raises(AuditBrokenError, match="license-master audit verify"):
        await Audit(database).export(PROJECT, since_seq=1)


async def test_an_export_that_cannot_be_begun(chain: Audit, database: Database) -> None:
    await database.transact(lambda tx: tx.rows("DELETE FROM event WHERE project_id = 1 AND seq = 3"))
    with pytest.raises(AuditBrokenError, match="event 3 of project acme is missing"):
        await chain.export("acme", since_seq=4)


async def test_pieces_are_bounded_by_number_and_by_length(database: Database) -> None:
    long, count = 400_000, 1_203

    def fill(tx: Tx) -> None:
        _add_projects(tx, "acme")
        write_events(tx, [_event(number) for number in range(count)])
        write_events(tx, [_event(count + number)._replace(details="x" * long) for number in range(5)])

    await database.transact(fill)
    audit = Audit(database)
    pieces = [piece async for piece in (await audit.export("acme", since_seq=2)).pieces]
    assert [record.seq for piece in pieces for record in piece] == list(range(2, count + 6))
    assert max(len(piece) for piece in pieces) == 500
    assert [sum(len(record.details) >= long for record in piece) for piece in pieces] == [0, 0, 3, 2]
    assert (await audit.verify("acme")).defect is None


async def test_what_is_written_while_it_is_read_comes_behind_it(chain: Audit, database: Database) -> None:
    export = await chain.export("acme", since_seq=1)
    await database.transact(lambda tx: write_events(tx, [_event(200)]))
    assert [record.seq async for piece in export.pieces for record in piece] == list(range(1, EVENTS + 1))
    assert export.end.seq == EVENTS


async def test_several_masters_keep_one_chain(postgresql_database_url: str, clock: Clock) -> None:
    """Three masters, six sites of two projects, all at once; and projects applied in between."""
    async with AsyncExitStack() as stack:
        masters = [await stack.enter_async_context(in_process_master(postgresql_database_url, clock)) for _ in range(3)]
        sites = dict.fromkeys(("berlin", "paris", "rome", "oslo", "wien", "bern"), "slave 12 gateway")
        await masters[0].wire.apply(project({"PBX-Port12": 1000}, pbxs=sites))

        async def work(number: int, name: str) -> None:
            pbx = await opened(masters[number % 3].wire, name)
            for round_number in range(10):
                wanted = seats("port", 3, prefix=f"{round_number}")
                granted(await pbx.acquire(*wanted))
                await pbx.give_back(*wanted[:1])

        async def apply() -> None:
            for number in range(6):
                await masters[number % 3].wire.apply(project({"PBX-Port12": 1001 + number}, pbxs=sites))

        await asyncio.gather(apply(), *(work(number, name) for number, name in enumerate(sites)))
        answers = [
            await master.wire.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(project=NAME)) for master in masters
        ]
        expected = 1 + 6 + len(sites) * (1 + 10 + 10)
        assert [(answer.events, answer.head_seq, answer.HasField("defect")) for answer in answers] == [
            (expected, expected, False)
        ] * 3
        listed = await all_events(masters[1].wire)
        assert [event.seq for event in listed] == list(range(expected, 0, -1))


# --- What the events say --------------------------------------------------------------------------------------------


async def test_who_what_when_why_before_and_after(any_master: InProcess) -> None:
    wire, clock = any_master.wire, any_master.clock
    described = project({"PBX-Port12": 5}, ttl_seconds=60, grace_seconds=0)
    request = project_pb2.ApplyProjectRequest(project=described, request_id="apply-1", reason="ordered by Ms Müller")
    await wire.projects.ApplyProject(request, metadata=(("caller", "cli:anna@desk"),))
    clock.advance(0.123456)
    berlin = await opened(wire, "berlin")
    first_instance = berlin.instance_id
    granted(await berlin.acquire(*seats("port", 2)))
    berlin.instance_id = "instance-after"
    await berlin.open("12r1")
    await berlin.close()
    events = {event.kind: event for event in reversed(await all_events(wire))}
    applied = events["project.applied"]
    assert (applied.reason, applied.request_id, applied.pbx) == ("ordered by Ms Müller", "apply-1", "")
    assert applied.caller.startswith("cli:anna@desk (")
    changes = json.loads(applied.details)["changes"]
    assert changes
    assert all("before" in change and "after" in change for change in changes)
    reopened = json.loads(events["lease.opened"].details)
    assert reopened["before"] == {"epoch": 1, "phase": "open", "software": "12", "instance": first_instance}
    assert (reopened["epoch"], reopened["software"], reopened["instance"]) == (2, "12r1", "instance-after")
    closed = events["lease.closed"]
    assert json.loads(closed.details) == {"epoch": 2, "seats": 2, "types": {"port": 2}}
    assert closed.pbx == f"{NAME}/pbxs/berlin"
    assert closed.time.ToMicroseconds() - applied.time.ToMicroseconds() == 123_456
    assert [(event.seq, event.id, len(event.hash)) for event in await all_events(wire)] == [
        (n, n, 32) for n in range(5, 0, -1)
    ]


async def test_events_of_a_pbx_that_was_removed(any_master: InProcess) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 5}))
    berlin = await opened(wire, "berlin")
    await berlin.close()
    await wire.apply(project({"PBX-Port12": 5}, pbxs={}))
    request = status_pb2.ListEventsRequest(project=NAME, pbx="berlin")
    listed = (await wire.status.ListEvents(request)).events
    assert [event.kind for event in listed] == ["lease.closed", "lease.opened"]
    assert {event.pbx for event in listed} == {f"{NAME}/pbxs/berlin"}
    request.pbx = "nobody"
    assert (await failure(wire.status.ListEvents(request))).reason == "UNKNOWN_PBX"


async def test_what_the_report_reads_of_a_large_audit_is_looked_up(
    chain: Audit, database: Database, database_url: str
) -> None:
    """An index of these events alone has them, as long as the statement repeats its condition."""
    at, telling = 1_800_001_000.0, ["seats.awaited", "seats.given_up", "waiting.dropped", "pool.overdrawn"]

    def look(tx: Tx) -> tuple[list[tuple[str, str]], str]:
        def event(kind: str, caller: str = "berlin", before: float = 0.0) -> Event:
            return Event(at - before, 1, "berlin", kind, caller, None, "{}")

        write_events(tx, [event("seats.acquired") for _ in range(2000)])
        write_events(tx, [event(kind) for kind in (*telling, "pool.overdraft_ended", "lease.opened")])
        write_events(tx, [event("seats.acquired", "master:waiting"), event("seats.awaited", before=1)])
        found = [(record.kind, record.caller) for record in policy_events(tx, 1, since=at)]
        if database_url.startswith("postgresql"):
            tx.rows("ANALYZE event")
        explain = "EXPLAIN" if database_url.startswith("postgresql") else "EXPLAIN QUERY PLAN"
        return found, str(tx.rows(f"{explain} {POLICY_EVENTS}", 1, round(at * 1_000_000)))

    found, plan = await database.transact(look)
    assert found == [
        *((kind, "berlin") for kind in (*telling, "pool.overdraft_ended")),
        ("seats.acquired", "master:waiting"),
    ]
    assert "ix_event_policy" in plan, plan
