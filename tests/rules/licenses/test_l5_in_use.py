"""Rule L5: releasing what is in use is refused, drained, revoked or forced; whatever may still be used is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import lease_pb2, license_pb2
from tests.rules.asking import Reason, grant_all, held, promised, refuse, used
from tests.support.databases.truth import mismatches
from tests.support.licenses.used_licenses import (
    ALLOWANCE,
    BOUND,
    DRAIN,
    FORCE,
    FREE,
    GRACE,
    LEAVING,
    PBXS,
    REVOKE,
    REVOKED,
    TTL,
    estate_of,
    names,
    released,
    seats_told,
)
from tests.support.masters import Clock, InProcess, two_masters
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import (
    Vendor,
    bind,
    cancel,
    certify,
    enrolled,
    imported,
    listed,
    moved,
    refusal,
    release,
)

RELEASING = license_pb2.LICENSE_STATE_RELEASING
Stream = lease_pb2.WatchLeaseResponse


@pytest.mark.rule("L5")
async def test_refused_with_who_holds_it(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)}, {"PBX-Port12": 5})
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    await grant_all(berlin, *seats("port", 4))
    await grant_all(paris, *seats("port", 2))
    refused_ = refusal(await release(wire, "ports"))
    assert (refused_.problem, refused_.quantity, refused_.device) == (license_pb2.MOVE_PROBLEM_IN_USE, 1, "hq-box")
    assert list(refused_.rules) == ["L5"]
    assert [(top.pbx, top.site, top.seats) for top in refused_.top_holders] == [
        (berlin.name, "site-berlin", 4),
        (paris.name, "site-paris", 2),
    ]
    assert (await listed(wire))["ports"].state == BOUND
    assert not (await berlin.renew()).notices
    await berlin.give_back(seat("port", "phone-0"))
    asked = moved(await release(wire, "ports"))  # what stays is enough
    assert (asked.state, asked.release.seats_to_go) == (RELEASING, 0)
    assert (await certify(wire, key, asked.release.request)).license.state == FREE
    assert await used(wire, "port") == (5, 5)


@pytest.mark.rule("L5")
async def test_several_together_are_judged_together(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await estate_of(master, tmp_path, {"a": ("PBX-Port12", 5), "b": ("PBX-Port12", 5)}, {"PBX-Port12": 5})
    await grant_all(await opened(wire, "berlin"), *seats("port", 8))
    first, second = await release(wire, "a", "b")
    assert first.HasField("moved")
    assert (second.refused.problem, second.refused.quantity) == (license_pb2.MOVE_PROBLEM_IN_USE, 3)


@pytest.mark.rule("L5")
async def test_a_release_that_waits_for_its_certificate_grants_nothing_new(master: InProcess, tmp_path: Path) -> None:
    """What was enough when it was asked for stays enough."""
    wire = master.wire
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)}, {"PBX-Port12": 5})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 3))
    asked = moved(await release(wire, "ports"))
    results = await berlin.acquire(*seats("port", 4, prefix="more"))
    assert len(granted(results[:2])) == 2
    assert {refusal.reason for refusal in refused(results[2:])} == {Reason.REFUSAL_REASON_POOL_EXHAUSTED}
    assert (await certify(wire, key, asked.release.request)).license.state == FREE
    assert await used(wire, "port") == (5, 5)


@pytest.mark.rule("L5")
async def test_draining_takes_nothing_away_and_ends_by_itself(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 3))
    asked = moved(await release(wire, "ports", in_use=DRAIN))
    assert (asked.state, asked.release.seats_to_go, asked.release.in_use) == (RELEASING, 3, DRAIN)
    assert (await refuse(berlin, seat("port", "fourth"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert [grant.already_held for grant in granted(await berlin.acquire(*seats("port", 3)))] == [True] * 3
    (notice,) = (await berlin.renew()).notices
    assert (notice.kind, [license.license for license in notice.licenses]) == (LEAVING, ["ports"])
    waiting = (await certify(wire, key, asked.release.request)).license
    assert (waiting.state, waiting.release.certified, waiting.release.seats_to_go) == (RELEASING, True, 3)
    await berlin.give_back(*seats("port", 2))
    assert (await released(master)).release.seats_to_go == 1
    await berlin.close()
    assert (await released(master)).state == FREE
    assert await used(wire, "port") == (0, 0)


@pytest.mark.rule("L5")
async def test_draining_takes_nothing_away_beside_a_release_that_does(master: InProcess, tmp_path: Path) -> None:
    """Nor does it end first, with the seats that the other one freed: as many again would have to go then."""
    wire, licenses = master.wire, {"drained": ("PBX-Port12", 3), "taken": ("PBX-Port12", 2)}
    key = await estate_of(master, tmp_path, licenses, {"PBX-Port12": 4})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 9))
    asked = [moved(await release(wire, "drained", in_use=DRAIN))]
    (result,) = await release(wire, "taken", in_use=REVOKE)
    assert result.seats_revoked == 2
    for status in (*asked, result.moved):
        await certify(wire, key, status.release.request)
    told = await seats_told(berlin)
    assert len(told) == 2
    await berlin.give_back(*told)
    assert (await listed(wire))["drained"].release.seats_to_go == 3
    assert (await released(master, "taken")).state == FREE
    assert (await released(master, "drained")).release.seats_to_go == 3
    assert await master.running.licenses.shrink_pools() == 0
    assert await used(wire, "port") == (7, 7)
    await berlin.give_back(*seats("port", 9))
    assert (await released(master, "drained")).state == FREE


@pytest.mark.rule("L5")
async def test_giving_a_release_up_grants_again(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 3))
    (result,) = await release(wire, "ports", in_use=REVOKE)
    assert result.seats_revoked == 3
    taken = await seats_told(berlin)
    assert len(taken) == 3
    assert moved(await cancel(wire, "ports")).state == BOUND
    assert names(await seats_told(berlin)) == names(taken)  # what was revoked stays revoked
    assert (await refuse(berlin, taken[0])).reason == Reason.REFUSAL_REASON_REVOKED
    await grant_all(berlin, *seats("port", 7, prefix="new"))
    await berlin.give_back(*taken)
    await grant_all(berlin, *seats("port", 3))


@pytest.mark.rule("L5")
async def test_revoking_takes_the_newest_and_tells_at_once(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)}, {"PBX-Port12": 5})
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    await grant_all(berlin, *seats("port", 4, prefix="old"))
    clock.advance(1)
    await grant_all(paris, *seats("port", 2, prefix="newer"))
    clock.advance(1)
    await grant_all(berlin, *seats("port", 2, prefix="newest"))
    stream = wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
    await stream.read()
    (result,) = await release(wire, "ports", in_use=REVOKE)
    assert (result.seats_revoked, result.seats_at_risk) == (3, 0)
    answer = await stream.read()
    assert isinstance(answer, Stream)
    (notice,) = [each for each in answer.notices if each.kind == REVOKED]
    assert names(notice.seats) == {("port", "newest-0"), ("port", "newest-1")}
    stream.cancel()
    (third,) = await seats_told(paris)
    assert third.holder.startswith("newer")
    assert await used(wire, "port") == (8, 15)  # counted until they are given back
    assert await promised(berlin) == {"port": 6}
    assert (await refuse(berlin, notice.seats[0])).reason == Reason.REFUSAL_REASON_REVOKED
    await certify(wire, key, result.moved.release.request)
    await berlin.give_back(*notice.seats)
    await paris.sync(*[seat for seat in seats("port", 2, prefix="newer") if seat.holder != third.holder])
    assert await seats_told(berlin) == await seats_told(paris) == []
    assert (await released(master)).state == FREE
    assert await used(wire, "port") == (5, 5)


@pytest.mark.rule("L5")
async def test_connected_pbxs_give_way_first(master: InProcess, tmp_path: Path) -> None:
    """Although what the silent one holds is newer: it could not be told."""
    wire, clock = master.wire, master.clock
    await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 3)}, {"PBX-Port12": 3})
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    await grant_all(berlin, *seats("port", 2))
    clock.advance(1)
    await grant_all(paris, *seats("port", 3))
    clock.advance(TTL - 0.5)
    await berlin.renew()
    clock.advance(1)  # paris is overdue
    (result,) = await release(wire, "ports", in_use=REVOKE)
    assert result.seats_revoked == 2
    assert len(await seats_told(berlin)) == 2


@pytest.mark.rule("L5")
async def test_a_silent_site_counts_until_its_signed_lease_ends(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 4))
    ends = clock.now + TTL + GRACE
    clock.advance(TTL + 1)
    (result,) = await release(wire, "ports", in_use=REVOKE)
    assert (result.seats_revoked, result.seats_at_risk) == (4, 0)
    assert (result.moved.release.seats_to_go, result.moved.release.seats_unreachable) == (4, 4)
    await certify(wire, key, result.moved.release.request)
    clock.now = ends + ALLOWANCE
    await master.running.expiry.run_once()
    assert (await released(master)).state == RELEASING
    assert await used(wire, "port") == (4, 10)
    clock.advance(0.01)
    await master.running.expiry.run_once()
    assert (await released(master)).state == FREE
    assert await used(wire, "port") == (0, 0)
    await berlin.open()
    assert await seats_told(berlin) == []  # that lease is over, and with it what was taken from it


@pytest.mark.rule("L5")
async def test_a_silent_site_that_comes_back_is_told(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 2))
    clock.advance(TTL + 1)
    (result,) = await release(wire, "ports", in_use=REVOKE)
    await certify(wire, key, result.moved.release.request)
    answer = await berlin.open()  # a restart: the same seats under a new epoch
    (notice,) = [each for each in answer.notices if each.kind == REVOKED]
    assert len(notice.seats) == 2
    synced = await berlin.sync(*seats("port", 2))
    assert {refusal.reason for refusal in refused(synced.results)} == {Reason.REFUSAL_REASON_REVOKED}
    assert (await released(master)).state == RELEASING
    synced = await berlin.sync()
    assert synced.seats_returned == 2
    assert (await released(master)).state == FREE


@pytest.mark.rule("L5")
async def test_force_stops_counting_silent_sites_and_tells_the_risk(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)}, {"PBX-Port12": 2})
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    await grant_all(berlin, *seats("port", 4))
    await grant_all(paris, *seats("port", 3))
    clock.advance(TTL + 1)
    await paris.renew()
    (result,) = await release(wire, "ports", in_use=FORCE)
    assert (result.seats_revoked, result.seats_at_risk) == (5, 2)  # three of paris, which is told; two of berlin
    assert await used(wire, "port") == (5, 12)
    taken = await seats_told(paris)
    assert len(taken) == 3
    await paris.give_back(*taken)
    assert (await certify(wire, key, result.moved.release.request)).license.state == FREE
    assert await used(wire, "port") == (2, 2)
    over = await seats_told(berlin)  # it is back before its lease ended: it hears what it lost
    assert len(over) == 2
    assert (await refuse(berlin, over[0])).reason == Reason.REFUSAL_REASON_REVOKED
    await berlin.give_back(*over)
    assert await seats_told(berlin) == []
    assert (await refuse(berlin, over[0])).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED


@pytest.mark.rule("L5", "D1")
async def test_what_goes_along_is_at_risk_too(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)}, {"PBX-IPVA12": (5, "vm-box")})
    vm = await opened(wire, "vm")
    await grant_all(vm, *seats("port", 3))
    clock.advance(TTL + 1)
    (result,) = await release(wire, "ports", in_use=FORCE)
    assert (result.seats_revoked, result.seats_at_risk) == (3, 6)  # each Port with its IPVA
    assert await used(wire, "port") == (0, 10)
    assert await used(wire, "ipva", "vm-box") == (0, 5)
    assert await held(wire, vm) == set()


@pytest.mark.rule("L5")
async def test_a_release_is_stepped_up(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    key = await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)})
    await grant_all(await opened(wire, "berlin"), *seats("port", 4))
    first = moved(await release(wire, "ports", in_use=DRAIN))
    again = moved(await release(wire, "ports"))  # less is no step back
    assert again == first
    clock.advance(TTL + 1)
    (revoked,) = await release(wire, "ports", in_use=REVOKE)
    assert (revoked.seats_revoked, revoked.moved.release.in_use) == (4, REVOKE)
    assert revoked.moved.release.request == first.release.request  # the same release goes on
    await certify(wire, key, first.release.request)
    (again_,) = await release(wire, "ports", in_use=REVOKE)
    assert (again_.seats_revoked, again_.moved.state) == (0, RELEASING)
    (forced,) = await release(wire, "ports", in_use=FORCE)
    assert (forced.seats_revoked, forced.seats_at_risk, forced.moved.state) == (0, 4, FREE)
    refused_ = refusal(await release(wire, "ports", in_use=FORCE))
    assert refused_.problem == license_pb2.MOVE_PROBLEM_NOT_BOUND


@pytest.mark.rule("L5")
async def test_another_release_of_it_is_refused(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 10)})
    before = moved(await release(wire, "ports"))
    for other in (
        await release(wire, "ports", to_device="berlin-box"),
        await release(wire, "ports", device_dead=True),
    ):
        assert refusal(other).problem == license_pb2.MOVE_PROBLEM_RELEASE_UNDER_WAY
    assert (await listed(wire))["ports"] == before
    assert refusal(await bind(wire, "hq-box", "ports")).problem == license_pb2.MOVE_PROBLEM_RELEASE_UNDER_WAY


@pytest.mark.rule("L5")
async def test_seats_of_a_local_site(master: InProcess, tmp_path: Path) -> None:
    """Its own licenses, its own seats; the pool is not touched."""
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 5}, pbxs=PBXS, ttl_seconds=TTL, grace_seconds=GRACE))
    await imported(wire, Vendor(), {"berlins": ("PBX-Port12", 3)}, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "berlin-box")
    await bind(wire, "berlin-box", "berlins")
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    await grant_all(berlin, *seats("port", 3))
    await grant_all(paris, *seats("port", 5))
    (result,) = await release(wire, "berlins", in_use=REVOKE, to_device="hq-box")
    assert result.seats_revoked == 3
    assert await seats_told(paris) == []
    await certify(wire, key, result.moved.release.request)
    await berlin.give_back(*await seats_told(berlin))
    assert (await released(master, "berlins")).device == "hq-box"
    assert await used(wire, "port") == (5, 8)
    await grant_all(berlin, *seats("port", 3))  # A5: it draws on the pool now


@pytest.mark.rule("L5")
async def test_several_masters(postgresql_database_url: str, clock: Clock, tmp_path: Path) -> None:
    """What one master revokes the other refuses, tells and takes back."""
    async with two_masters(postgresql_database_url, clock, watch_interval_seconds=0.05) as (first, other):
        key = await estate_of(first, tmp_path, {"ports": ("PBX-Port12", 4)})
        berlin = await opened(other.wire, "berlin")
        await grant_all(berlin, *seats("port", 4))
        stream = other.wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
        await stream.read()
        (result,) = await release(first.wire, "ports", in_use=REVOKE)
        answer = await stream.read()
        assert isinstance(answer, Stream)
        (notice,) = [each for each in answer.notices if each.kind == REVOKED]
        assert len(notice.seats) == 4
        stream.cancel()
        assert (await refuse(berlin, notice.seats[0])).reason == Reason.REFUSAL_REASON_REVOKED
        await certify(other.wire, key, result.moved.release.request)
        await berlin.give_back(*notice.seats)
        assert await first.running.licenses.complete_releases() + await other.running.licenses.complete_releases() == 1
        assert (await listed(other.wire))["ports"].state == FREE
        assert await mismatches(postgresql_database_url) == []
