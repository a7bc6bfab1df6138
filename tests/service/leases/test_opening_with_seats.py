"""A lease opened with the seats that are wanted under it: one call, one batch, and as safe to repeat as two."""

from __future__ import annotations

import json

import pytest

from licensemaster.v1 import lease_pb2, seat_pb2
from tests.rpc.failures import failure
from tests.support.databases.truth import all_events, held_by_pbx, mismatches, used
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seat, seats
from tests.support.projects.estates import project


def _signed(response: lease_pb2.OpenLeaseResponse) -> dict[str, int]:
    terms = lease_pb2.LeaseTerms.FromString(response.lease.signed.payload)
    return {holding.license_type: holding.seats for holding in terms.holdings}


@pytest.mark.rule("D1")
async def test_the_first_seats_come_with_the_lease(master: InProcess, either_database_url: str) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 5, "PBX-IPVA12": 5}, pbxs={"hq": "master 12 ipva", "vm": "slave 12 ipva"}))
    vm = BarePbx(wire, "vm")
    response = await vm.open("12", *seats("port", 3))
    assert [grant.already_held for grant in granted(response.results)] == [False] * 3
    assert _signed(response) == {"port": 3, "ipva": 3}
    assert response.seats_held == 0
    assert await used(wire) == {"port": 3, "ipva": 3}
    assert [grant.already_held for grant in granted(await vm.acquire(*seats("port", 3)))] == [True] * 3
    kinds = [event.kind for event in await all_events(wire)]
    assert sorted(kinds) == ["lease.opened", "project.applied", "seats.acquired"]
    assert await mismatches(either_database_url) == []


async def test_each_seat_is_granted_or_refused_by_itself(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}))
    berlin = BarePbx(master.wire, "berlin")
    wanted = [*seats("port", 3), seat("port", ""), seat("port", "phone-0")]
    results = (await berlin.open("12", *wanted)).results
    assert [result.WhichOneof("outcome") for result in results] == [
        "granted",
        "granted",
        "refused",
        "refused",
        "granted",
    ]
    exhausted, malformed = refused(results[2:4])
    assert exhausted.reason == seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED
    assert [(holder.pbx, holder.seats) for holder in exhausted.top_holders] == [(berlin.name, 2)]
    assert exhausted.remedy.text
    assert malformed.reason == seat_pb2.REFUSAL_REASON_MALFORMED_SEAT
    assert "seats[3].holder" in malformed.message


async def test_a_retry_is_answered_as_at_first(master: InProcess, either_database_url: str) -> None:
    wire, clock = master.wire, master.clock
    await wire.apply(project({"PBX-Port12": 3}))
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(seat("port", "before")))
    clock.advance(1)
    wanted = [seat("port", "before"), *seats("port", 3)]
    first = await berlin.open("12", *wanted, request_id="opening")
    clock.advance(1)
    berlin.unanswered_calls = 1
    again = await berlin.open("12", *wanted, request_id="opening")
    assert list(again.results[:3]) == list(first.results[:3])
    assert [results[3].refused.reason for results in (first.results, again.results)] == [
        seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED
    ] * 2
    assert [result.granted.already_held for result in first.results[:3]] == [True, False, False]
    assert (again.seats_held, again.lease.epoch, _signed(again)) == (
        first.seats_held,
        first.lease.epoch,
        _signed(first),
    )
    assert first.seats_held == 1
    acquired = [json.loads(event.details) for event in await all_events(wire, "seats.acquired")]
    assert acquired == [{"port": ["phone-0", "phone-1"]}, {"port": ["before"]}]
    assert await mismatches(either_database_url) == []


async def test_an_opening_that_comes_late_acquires_nothing(master: InProcess) -> None:
    """It was given up, another attempt was answered, and what that had brought was returned since."""
    await master.wire.apply(project({"PBX-Port12": 3}))
    berlin = BarePbx(master.wire, "berlin")
    berlin.unanswered_calls = 1
    granted((await berlin.open("12", seat("port", "anna"), request_id="opening")).results)
    await berlin.give_back(seat("port", "anna"))
    berlin.unanswered_calls = 0
    assert (await failure(berlin.open("12", seat("port", "anna"), request_id="opening"))).reason == "CALL_SUPERSEDED"
    assert await held_by_pbx(master.wire) == {}
    again = await berlin.open("12", request_id="opening")  # without seats it undoes nothing
    assert again.lease.epoch == 1
