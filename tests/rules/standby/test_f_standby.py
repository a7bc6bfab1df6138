"""Section F: a standby that is proven. Takeover, return, claims, readiness, warnings."""

import asyncio

import grpc
import pytest

from licensemaster.v1 import lease_pb2, standby_pb2, status_pb2
from tests.rpc.failures import failure
from tests.rules.asking import holdings, used
from tests.rules.standby.pairs import GRACE, TTL, paired
from tests.support.databases.truth import all_events, held_by_pbx, mismatches
from tests.support.masters import PROJECT, InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat, seats
from tests.support.pbxs.standbys import LICENSES, BareStandby, checked
from tests.support.projects.estates import project

# --- F1, F5: taking over and handing back -----------------------------------------------------------------------------


@pytest.mark.rule("F1", "F5")
async def test_the_seats_of_a_failed_pbx_go_on_and_return_to_it(master: InProcess, either_database_url: str) -> None:
    wire = master.wire
    berlin, spare = await paired(master)
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
    assert await mismatches(either_database_url) == []


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
        "standby 12 gateway": "a PBX with the role standby has to name the PBX that it is the standby of",
        "slave:berlin 12 gateway": "'berlin' is no other PBX of this project",
        "slave:rome 12 gateway": "'rome' is no PBX of this project; there are berlin, hq",
    }.items():
        failed = await failure(master.wire.apply(project(LICENSES, pbxs={"berlin": described})))
        assert failed.fields == {"pbxs[1].standby_for": why}


@pytest.mark.rule("A5", "F3")
async def test_a_standby_too_old_for_the_pool_does_not_stand_in(master: InProcess) -> None:
    _, spare = await paired(master)
    problem = (await spare.refused(spare.takeover(software="7")))["VERSION_LIMIT"]
    assert list(problem.rules) == ["A5", "F3"]
    assert "needs PBX software 8 or newer" in problem.message


@pytest.mark.rule("F5")
async def test_whoever_loses_the_lease_is_told_at_once(master: InProcess) -> None:
    berlin, spare = await paired(master)

    def watch(pbx: BarePbx) -> asyncio.Task[list[lease_pb2.Notice]]:
        async def last() -> list[lease_pb2.Notice]:
            received: list[lease_pb2.Notice] = []
            request = lease_pb2.WatchLeaseRequest(pbx=pbx.name, epoch=pbx.epoch)
            async for response in master.wire.leases.WatchLease(request):
                received = list(response.notices)
                started.set()
            return received

        started = asyncio.Event()
        task = asyncio.ensure_future(last())
        pbx.watching = started  # type: ignore[attr-defined]
        return task

    watched = watch(berlin)
    await berlin.watching.wait()  # type: ignore[attr-defined]
    carried = await spare.take_over()
    (answer,) = await watched
    assert answer.kind == lease_pb2.NOTICE_KIND_CARRIED
    assert answer.message.startswith("spare carries the seats of berlin")
    watched = watch(carried)
    await carried.watching.wait()  # type: ignore[attr-defined]
    await berlin.open()
    (answer,) = await watched
    assert answer.kind == lease_pb2.NOTICE_KIND_FENCED
    assert "its seats are its own" in answer.message


@pytest.mark.rule("F5")
async def test_a_pbx_that_was_cut_off_hears_who_carries_its_seats(master: InProcess) -> None:
    berlin, spare = await paired(master)
    await spare.take_over()
    failed = await failure(berlin.renew())
    assert failed.reason == "LEASE_CARRIED"
    assert "open a new one to take them back" in failed.message
    listed = await master.wire.status.ListLeases(status_pb2.ListLeasesRequest(project=f"projects/{PROJECT}"))
    assert {lease.pbx.rpartition("/")[2]: lease.carried_by for lease in listed.leases if lease.carried_by} == {
        "berlin": spare.name
    }


@pytest.mark.rule("F5")
async def test_takeovers_and_returns_are_no_copies(master: InProcess) -> None:
    berlin, spare = await paired(master)
    for _ in range(5):
        await spare.take_over(spare.takeover(force=True))
        assert not [
            notice for notice in (await berlin.open()).notices if notice.kind == lease_pb2.NOTICE_KIND_SUSPECTED_CLONE
        ]


@pytest.mark.rule("F5")
async def test_a_takeover_is_safe_to_retry(any_master: InProcess) -> None:
    _, spare = await paired(any_master)
    request = spare.takeover()
    answers = await asyncio.gather(*(any_master.wire.leases.TakeOverLease(request) for _ in range(5)))
    assert len({answer.lease.epoch for answer in answers}) == 1
    assert {answer.seats_held for answer in answers} == {6}
    assert len(await all_events(any_master.wire, "lease.taken_over")) == 1
    restarted = await spare.take_over()  # another request: it restarted and goes on
    assert restarted.epoch == answers[0].lease.epoch + 1


@pytest.mark.rule("F1", "F5")
async def test_only_the_one_configured_and_only_when_there_is_need(master: InProcess) -> None:
    wire, clock = master.wire, master.clock
    berlin, spare = await paired(master)
    before = await holdings(wire)
    foreign = spare.takeover()
    foreign.primary = f"projects/{PROJECT}/pbxs/paris"
    problems = await spare.refused(foreign)
    assert list(problems) == ["NOT_A_PAIR", "PRIMARY_NEVER_SEEN"]
    assert "`standby_for` in the project says who is" in problems["NOT_A_PAIR"].message
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


async def test_malformed_takeovers_change_nothing(master: InProcess) -> None:
    _, spare = await paired(master)
    for field, value in (
        ("standby", "spare"), ("primary", ""), ("instance_id", ""), ("request_id", ""), ("software_version", "new"),
        ("reason", "x" * 129),
    ):  # fmt: skip
        request = spare.takeover()
        setattr(request, field, value)
        failed = await failure(master.wire.leases.TakeOverLease(request))
        assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
        assert list(failed.fields) == [field]
    request = spare.takeover()
    request.primary = "projects/acme/pbxs/nowhere"
    assert (await failure(master.wire.leases.TakeOverLease(request))).reason == "UNKNOWN_PBX"
    for standby in ("projects/acme/pbxs/nowhere", "projects/other/pbxs/spare"):
        request = spare.takeover()
        request.standby = standby
        assert (await failure(master.wire.leases.TakeOverLease(request))).reason == "UNKNOWN_PBX"
    assert await all_events(master.wire, "lease.taken_over") == []


async def test_malformed_evidence_and_receipts_change_nothing(master: InProcess) -> None:
    wire = master.wire
    _, spare = await paired(master)
    before = await checked(wire)
    for seconds, in_use, field in (
        (float("nan"), {"port": 1}, "carried_seconds"),
        (-1.0, {}, "carried_seconds"),
        (1.0, {"port": -1}, "in_use[0].seats"),
        (1.0, {"": 1}, "in_use[0].license_type"),
    ):
        request = spare.takeover(carried_seconds=seconds, in_use=in_use)
        failed = await failure(wire.leases.TakeOverLease(request))
        assert list(failed.fields) == [f"carried_offline.{field}"]
    receipt = lease_pb2.StandbyLeaseReceipt
    for receipts, field in (
        ([receipt(primary="berlin")], "standby_receipts[0].primary"),
        ([receipt(primary="projects/other/pbxs/berlin")], "standby_receipts[0].primary"),
        ([receipt(primary=spare.primary), receipt(primary=spare.primary)], "standby_receipts[1].primary"),
        ([receipt(primary=spare.primary, serial=-1)], "standby_receipts[0].serial"),
        ([receipt(primary=spare.primary, released_epoch=-1)], "standby_receipts[0].released_epoch"),
        ([receipt(primary=spare.primary)] * 101, "standby_receipts"),
    ):
        failed = await failure(
            wire.leases.RenewLease(
                lease_pb2.RenewLeaseRequest(pbx=spare.name, epoch=spare.epoch, standby_receipts=receipts)
            )
        )
        assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
        assert list(failed.fields) == [field]
    assert await checked(wire) == before
    unknown = receipt(primary="projects/acme/pbxs/nowhere", serial=7, discarded=True)
    late = receipt(primary=spare.primary, serial=10**12, discarded=True)  # of one that was never issued
    for each in (unknown, late):
        await wire.leases.RenewLease(
            lease_pb2.RenewLeaseRequest(pbx=spare.name, epoch=spare.epoch, standby_receipts=[each])
        )
    assert (await checked(wire)).acknowledged_serial == before.acknowledged_serial
