"""Section F: a standby that is proven. Takeover, return, claims, readiness, warnings."""

import asyncio
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from licensemaster.v1 import lease_pb2, license_pb2, standby_pb2, status_pb2
from tests.rpc.failures import failure
from tests.rules.asking import Reason, grant_all, holdings, licenses, refuse, used, without
from tests.support.databases.truth import all_events, held_by_pbx, mismatches
from tests.support.masters import PROJECT, Clock, InProcess, in_process_master, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seat, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, BareStandby, by_kind, checked, standing_by
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release

TTL, GRACE, ALLOWANCE = 60, 600, 5


async def _pair(master: InProcess, ports: int = 6, **licenses: int) -> tuple[BarePbx, BareStandby]:
    """Berlin holds ports and has gone silent; its standby is connected."""
    await master.wire.apply(project(LICENSES | licenses, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin = await opened(master.wire, "berlin")
    if ports:
        granted(await berlin.acquire(*seats("port", ports)))
    spare = await standing_by(master.wire)
    master.clock.advance(TTL + 1)
    await spare.renew()
    return berlin, spare


# --- F1, F5: taking over and handing back -----------------------------------------------------------------------------


@pytest.mark.rule("F1", "F5")
async def test_the_seats_of_a_failed_pbx_go_on_and_return_to_it(any_master: InProcess, database_url: str) -> None:
    wire = any_master.wire
    berlin, spare = await _pair(any_master)
    before = await holdings(wire)
    assert await used(wire, "port") == (6, 10)
    carried = await spare.take_over()
    assert carried.epoch > berlin.epoch
    assert await holdings(wire) == before, "no seat moved"
    assert await used(wire, "port") == (6, 10), "none is counted twice"
    results = (await carried.sync(*seats("port", 6))).results
    assert all(grant.already_held for grant in granted(results))
    granted(await carried.acquire(seat("port", "new-phone")))
    await carried.give_back(seat("port", "phone-0"))
    again = await berlin.open()
    assert again.seats_held == 6
    assert {holder for _, holder in (await held_by_pbx(wire))[berlin.name]} == {
        *(f"phone-{n}" for n in range(1, 6)), "new-phone"
    }  # fmt: skip
    assert (await failure(carried.acquire(seat("port", "late")))).reason == "LEASE_FENCED"
    assert await used(wire, "port") == (6, 10)
    assert await mismatches(database_url) == []


@pytest.mark.rule("F1", "F5")
@pytest.mark.parametrize("helper", ["master", "slave"])
async def test_the_master_or_a_slave_stands_in_and_goes_on_with_its_own_role(
    any_master: InProcess, database_url: str, helper: str
) -> None:
    wire, name = any_master.wire, "hq" if helper == "master" else "paris"
    pbxs = {"hq": "master 12 gateway", "berlin": "slave 12 gateway", "paris": "slave 12 gateway"}
    pbxs[name] = pbxs[name].replace(helper, f"{helper}:berlin")
    pbxs["berlin"] = f"slave:{name} 12 gateway"  # and the other way round
    await wire.apply(project(LICENSES, pbxs=pbxs, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin, helping = await opened(wire, "berlin"), BareStandby(wire, name)
    await helping.open()
    granted(await berlin.acquire(*seats("port", 6)))
    granted(await helping.acquire(*seats("port", 2, prefix="own")))
    any_master.clock.advance(TTL + 1)
    await helping.renew()
    request = standby_pb2.CheckStandbyRequest(project=f"projects/{PROJECT}")
    pairs = (await wire.standby.CheckStandby(request)).pairs
    assert (helping.name, berlin.name) in {(pair.standby, pair.primary) for pair in pairs}
    carried = await helping.take_over()
    granted(await carried.acquire(seat("port", "new-phone")))
    granted(await helping.acquire(seat("port", "own-too")))  # it goes on with what is its own
    held_now = await held_by_pbx(wire)
    assert (len(held_now[berlin.name]), len(held_now[helping.name])) == (7, 3)
    assert await used(wire, "port") == (10, 10)
    assert (await berlin.open()).seats_held == 7
    assert (await failure(carried.acquire(seat("port", "late")))).reason == "LEASE_FENCED"
    await helping.renew()
    assert await mismatches(database_url) == []


@pytest.mark.rule("F1")
async def test_who_stands_in_for_whom_is_checked(master: InProcess) -> None:
    for described, why in {
        "standby 12 gateway": "a PBX with the role standby has to name the PBX that it stands in for",
        "slave:berlin 12 gateway": "'berlin' is no other PBX of this project",
        "slave:rome 12 gateway": "'rome' is no other PBX of this project",
    }.items():
        told = await failure(master.wire.apply(project(LICENSES, pbxs={"berlin": described})))
        assert told.fields == {"pbxs[1].standby_for": why}


@pytest.mark.rule("A5", "F3")
async def test_a_standby_too_old_for_the_pool_does_not_stand_in(master: InProcess) -> None:
    _, spare = await _pair(master)
    problem = (await spare.refused(spare.takeover(software="7")))["VERSION_LIMIT"]
    assert list(problem.rules) == ["A5", "F3"]
    assert "needs PBX software 8 or newer" in problem.message


@pytest.mark.rule("F5")
async def test_whoever_loses_the_lease_is_told_at_once(any_master: InProcess) -> None:
    berlin, spare = await _pair(any_master)

    def watch(pbx: BarePbx) -> asyncio.Task[list[lease_pb2.Notice]]:
        async def last() -> list[lease_pb2.Notice]:
            told: list[lease_pb2.Notice] = []
            request = lease_pb2.WatchLeaseRequest(pbx=pbx.name, epoch=pbx.epoch)
            async for response in any_master.wire.leases.WatchLease(request):
                told = list(response.notices)
                started.set()
            return told

        started = asyncio.Event()
        task = asyncio.ensure_future(last())
        pbx.watching = started  # type: ignore[attr-defined]
        return task

    watched = watch(berlin)
    await berlin.watching.wait()  # type: ignore[attr-defined]
    carried = await spare.take_over()
    (told,) = await watched
    assert told.kind == lease_pb2.NOTICE_KIND_CARRIED
    assert told.message.startswith("spare carries the seats of berlin")
    watched = watch(carried)
    await carried.watching.wait()  # type: ignore[attr-defined]
    await berlin.open()
    (told,) = await watched
    assert told.kind == lease_pb2.NOTICE_KIND_FENCED
    assert "its seats are its own" in told.message


@pytest.mark.rule("F5")
async def test_a_pbx_that_was_cut_off_hears_who_carries_its_seats(any_master: InProcess) -> None:
    berlin, spare = await _pair(any_master)
    await spare.take_over()
    told = await failure(berlin.renew())
    assert told.reason == "LEASE_CARRIED"
    assert "open a new one to take them back" in told.message
    listed = await any_master.wire.status.ListLeases(status_pb2.ListLeasesRequest(project=f"projects/{PROJECT}"))
    assert {lease.pbx.rpartition("/")[2]: lease.carried_by for lease in listed.leases if lease.carried_by} == {
        "berlin": spare.name
    }


@pytest.mark.rule("F5")
async def test_takeovers_and_returns_are_no_copies(any_master: InProcess) -> None:
    berlin, spare = await _pair(any_master)
    for _ in range(5):
        await spare.take_over(spare.takeover(force=True))
        assert not [
            notice for notice in (await berlin.open()).notices if notice.kind == lease_pb2.NOTICE_KIND_SUSPECTED_CLONE
        ]


@pytest.mark.rule("F5")
async def test_a_takeover_is_safe_to_retry(any_master: InProcess) -> None:
    _, spare = await _pair(any_master)
    request = spare.takeover()
    answers = await asyncio.gather(*(any_master.wire.leases.TakeOverLease(request) for _ in range(5)))
    assert len({answer.lease.epoch for answer in answers}) == 1
    assert {answer.seats_held for answer in answers} == {6}
    assert len(await all_events(any_master.wire, "lease.taken_over")) == 1
    restarted = await spare.take_over()  # another request: it restarted and goes on
    assert restarted.epoch == answers[0].lease.epoch + 1


@pytest.mark.rule("F1", "F5")
async def test_only_the_one_configured_and_only_when_there_is_need(any_master: InProcess) -> None:
    wire, clock = any_master.wire, any_master.clock
    berlin, spare = await _pair(any_master)
    before = await holdings(wire)
    foreign = spare.takeover()
    foreign.primary = f"projects/{PROJECT}/pbxs/paris"
    problems = await spare.refused(foreign)
    assert list(problems) == ["NOT_A_PAIR", "PRIMARY_NEVER_SEEN"]
    assert "`standby_for` in the project says who does" in problems["NOT_A_PAIR"].message
    await berlin.renew()
    assert list(await spare.refused()) == ["PRIMARY_ACTIVE"]
    stale = spare.takeover(force=True)
    stale.standby_epoch += 1
    assert list(await spare.refused(stale)) == ["NOT_CONNECTED"]
    assert await holdings(wire) == before
    carried = await spare.take_over(spare.takeover(force=True))  # planned work
    await berlin.open()
    await berlin.close()
    spare.discard()
    await spare.renew()
    clock.advance(1)
    assert list(await spare.refused()) == ["NOTHING_TO_CARRY"]
    assert (await failure(carried.renew())).reason == "LEASE_FENCED"


async def test_malformed_takeovers_change_nothing(any_master: InProcess) -> None:
    _, spare = await _pair(any_master)
    for field, value in (
        ("standby", "spare"), ("primary", ""), ("instance_id", ""), ("request_id", ""), ("software_version", "new"),
        ("reason", "x" * 129),
    ):  # fmt: skip
        request = spare.takeover()
        setattr(request, field, value)
        told = await failure(any_master.wire.leases.TakeOverLease(request))
        assert told.code == grpc.StatusCode.INVALID_ARGUMENT
        assert list(told.fields) == [field]
    request = spare.takeover()
    request.primary = "projects/acme/pbxs/nowhere"
    assert (await failure(any_master.wire.leases.TakeOverLease(request))).reason == "UNKNOWN_PBX"
    for standby in ("projects/acme/pbxs/nowhere", "projects/other/pbxs/spare"):
        request = spare.takeover()
        request.standby = standby
        assert (await failure(any_master.wire.leases.TakeOverLease(request))).reason == "UNKNOWN_PBX"
    assert await all_events(any_master.wire, "lease.taken_over") == []


async def test_malformed_evidence_and_receipts_change_nothing(any_master: InProcess) -> None:
    wire = any_master.wire
    _, spare = await _pair(any_master)
    before = await checked(wire)
    for seconds, in_use, field in (
        (float("nan"), {"port": 1}, "carried_seconds"),
        (-1.0, {}, "carried_seconds"),
        (1.0, {"port": -1}, "in_use[0].seats"),
        (1.0, {"": 1}, "in_use[0].license_type"),
    ):
        request = spare.takeover(carried_seconds=seconds, in_use=in_use)
        told = await failure(wire.leases.TakeOverLease(request))
        assert list(told.fields) == [f"carried_offline.{field}"]
    receipt = lease_pb2.StandbyLeaseReceipt
    for receipts, field in (
        ([receipt(primary="berlin")], "standby_receipts[0].primary"),
        ([receipt(primary="projects/other/pbxs/berlin")], "standby_receipts[0].primary"),
        ([receipt(primary=spare.primary), receipt(primary=spare.primary)], "standby_receipts[1].primary"),
        ([receipt(primary=spare.primary, serial=-1)], "standby_receipts[0].serial"),
        ([receipt(primary=spare.primary, released_epoch=-1)], "standby_receipts[0].released_epoch"),
        ([receipt(primary=spare.primary)] * 101, "standby_receipts"),
    ):
        told = await failure(
            wire.leases.RenewLease(
                lease_pb2.RenewLeaseRequest(pbx=spare.name, epoch=spare.epoch, standby_receipts=receipts)
            )
        )
        assert told.code == grpc.StatusCode.INVALID_ARGUMENT
        assert list(told.fields) == [field]
    assert await checked(wire) == before
    unknown = receipt(primary="projects/acme/pbxs/nowhere", serial=7, discarded=True)
    late = receipt(primary=spare.primary, serial=10**12, discarded=True)  # of one that was never issued
    for one in (unknown, late):
        await wire.leases.RenewLease(
            lease_pb2.RenewLeaseRequest(pbx=spare.name, epoch=spare.epoch, standby_receipts=[one])
        )
    assert (await checked(wire)).acknowledged_serial == before.acknowledged_serial


# --- F2, F3: the switch and the versions ------------------------------------------------------------------------------


@pytest.mark.rule("F1", "F2")
async def test_with_fewer_standby_than_port_licenses_nothing_is_carried(any_master: InProcess) -> None:
    wire = any_master.wire
    _, spare = await _pair(any_master)
    more = project({**LICENSES, "PBX-Port 12": 3}, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE)
    await wire.apply(more)
    short = (await spare.refused())["LICENSES_SHORT"]
    assert (short.installed, short.needed, short.missing) == (10, 13, 3)
    assert list(short.rules) == ["F1", "F2"]
    wanted = "bind 3 more of V12 or newer to hq-box"
    assert short.message == f"PBX-Standby is off on hq-box: 10 installed for 13 PBX-Port; {wanted}"
    assert licenses(short.licenses) == [("PBX-Standby12", 10, "hq-box")]
    await spare.renew()
    assert [problem.kind for problem in spare.problems] == [standby_pb2.STANDBY_PROBLEM_KIND_LICENSES_SHORT]
    more.licenses.add(id="three-more", type="PBX-Standby12", quantity=3, device="hq-box")
    await wire.apply(more)
    carried = await spare.take_over()
    assert len(granted((await carried.sync(*seats("port", 6))).results)) == 6


@pytest.mark.rule("F1", "F2")
async def test_standby_licenses_elsewhere_than_on_the_license_master_do_not_count(any_master: InProcess) -> None:
    await any_master.wire.apply(
        project({"PBX-Port12": 1, "PBX-Standby12": (5, "spare-box")}, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE)
    )
    await opened(any_master.wire, "berlin")
    spare = await standing_by(any_master.wire)
    any_master.clock.advance(TTL + 1)
    assert (await spare.refused())["LICENSES_SHORT"].installed == 0


@pytest.mark.rule("F3")
async def test_a_standby_above_the_version_limit_carries_nothing(any_master: InProcess) -> None:
    wire = any_master.wire
    await _pair(any_master)
    newer = await standing_by(wire, software="13")
    limit = (await newer.refused(newer.takeover(software="13")))["VERSION_LIMIT"]
    assert limit.message.startswith("spare runs 13, but hq-box is licensed up to V12")
    assert {ref[0] for ref in licenses(limit.licenses)} == {"PBX-Port12", "PBX-Standby12"}
    assert [problem.kind for problem in newer.problems] == [standby_pb2.STANDBY_PROBLEM_KIND_VERSION_LIMIT]
    assert "VERSION_LIMIT" in by_kind((await checked(wire)).problems)
    await newer.take_over(newer.takeover(software="12r2"))


@pytest.mark.rule("F3")
async def test_price_tiers_need_the_licenses_below_them(any_master: InProcess) -> None:
    short = project({"PBX-Port12": 510, "PBX-Standby12": 400, "PBX-Standby 12%500": 110}, pbxs=PAIR)
    assert "100 are missing (rule E5)" in (await failure(any_master.wire.apply(short))).message
    enough = project({"PBX-Port12": 610, "PBX-Standby12": 500, "PBX-Standby 12%500": 110}, pbxs=PAIR)
    assert not (await any_master.wire.apply(enough)).warnings
    assert "TIER_NOT_REACHED" not in by_kind((await checked(any_master.wire)).problems)


# --- F4: readiness ----------------------------------------------------------------------------------------------------


@pytest.mark.rule("F4")
async def test_readiness_from_never_seen_to_ready(any_master: InProcess) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    pair = await checked(wire)
    assert (pair.standby.rpartition("/")[2], pair.primary.rpartition("/")[2]) == ("spare", "berlin")
    assert (pair.standby_site, pair.primary_site) == ("site-spare", "site-berlin")
    assert list(by_kind(pair.problems)) == ["NOT_CONNECTED", "PRIMARY_NEVER_SEEN"]
    assert not pair.HasField("standby_contact_time")
    berlin = await opened(wire, "berlin", "12r1")
    granted(await berlin.acquire(*seats("port", 4)))
    clock.advance(10)
    spare = await standing_by(wire)
    pair = await checked(wire, "berlin")
    assert list(by_kind(pair.problems)) == ["NO_STANDBY_LEASE", "SOFTWARE_DIFFERS"]
    assert pair.issued_serial == 1
    assert not pair.ready
    await spare.renew()
    pair = await checked(wire)
    assert pair.ready
    assert list(by_kind(pair.problems)) == ["SOFTWARE_DIFFERS"]
    assert [(one.license_type, one.held, one.covered) for one in pair.seats] == [("port", 4, 4)]
    assert (pair.issued_serial, pair.acknowledged_serial) == (2, 1)
    assert pair.standby_lease_end_time.ToSeconds() == int(clock.now) + TTL + GRACE
    assert pair.primary_contact_time.ToSeconds() == int(clock.now) - 10
    assert pair.standby_contact_time.ToSeconds() == int(clock.now)
    granted(await berlin.acquire(*seats("port", 3, "more")))
    old = by_kind((await checked(wire)).problems)["STANDBY_LEASE_OLD"]
    assert (old.installed, old.needed, old.missing, old.blocking) == (4, 7, 3, False)
    clock.advance(TTL + 1)
    late = by_kind((await checked(wire)).problems)
    assert late["NOT_CONNECTED"].message == f"spare was last heard of {TTL + 1} s ago; it is not connected"
    clock.advance(GRACE + 10)
    assert "NO_STANDBY_LEASE" in by_kind((await checked(wire)).problems)


@pytest.mark.rule("F4")
async def test_readiness_of_the_license_master_and_of_the_estate(any_master: InProcess) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 700, "PBX-Standby12": 500, "PBX-Standby 12%500": 150}, pbxs=PAIR))
    check = await wire.standby.CheckStandby(standby_pb2.CheckStandbyRequest(project=f"projects/{PROJECT}"))
    on = check.licenses
    assert (on.device, on.license_type, on.installed, on.needed, on.on) == (
        "hq-box", "standby", 650, 700, False
    )  # fmt: skip
    assert licenses(on.licenses) == [
        ("PBX-Standby12", 500, "hq-box"),
        ("PBX-Standby 12%500", 150, "hq-box"),
    ]
    assert by_kind(check.pairs[0].problems)["LICENSES_SHORT"].missing == 50
    status = await wire.status.GetStatus(status_pb2.GetStatusRequest(project=f"projects/{PROJECT}"))
    (line,) = status.standby_pairs
    assert not line.ready
    assert len(line.problems) == 3
    assert (await failure(checked(wire, "nowhere"))).reason == "UNKNOWN_PBX"


@pytest.mark.rule("F4", "F5")
async def test_a_drill_proves_it_and_leaves_nothing_changed(any_master: InProcess, database_url: str) -> None:
    wire = any_master.wire
    licenses_ = {**LICENSES, "PBX UC12": 5, "PBX-myPBX12": 5, "PBX Video12": 5}
    await wire.apply(project(licenses_, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin = await opened(wire, "berlin")
    await grant_all(
        berlin, *seats("port", 6), seat("uc", "phone-1"), seat("video", "phone-1"), seat("mypbx", "phone-2")
    )
    spare = await standing_by(wire)
    request = standby_pb2.DrillStandbyRequest(standby=spare.name)
    unready = await wire.standby.DrillStandby(request)
    assert not unready.passed
    assert [step.passed for step in unready.steps] == [False]
    assert "not known to have a standby lease" in unready.steps[0].message
    await spare.renew()
    before = await _everything(database_url)
    report = await wire.standby.DrillStandby(request)
    assert report.passed, report
    assert [step.name for step in report.steps] == [
        "check", "standby lease", "take over", "fence", "renew", "reconcile", "return", "compare"
    ]  # fmt: skip
    assert report.steps[2].message == f"spare carries 8 seats under epoch {berlin.epoch + 1}, none of them new"
    assert await _everything(database_url) == before
    await berlin.renew()  # nobody was fenced
    (event, _) = await all_events(wire, "standby.drilled")
    assert '"passed":true' in event.details
    request.standby = berlin.name
    assert (await failure(wire.standby.DrillStandby(request))).reason == "NO_STANDBY_PAIR"


async def _everything(database_url: str) -> dict[str, list[object]]:
    """All tables but the audit."""
    from sqlalchemy import select

    from master.store.backends.database import Tx
    from master.store.backends.opening import open_database
    from master.store.tables import metadata

    def look(tx: Tx) -> dict[str, list[object]]:
        return {
            table.name: sorted((tuple(row) for row in tx.connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
            if table.name not in ("event", "audit_head")
        }

    database = open_database(database_url)
    try:
        return await database.read(look)
    finally:
        await database.close()


# --- F5: what is promised is counted ----------------------------------------------------------------------------------


@pytest.mark.rule("F5")
async def test_what_the_fenced_pbx_may_still_use_stays_counted_until_its_end(
    any_master: InProcess, database_url: str
) -> None:
    wire, clock, look = any_master.wire, any_master.clock, any_master.running.expiry.run_once
    _berlin, spare = await _pair(any_master, 10)
    ends = clock.now - (TTL + 1) + TTL + GRACE
    carried = await spare.take_over()
    spare.discard()
    await spare.renew()
    await carried.give_back(*seats("port", 7))
    assert await used(wire, "port") == (10, 10), "berlin, cut off, may still use all ten"
    paris = await opened(wire, "paris")
    assert (await refuse(paris, seat("port", "anna"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    await grant_all(carried, *seats("port", 5, "other"))  # below the claim no license is needed
    assert await used(wire, "port") == (10, 10)
    clock.now = ends + ALLOWANCE
    await carried.renew()
    await paris.renew()
    await look()
    assert await used(wire, "port") == (10, 10), "not a second earlier"
    clock.advance(1)
    await look()
    assert await used(wire, "port") == (8, 10)
    await grant_all(paris, *seats("port", 2, "paris"))
    assert await mismatches(database_url) == []


@pytest.mark.rule("F5")
async def test_once_the_fenced_pbx_was_heard_of_nothing_is_held_back(any_master: InProcess) -> None:
    wire = any_master.wire
    berlin, spare = await _pair(any_master, 10)
    carried = await spare.take_over()
    await carried.give_back(*seats("port", 7))
    spare.discard()
    await spare.renew()
    await berlin.open()
    assert await used(wire, "port") == (10, 10), "the answer may have got lost, and the standby may not have heard"
    await berlin.renew()
    spare.receipt.released_epoch = carried.epoch
    await spare.renew()  # with a standby lease of its own for the three that are left
    assert await used(wire, "port") == (3, 10)


@pytest.mark.rule("F5")
async def test_a_standby_that_was_fenced_while_cut_off_stays_counted(any_master: InProcess, database_url: str) -> None:
    wire, clock = any_master.wire, any_master.clock
    berlin, spare = await _pair(any_master, 8)
    carried = await spare.take_over()
    spare.discard()
    await spare.renew()
    await berlin.open()
    await berlin.renew()
    await berlin.give_back(*seats("port", 8))
    assert await used(wire, "port") == (8, 10), "the standby may carry them until its end"
    clock.advance(TTL + GRACE + ALLOWANCE + 1)
    await berlin.open()
    await any_master.running.expiry.run_once()
    assert await used(wire, "port") == (0, 10)
    assert (await failure(carried.renew())).reason == "LEASE_FENCED"
    assert await mismatches(database_url) == []


@pytest.mark.rule("F5")
async def test_a_standby_lease_is_counted_until_a_smaller_one_is_acknowledged(
    any_master: InProcess, database_url: str
) -> None:
    wire = any_master.wire
    berlin, spare = await _pair(any_master, 9)
    assert spare.covered == {"port": 9}
    await berlin.give_back(*seats("port", 5))
    assert await used(wire, "port") == (9, 10)
    paris = await opened(wire, "paris")
    granted(await paris.acquire(seat("port", "p1")))
    refused(await paris.acquire(seat("port", "p2")))
    lost = await spare.renew(keep=False)
    assert lease_pb2.StandbyLeaseTerms.FromString(lost.standby_leases[0].signed.terms).holdings[0].seats == 4
    assert await used(wire, "port") == (10, 10), "the smaller one got lost"
    await spare.renew()
    assert spare.covered == {"port": 4}
    assert await used(wire, "port") == (10, 10), "it was sent, and nobody knows whether it came"
    await spare.renew()
    await spare.renew()
    assert await used(wire, "port") == (5, 10)
    granted(await paris.acquire(*seats("port", 5, "more")))
    await berlin.close()
    assert await used(wire, "port") == (10, 10)
    await spare.renew()
    assert spare.covered == {}, "an empty one replaces what is no longer needed"
    await spare.renew()
    assert await used(wire, "port") == (6, 10)
    await spare.renew()
    assert await mismatches(database_url) == []


@pytest.mark.rule("F5")
async def test_a_standby_lease_ends_by_itself(any_master: InProcess) -> None:
    wire, clock, look = any_master.wire, any_master.clock, any_master.running.expiry.run_once
    berlin, spare = await _pair(any_master, 9)
    assert spare.terms.end_time.ToSeconds() == int(clock.now) + TTL + GRACE
    await berlin.close()
    clock.advance(TTL + GRACE + ALLOWANCE)
    await look()
    assert await used(wire, "port") == (9, 10)
    clock.advance(1)
    await look()
    assert await used(wire, "port") == (0, 10)


@pytest.mark.rule("F5")
async def test_what_was_carried_without_a_master_is_taken_over_even_after_the_lease_ended(
    any_master: InProcess, database_url: str
) -> None:
    """The master was down for longer than Berlin's lease: its seats went back, the standby's promise did not."""
    wire, clock, look = any_master.wire, any_master.clock, any_master.running.expiry.run_once
    _berlin, spare = await _pair(any_master, 10)
    clock.advance(GRACE + ALLOWANCE + 1)
    await look()
    assert await held_by_pbx(wire) == {}
    assert await used(wire, "port") == (10, 10), "promised to the standby"
    carried = await spare.take_over(spare.takeover(carried_seconds=500, in_use={"port": 10}))
    results = (await carried.sync(*seats("port", 10, "carried"))).results
    assert len(granted(results)) == 10
    assert await used(wire, "port") == (10, 10)
    assert await mismatches(database_url) == []
    assert await all_events(wire, "standby.two_claims") == []


@pytest.mark.rule("F5")
async def test_two_claims_at_once_are_found_and_told_with_numbers(any_master: InProcess) -> None:
    wire, clock = any_master.wire, any_master.clock
    berlin, spare = await _pair(any_master, 6)
    clock.advance(100)
    await berlin.renew()  # it was alive, and only the standby thought that it was not
    clock.advance(10)
    claim = spare.takeover(carried_seconds=60, in_use={"port": 5})
    assert list(await spare.refused(claim)) == ["PRIMARY_ACTIVE"]
    assert list(await spare.refused(claim)) == ["PRIMARY_ACTIVE"]
    (event,) = await all_events(wire, "standby.two_claims")
    assert (
        '"types":{"port":{"held_by_primary":6,"carried_by_standby":5,"counted":6,"beyond_counted":5,"over_granted":1}}'
        in event.details
    )
    pair = await checked(wire)
    assert pair.two_claims_time.ToSeconds() == int(clock.now)
    assert not by_kind(pair.problems)["TWO_CLAIMS"].blocking


@pytest.mark.rule("F5")
async def test_a_pbx_that_went_on_while_its_seats_were_carried_is_told(any_master: InProcess) -> None:
    wire, clock = any_master.wire, any_master.clock
    berlin, spare = await _pair(any_master, 6)
    carried = await spare.take_over()
    assert (await failure(berlin.renew())).reason == "LEASE_CARRIED"
    assert await all_events(wire, "standby.two_claims") == [], "handing over takes a moment"
    clock.advance(TTL + 1)
    await carried.renew()
    for _ in range(2):
        assert (await failure(berlin.renew())).reason == "LEASE_CARRIED"
    (event,) = await all_events(wire, "standby.two_claims")
    assert '"held_by_primary":6,"carried_by_standby":6,"counted":6' in event.details
    await berlin.open()
    assert await used(wire, "port") == (6, 10)


TAMPERINGS = {
    "standby": lambda terms: setattr(terms, "standby", "projects/acme/pbxs/paris"),
    "primary": lambda terms: setattr(terms, "primary", "projects/acme/pbxs/paris"),
    "epoch": lambda terms: setattr(terms, "primary_epoch", 99),
    "serial": lambda terms: setattr(terms, "serial", 99),
    "issue time": lambda terms: terms.issue_time.FromSeconds(1),
    "end time": lambda terms: terms.end_time.FromSeconds(2_000_000_000),
    "ttl": lambda terms: setattr(terms, "ttl_seconds", 99),
    "grace": lambda terms: setattr(terms, "grace_seconds", 99),
    "holdings": lambda terms: setattr(terms.holdings[0], "seats", 99),
}


@pytest.mark.rule("F5")
async def test_a_standby_lease_that_is_not_genuine_is_no_evidence(any_master: InProcess) -> None:
    wire = any_master.wire
    _berlin, spare = await _pair(any_master)
    good = spare.takeover(carried_seconds=1)
    bad: list[lease_pb2.TakeOverLeaseRequest] = []
    for tamper in TAMPERINGS.values():
        terms = lease_pb2.StandbyLeaseTerms.FromString(good.carried_offline.signed.terms)
        tamper(terms)  # type: ignore[no-untyped-call]
        changed = lease_pb2.TakeOverLeaseRequest()
        changed.CopyFrom(good)
        changed.carried_offline.signed.terms = terms.SerializeToString(deterministic=True)
        bad.append(changed)
    for at in (0, 31, 63):
        changed = lease_pb2.TakeOverLeaseRequest()
        changed.CopyFrom(good)
        signature = bytearray(good.carried_offline.signed.signature)
        signature[at] ^= 1
        changed.carried_offline.signed.signature = bytes(signature)
        bad.append(changed)
    ordinary = (await spare.renew()).lease.signed  # genuine, but no standby lease
    changed = lease_pb2.TakeOverLeaseRequest()
    changed.CopyFrom(good)
    changed.carried_offline.signed.terms, changed.carried_offline.signed.signature = ordinary.terms, ordinary.signature
    bad.append(changed)
    before = await holdings(wire)
    for request in bad:
        told = await failure(wire.leases.TakeOverLease(request))
        assert told.code == grpc.StatusCode.INVALID_ARGUMENT
        assert "carried_offline.signed" in told.fields
    other_pair = lease_pb2.TakeOverLeaseRequest()
    other_pair.CopyFrom(good)
    other_pair.primary = f"projects/{PROJECT}/pbxs/paris"
    told = await failure(wire.leases.TakeOverLease(other_pair))
    assert "is for projects/acme/pbxs/spare in place of" in told.fields["carried_offline.signed"]
    assert await holdings(wire) == before
    await spare.take_over(good)


@pytest.mark.rule("F5")
async def test_a_standby_lease_of_another_master_is_no_evidence(
    any_master: InProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.support.masters import sqlite_url, upgraded

    await _pair(any_master)
    url = await upgraded(sqlite_url(tmp_path_factory.mktemp("foreign")))
    async with in_process_master(url, Clock(any_master.clock.now)) as foreign:
        _, stranger = await _pair(foreign)
        request = stranger.takeover(carried_seconds=1)
    told = await failure(any_master.wire.leases.TakeOverLease(request))
    assert "does not verify" in told.fields["carried_offline.signed"]


# --- F6: warned before ------------------------------------------------------------------------------------------------


@pytest.mark.rule("F6")
async def test_a_change_that_breaks_a_pair_warns_before_and_after(any_master: InProcess) -> None:
    wire = any_master.wire
    estate = project({**LICENSES, "PBX-Fax12": 1}, pbxs=PAIR)
    assert not (await wire.apply(estate)).warnings
    broken = without(estate, "PBX-Standby12")
    warning = (
        "spare cannot stand in for berlin: PBX-Standby is off on hq-box: 0 installed for 10 PBX-Port;"
        " bind 10 more of V12 or newer to hq-box (F1, F2)"
    )
    assert list((await wire.apply(broken, dry_run=True)).warnings) == [warning]
    assert (await checked(wire)).problems[0].kind != standby_pb2.STANDBY_PROBLEM_KIND_LICENSES_SHORT, "only asked"
    assert list((await wire.apply(broken)).warnings) == [warning]
    upgraded_pbx = project({**LICENSES, "PBX-Fax12": 1}, pbxs={**PAIR, "spare": "standby:berlin 13 gateway"})
    warnings = list((await wire.apply(upgraded_pbx, dry_run=True)).warnings)
    assert any(one.startswith("spare cannot stand in for berlin: spare runs 13") for one in warnings)


@pytest.mark.rule("F6")
async def test_a_license_that_moves_and_breaks_a_pair_warns(any_master: InProcess, tmp_path: Path) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({"PBX-Port12": 4}, pbxs=PAIR))
    licenses_ = {"spares": ("PBX-Standby12", 4), "more-ports": ("PBX-Port12", 3)}
    await imported(wire, Vendor(), licenses_, now=clock.now)
    await enrolled(wire, tmp_path, "hq-box")

    async def binding(name: str, *, dry_run: bool) -> list[str]:
        request = license_pb2.BindLicensesRequest(
            project=f"projects/{PROJECT}", licenses=[name], device="hq-box", request_id=str(uuid4()), dry_run=dry_run
        )
        return [one for one in (await wire.licenses.BindLicenses(request)).warnings if "stand in for" in one]

    assert await binding("spares", dry_run=False) == []
    assert "LICENSES_SHORT" not in by_kind((await checked(wire)).problems)
    for dry_run in (True, False):
        (warning,) = await binding("more-ports", dry_run=dry_run)
        assert "4 installed for 7 PBX-Port; bind 3 more of V12 or newer to hq-box" in warning
    assert by_kind((await checked(wire)).problems)["LICENSES_SHORT"].missing == 3


@pytest.mark.rule("F5")
async def test_seats_taken_away_by_force_stay_counted_where_they_are_promised(
    any_master: InProcess, tmp_path: Path, database_url: str
) -> None:
    wire, clock = any_master.wire, any_master.clock
    estate = project({"PBX-Port12": 4, "PBX-Standby12": 10}, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE)
    await wire.apply(estate)
    await imported(wire, Vendor(), {"ports": ("PBX-Port12", 6)}, now=clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 9)))
    spare = await standing_by(wire)
    clock.advance(TTL + 1)  # berlin cannot be told
    await spare.renew()
    (result,) = await release(wire, "ports", in_use=license_pb2.IN_USE_FORCE)
    assert result.seats_revoked == 5
    assert await used(wire, "port") == (9, 10), "the standby may still carry nine"
    assert await mismatches(database_url) == []


@pytest.mark.rule("F5", "F6")
async def test_nothing_that_is_promised_is_taken_away(any_master: InProcess) -> None:
    wire = any_master.wire
    estate = project(LICENSES, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE)
    _berlin, spare = await _pair(any_master, 6)
    carried = await spare.take_over()
    gone = project(LICENSES, pbxs={name: text for name, text in PAIR.items() if name != "spare"})
    told = await failure(wire.apply(gone))
    assert "spare cannot be removed while it carries the seats of berlin" in told.message
    await carried.close()
    fewer = project({"PBX-Port12": 5, "PBX-Standby12": 10}, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE)
    assert "6 are in use" in (await failure(wire.apply(fewer))).message
    alone = project(LICENSES, pbxs={"paris": PAIR["paris"]})
    assert "6 seats are promised in its name" in (await failure(wire.apply(alone))).message
    any_master.clock.advance(TTL + GRACE + ALLOWANCE + 1)
    await any_master.running.expiry.run_once()
    await wire.apply(fewer)
    await wire.apply(alone)
    await wire.apply(estate)


@pytest.mark.rule("F5")
async def test_several_masters_count_the_same(postgresql_database_url: str, clock: Clock) -> None:
    async with (
        in_process_master(postgresql_database_url, clock) as one,
        in_process_master(postgresql_database_url, clock) as other,
    ):
        berlin, spare = await _pair(one, 10)
        spare.wire = other.wire
        carried = await spare.take_over()
        assert (await failure(berlin.renew())).reason == "LEASE_CARRIED"
        await carried.give_back(*seats("port", 4))
        async with wire_to(one.wire.address) as wire:
            paris = await opened(wire, "paris")
            refused(await paris.acquire(seat("port", "anna")))
            carried.wire = wire
            granted(await carried.acquire(*seats("port", 4, "other")))
        answers = await asyncio.gather(
            berlin.open(),
            *(spare.wire.leases.TakeOverLease(spare.takeover()) for _ in range(3)),
            return_exceptions=True,
        )
        assert not [answer for answer in answers if isinstance(answer, BaseException)]
    assert await mismatches(postgresql_database_url) == []
