"""Rule F5: what a standby may use outside of the master's reach stays counted, and what is no evidence."""

import asyncio
import shutil
from pathlib import Path

import grpc
import pytest

from licensemaster.v1 import document_pb2, lease_pb2, license_pb2
from tests.rpc.failures import failure
from tests.rules.asking import Reason, grant_all, holdings, refuse, used
from tests.rules.standby.pairs import ALLOWANCE, GRACE, TTL, paired
from tests.support.databases.truth import all_events, held_by_pbx, mismatches
from tests.support.masters import PROJECT, Clock, InProcess, in_process_master, sqlite_url, two_masters, wire_to
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, by_kind, checked, standing_by
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release

# --- F5: what is promised is counted ----------------------------------------------------------------------------------


@pytest.mark.rule("F5")
async def test_what_the_fenced_pbx_may_still_use_stays_counted_until_its_end(
    master: InProcess, either_database_url: str
) -> None:
    wire, clock, look = master.wire, master.clock, master.running.expiry.run_once
    _berlin, spare = await paired(master, 10)
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
    assert await mismatches(either_database_url) == []


@pytest.mark.rule("F5")
async def test_once_the_fenced_pbx_was_heard_of_nothing_is_held_back(master: InProcess) -> None:
    wire = master.wire
    berlin, spare = await paired(master, 10)
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
async def test_a_standby_that_was_fenced_while_cut_off_stays_counted(
    master: InProcess, either_database_url: str
) -> None:
    wire, clock = master.wire, master.clock
    berlin, spare = await paired(master, 8)
    carried = await spare.take_over()
    spare.discard()
    await spare.renew()
    await berlin.open()
    await berlin.renew()
    await berlin.give_back(*seats("port", 8))
    assert await used(wire, "port") == (8, 10), "the standby may carry them until its end"
    clock.advance(TTL + GRACE + ALLOWANCE + 1)
    await berlin.open()
    await master.running.expiry.run_once()
    assert await used(wire, "port") == (0, 10)
    assert (await failure(carried.renew())).reason == "LEASE_FENCED"
    assert await mismatches(either_database_url) == []


@pytest.mark.rule("F5")
async def test_a_standby_lease_is_counted_until_a_smaller_one_is_acknowledged(
    master: InProcess, either_database_url: str
) -> None:
    wire = master.wire
    berlin, spare = await paired(master, 9)
    assert spare.covered == {"port": 9}
    await berlin.give_back(*seats("port", 5))
    assert await used(wire, "port") == (9, 10)
    paris = await opened(wire, "paris")
    granted(await paris.acquire(seat("port", "p1")))
    refused(await paris.acquire(seat("port", "p2")))
    lost = await spare.renew(keep=False)
    assert lease_pb2.StandbyLeaseTerms.FromString(lost.standby_leases[0].signed.payload).holdings[0].seats == 4
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
    assert await mismatches(either_database_url) == []


@pytest.mark.rule("F5")
async def test_a_standby_lease_ends_by_itself(master: InProcess) -> None:
    wire, clock, look = master.wire, master.clock, master.running.expiry.run_once
    berlin, spare = await paired(master, 9)
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
    master: InProcess, either_database_url: str
) -> None:
    """The master was down for longer than Berlin's lease: its seats went back, the standby's claim did not."""
    wire, clock, look = master.wire, master.clock, master.running.expiry.run_once
    _berlin, spare = await paired(master, 10)
    clock.advance(GRACE + ALLOWANCE + 1)
    await look()
    assert await held_by_pbx(wire) == {}
    assert await used(wire, "port") == (10, 10), "promised to the standby"
    carried = await spare.take_over(spare.takeover(carried_seconds=500, in_use={"port": 10}))
    results = (await carried.sync(*seats("port", 10, "carried"))).results
    assert len(granted(results)) == 10
    assert await used(wire, "port") == (10, 10)
    assert await mismatches(either_database_url) == []
    assert await all_events(wire, "standby.two_claims") == []


@pytest.mark.rule("F5")
async def test_two_claims_at_once_are_found_and_told_with_numbers(master: InProcess) -> None:
    wire, clock = master.wire, master.clock
    berlin, spare = await paired(master, 6)
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
    berlin, spare = await paired(any_master, 6)
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
async def test_a_standby_lease_that_is_not_genuine_is_no_evidence(master: InProcess) -> None:
    wire = master.wire
    _berlin, spare = await paired(master)
    good = spare.takeover(carried_seconds=1)
    bad: list[lease_pb2.TakeOverLeaseRequest] = []
    for tamper in TAMPERINGS.values():
        terms = lease_pb2.StandbyLeaseTerms.FromString(good.carried_offline.signed.payload)
        tamper(terms)  # type: ignore[no-untyped-call]
        changed = lease_pb2.TakeOverLeaseRequest()
        changed.CopyFrom(good)
        changed.carried_offline.signed.payload = terms.SerializeToString(deterministic=True)
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
    changed.carried_offline.signed.CopyFrom(ordinary)
    bad.append(changed)
    relabelled = lease_pb2.TakeOverLeaseRequest()
    relabelled.CopyFrom(changed)
    relabelled.carried_offline.signed.kind = document_pb2.DOCUMENT_KIND_STANDBY_LEASE
    bad.append(relabelled)
    before = await holdings(wire)
    for request in bad:
        failed = await failure(wire.leases.TakeOverLease(request))
        assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
        assert "carried_offline.signed" in failed.fields
    other_pair = lease_pb2.TakeOverLeaseRequest()
    other_pair.CopyFrom(good)
    other_pair.primary = f"projects/{PROJECT}/pbxs/paris"
    failed = await failure(wire.leases.TakeOverLease(other_pair))
    assert "is for projects/acme/pbxs/spare in place of" in failed.fields["carried_offline.signed"]
    assert await holdings(wire) == before
    await spare.take_over(good)


@pytest.mark.rule("F5")
async def test_a_standby_lease_of_another_master_is_no_evidence(
    master: InProcess, sqlite_template: Path, tmp_path: Path
) -> None:
    await paired(master)
    url = sqlite_url(shutil.copytree(sqlite_template, tmp_path / "foreign"))
    async with in_process_master(url, Clock(master.clock.now)) as foreign:
        _, stranger = await paired(foreign)
        request = stranger.takeover(carried_seconds=1)
    failed = await failure(master.wire.leases.TakeOverLease(request))
    assert "does not verify" in failed.fields["carried_offline.signed"]


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
    _berlin, spare = await paired(any_master, 6)
    carried = await spare.take_over()
    gone = project(LICENSES, pbxs={name: text for name, text in PAIR.items() if name != "spare"})
    failed = await failure(wire.apply(gone))
    assert "spare cannot be removed while it carries the seats of berlin" in failed.message
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
    async with two_masters(postgresql_database_url, clock) as (first, other):
        berlin, spare = await paired(first, 10)
        spare.wire = other.wire
        carried = await spare.take_over()
        assert (await failure(berlin.renew())).reason == "LEASE_CARRIED"
        await carried.give_back(*seats("port", 4))
        async with wire_to(first.wire.address) as wire:
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
