"""Section B: versions of licenses, of the PBX software, and of applications."""

import asyncio

import pytest

from licensemaster.v1 import lease_pb2, seat_pb2
from tests.rules.asking import (
    GROUP,
    LOGIN,
    QUEUE,
    Action,
    Reason,
    ask,
    explain,
    give_back,
    grant,
    grant_all,
    held,
    licenses,
    numbers,
    refuse,
    status,
    used,
    without,
)
from tests.support.limits import HANG_SECONDS
from tests.support.masters import InProcess, Wire
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seat, seats
from tests.support.projects.estates import project

MIX = {"PBX-Port10": 100, "PBX-Port12": 100}


@pytest.mark.rule("B1", "B2")
@pytest.mark.parametrize("software", ["12", "12r1 sr4", "V11", "10", "8"])
async def test_a_license_enables_its_own_version_and_older_ones(master: InProcess, software: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin", software)
    await grant(berlin, seat("port", "alice"))


@pytest.mark.rule("B1", "B2", "B5", "E6")
async def test_a_license_never_enables_a_newer_version(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port11": 7}))
    berlin = await opened(master.wire, "berlin", "12")
    refusal = await refuse(berlin, seat("port", "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert list(refusal.rules) == ["B3", "B5"]
    assert refusal.message == "berlin runs 12, but hq-box is licensed up to V11"
    assert licenses(refusal.licenses) == [("PBX-Port11", 7, "hq-box")]
    assert refusal.capacity == 7
    assert refusal.remedy.action == Action.REMEDY_ACTION_REPLACE_LICENSES
    assert (refusal.remedy.device, refusal.remedy.version) == ("hq-box", "12")
    await berlin.open("11")  # one remedy: run what is licensed
    await grant(berlin, seat("port", "alice"))


@pytest.mark.rule("B2")
async def test_the_other_remedy_is_to_replace_the_licenses(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port11": 7}))
    berlin = await opened(master.wire, "berlin", "12r1")
    assert (await refuse(berlin, seat("port", "alice"))).remedy.text == (
        "replace 7 x PBX-Port11 (license-1) by V12 licenses, or run V11 on berlin,"
        " or release 7 x PBX-Port11 (license-1) from hq-box and bind 1 more PBX-Port license of V12 or newer to hq-box"
    )
    await master.wire.apply(project({"PBX-Port12": 7}))
    await grant(berlin, seat("port", "alice"))


@pytest.mark.rule("B3", "B4", "B5", "B6")
async def test_the_documents_mix_of_v10_and_v12(master: InProcess) -> None:
    estate = project(MIX)
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin", "10")
    assert len(await grant_all(berlin, *seats("port", 200))) == 200  # B4
    exhausted = await refuse(berlin, seat("port", "one-more"))
    assert exhausted.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert numbers(exhausted) == (200, 200, 1)
    await give_back(berlin, *seats("port", 200))

    await berlin.open("12")  # B3: an upgrade finds nothing that works
    limited = await refuse(berlin, seat("port", "alice"))
    assert limited.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert licenses(limited.licenses) == [("PBX-Port10", 100, "hq-box")]
    assert limited.remedy.text.endswith("or release 100 x PBX-Port10 (license-1) from hq-box")

    await master.wire.apply(without(estate, "PBX-Port10"))  # B6
    results = await ask(berlin, *seats("port", 101))
    granted(results[:100])
    assert numbers(refused(results[100:])[0]) == (100, 100, 101)
    limits = (await status(master.wire)).version_limits
    assert [(limit.device, limit.version) for limit in limits] == [("hq-box", 12)]


@pytest.mark.rule("B3")
async def test_one_old_license_limits_every_type_and_every_pbx(master: InProcess) -> None:
    estate = project({"PBX-Port12": 10, "PBX-myPBX12": 10, "PBX-Fax9": 1, "PBX-Fax8": (1, "")})
    await master.wire.apply(estate)
    hq, berlin = await opened(master.wire, "hq", "12"), await opened(master.wire, "berlin", "11")
    for pbx in (hq, berlin):
        for license_type in ("port", "mypbx", "fax"):
            refusal = await refuse(pbx, seat(license_type, "alice"))
            assert refusal.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
            assert licenses(refusal.licenses) == [("PBX-Fax9", 1, "hq-box")]  # what is free limits nothing
    await master.wire.apply(without(estate, "PBX-Fax9"))
    for pbx in (hq, berlin):
        await grant_all(pbx, seat("port", "alice"), seat("mypbx", "alice"))


@pytest.mark.rule("B5")
async def test_all_seats_of_a_call_above_the_limit_are_refused(master: InProcess) -> None:
    await master.wire.apply(project(MIX))
    berlin = await opened(master.wire, "berlin", "12")
    refusals = refused(await ask(berlin, *seats("port", 20)))
    assert {refusal.reason for refusal in refusals} == {Reason.REFUSAL_REASON_VERSION_LIMIT}
    assert await used(master.wire, "port") == (0, 200)
    group = await grant(berlin, seat("port", "sales", kind=GROUP))
    assert not group.device  # what needs no license is limited by none


@pytest.mark.rule("B8")
@pytest.mark.parametrize(
    ("license_type", "kind", "printed"),
    [("operator", LOGIN, "PBX-Operator11"), ("queue_monitor", QUEUE, "PBX-QueueMonitor11")],
)
async def test_held_against_the_application(
    master: InProcess, license_type: str, kind: seat_pb2.HolderKind.ValueType, printed: str
) -> None:
    await master.wire.apply(project({"PBX-Port12": 1, printed: 5}))
    berlin = await opened(master.wire, "berlin", "12")  # newer than the application's license: B3 does not count it
    await grant(berlin, seat("port", "alice"))
    await grant(berlin, seat(license_type, "one", kind=kind, app="11r1"))
    await grant(berlin, seat(license_type, "two", kind=kind, app="9"))

    newer = await refuse(berlin, seat(license_type, "three", kind=kind, app="12"))
    assert newer.reason == Reason.REFUSAL_REASON_APPLICATION_VERSION
    assert list(newer.rules) == ["B8"]
    assert newer.capacity == 5
    assert licenses(newer.licenses) == [(printed, 5, "hq-box")]
    assert newer.remedy.action == Action.REMEDY_ACTION_DOWNGRADE_SOFTWARE
    assert newer.remedy.version == "11"
    await grant(berlin, seat(license_type, "three", kind=kind, app=newer.remedy.version))

    silent = await refuse(berlin, seat(license_type, "four", kind=kind))
    assert silent.reason == Reason.REFUSAL_REASON_APPLICATION_VERSION
    assert silent.remedy.action == Action.REMEDY_ACTION_CORRECT_REQUEST

    await master.wire.apply(project({"PBX-Port12": 1, printed.replace("11", "12"): 5}))  # the other remedy
    await grant(berlin, seat(license_type, "four", kind=kind, app="12"))


@pytest.mark.rule("B8")
async def test_the_oldest_license_of_an_application_counts(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Operator12": 5, "PBX-Operator10": 1}))
    berlin = await opened(master.wire, "berlin", "12")
    refusal = await refuse(berlin, seat("operator", "desk-1", kind=LOGIN, app="12"))
    assert licenses(refusal.licenses) == [("PBX-Operator10", 1, "hq-box")]
    await grant(berlin, seat("operator", "desk-1", kind=LOGIN, app="10"))


@pytest.mark.rule("B8", "K8")
async def test_a_softphones_own_version_does_not_matter(master: InProcess) -> None:
    await master.wire.apply(project({"PBX SoftwarePhones11": 2, "PBX-myPBX12": 2}))
    berlin = await opened(master.wire, "berlin", "11")
    await grant_all(berlin, seat("mypbx", "alice"), seat("softwarephone", "alice", app="14r1"))
    await berlin.open("12")
    refusal = await refuse(berlin, seat("softwarephone", "bob", app="9"))
    assert refusal.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert licenses(refusal.licenses) == [("PBX SoftwarePhones11", 2, "hq-box")]


@pytest.mark.rule("B9")
async def test_a_local_pbx_is_an_installation_of_its_own(master: InProcess) -> None:
    pbxs = {"berlin": "slave 12 gateway", "madrid": "slave 12 gateway", "oslo": "slave 12 gateway"}
    estate = project({"PBX-Port12": 5, "PBX-Port13": (5, "madrid-box"), "PBX-Port10": (5, "oslo-box")}, pbxs=pbxs)
    await master.wire.apply(estate)
    berlin, madrid = await opened(master.wire, "berlin", "13"), await opened(master.wire, "madrid", "13")
    oslo = await opened(master.wire, "oslo", "10")
    assert (await refuse(berlin, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    await grant(madrid, seat("port", "alice"))
    await grant(oslo, seat("port", "alice"))
    limits = {
        limit.device: (limit.version, list(limit.pbxs_above)) for limit in (await status(master.wire)).version_limits
    }
    assert limits == {
        "hq-box": (12, ["projects/acme/pbxs/berlin"]),
        "madrid-box": (13, []),
        "oslo-box": (10, []),
    }
    await oslo.open("12")
    refusal = await refuse(oslo, seat("port", "bob"))
    assert refusal.device == "oslo-box"
    assert licenses(refusal.licenses) == [("PBX-Port10", 5, "oslo-box")]


@pytest.mark.rule("B10")
async def test_a_limit_that_drops_leaves_seats_and_refuses_new_ones(master: InProcess) -> None:
    before = project({"PBX-Port12": 10})
    after = project({"PBX-Port12": 10, "PBX-Port10": 1})
    await master.wire.apply(before)
    berlin = await opened(master.wire, "berlin", "12")
    await grant_all(berlin, *seats("port", 3))
    stream = berlin.wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
    answer = aiter(stream)
    assert not (await anext(answer)).notices
    assert not (await berlin.renew()).notices
    assert await above(master.wire) == []

    applied = await master.wire.apply(after)
    assert any("berlin (12)" in warning and "B5" in warning for warning in applied.warnings)
    async with asyncio.timeout(HANG_SECONDS):
        notice = (await anext(answer)).notices[0]  # at once
    assert notice.kind == lease_pb2.NOTICE_KIND_VERSION_LIMIT
    assert notice.message == ("berlin runs 12, but hq-box is licensed up to V10: seats held stay, new ones are refused")
    assert licenses(notice.licenses) == [("PBX-Port10", 1, "hq-box")]
    assert list((await berlin.renew()).notices) == [notice]  # and as long as it holds
    assert await above(master.wire) == ["projects/acme/pbxs/berlin", "projects/acme/pbxs/hq"]

    results = await ask(berlin, *seats("port", 4))
    assert all(grant.already_held for grant in granted(results[:3]))
    assert refused(results[3:])[0].reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    synced = await berlin.sync(*seats("port", 3))
    assert all(grant.already_held for grant in granted(synced.results))
    await give_back(berlin, seat("port", "phone-0"))  # what is returned does not come back
    assert (await refuse(berlin, seat("port", "phone-0"))).reason == Reason.REFUSAL_REASON_VERSION_LIMIT

    await master.wire.apply(before)
    async with asyncio.timeout(HANG_SECONDS):
        assert not (await anext(answer)).notices
    assert await above(master.wire) == []
    await grant(berlin, seat("port", "phone-0"))
    stream.cancel()


@pytest.mark.rule("B10")
async def test_a_pbx_that_opens_above_the_limit_is_told(master: InProcess) -> None:
    await master.wire.apply(project(MIX, pbxs={"berlin": "slave 10 gateway", "hq": "master 10 gateway"}))
    berlin = BarePbx(master.wire, "berlin")
    assert not (await berlin.open("10")).notices
    await grant(berlin, seat("port", "alice"))
    upgraded = await berlin.open("12")
    assert [notice.kind for notice in upgraded.notices] == [lease_pb2.NOTICE_KIND_VERSION_LIMIT]
    assert upgraded.seats_held == 1
    assert await held(master.wire, berlin) == {("port", "alice")}
    assert await above(master.wire) == ["projects/acme/pbxs/berlin"]
    await berlin.close()
    assert await above(master.wire) == []  # what the project says counts again


@pytest.mark.rule("B10")
async def test_applying_warns_by_the_software_that_runs(master: InProcess) -> None:
    pbxs = {"hq": "master 10 gateway", "berlin": "slave 10 gateway", "paris": "slave 12 gateway"}
    before = project({"PBX-Port12": 10}, pbxs=pbxs, ttl_seconds=60, grace_seconds=60)
    after = project(MIX, pbxs=pbxs, ttl_seconds=60, grace_seconds=60)
    await master.wire.apply(before)
    berlin, paris = await opened(master.wire, "berlin", "12"), await opened(master.wire, "paris", "10")

    async def warned() -> list[str]:
        warnings = (await master.wire.apply(after, dry_run=True)).warnings
        assert all(warning.startswith("hq-box is licensed up to V10 by 100 x PBX-Port10") for warning in warnings)
        return [warning.rpartition(": ")[2] for warning in warnings]

    upgraded, as_described = (f"{text} (12) will get nothing new (rule B5)" for text in ("berlin", "paris"))
    assert await warned() == [upgraded]
    master.clock.advance(61)  # overdue: it carries on by itself
    assert await warned() == [upgraded]
    await paris.close()
    assert await warned() == [f"berlin (12), {as_described}"]  # what the project says counts again
    master.clock.advance(60)  # past the end of its lease
    assert await warned() == [as_described]
    await berlin.open("12")
    applied = await master.wire.apply(after)
    assert [warning.rpartition(": ")[2] for warning in applied.warnings] == [f"berlin (12), {as_described}"]


@pytest.mark.rule("B5")
async def test_explain_can_ask_for_another_software(master: InProcess) -> None:
    await master.wire.apply(project(MIX))
    berlin = await opened(master.wire, "berlin", "10")
    asked = await explain(berlin, seat("port", "alice"), software="12r1")
    assert refused(asked.results)[0].reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert asked.reasoning[0] == "berlin runs 12r1 and belongs to the pool on hq-box, which allows software up to V10"
    granted((await explain(berlin, seat("port", "alice"))).results)
    await grant(berlin, seat("port", "alice"))


async def above(wire: Wire) -> list[str]:
    """PBXs above the limit of the pool."""
    return sorted((await status(wire)).version_limits[0].pbxs_above)
