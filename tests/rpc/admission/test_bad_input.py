"""Bad input: a clear error that names field, value and remedy; the fixture `estate` sees that nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.v1 import allocation_pb2, lease_pb2, loan_pb2, seat_pb2, status_pb2
from tests.rpc.admission.hostile import HARMLESS, HOSTILE
from tests.rpc.conftest import ON_BOTH_DATABASES, Estate
from tests.rpc.failures import NAME, failure
from tests.support.masters import Clock, in_process_master
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project

pytestmark = pytest.mark.asyncio(loop_scope="module")
BERLIN = f"{NAME}/pbxs/berlin"


def _raw(estate: Estate, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return estate.wire.channel.unary_unary(
        f"/licensemaster.v1.{method}", request_serializer=bytes, response_deserializer=bytes
    )


# --- Messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\xff\xff\xff\x01", b"\x1a\x7f", b"<html>"])
@pytest.mark.parametrize(
    "method",
    [
        "LeaseService/AcquireSeats",
        "LeaseService/WatchLease",
        "ProjectService/ApplyProject",
        "StatusService/GetStatus",
        "AuditService/ExportEvents",
    ],
)
async def test_bytes_that_are_no_message(estate: Estate, method: str, data: bytes) -> None:
    seen = await failure(_raw(estate, method)(data))
    assert (seen.code, seen.reason, seen.info) == (grpc.StatusCode.INVALID_ARGUMENT, *["INVALID_ARGUMENT"] * 2)
    assert "request" in seen.fields


@pytest.mark.parametrize(
    ("method", "data", "field"),
    [
        ("LeaseService/AcquireSeats", b"\x0a\x02\xff\xfe", "pbx"),
        ("LeaseService/WatchLease", b"\x0a\x02\xff\xfe", "pbx"),
        ("StatusService/GetStatus", b"\x0a\x02\xff\xfe", "project"),
        ("AuditService/ExportEvents", b"\x0a\x02\xff\xfe", "project"),
        ("LeaseService/AcquireSeats", b"\x1a\x02\x10\x01\x1a\x08\x1a\x06J\xfcrgen", "seats[1].holder"),
        ("LeaseService/SyncSeats", b"\x1a\x00" * 9_999 + b"\x1a\x05\x22\x03\xed\xa0\x80", "seats[9999].user"),
        ("ProjectService/ApplyProject", b"\x0a\x05\x2a\x03\x0a\x01\xe9", "project.sites[0].name"),
    ],
)
async def test_a_text_in_another_encoding_is_named(estate: Estate, method: str, data: bytes, field: str) -> None:
    """As a PBX sends it whose own texts are in Latin-1."""
    seen = await failure(_raw(estate, method)(data))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert list(seen.fields) == [field]
    assert "is no UTF-8" in seen.fields[field]


async def test_a_message_that_is_too_large(estate: Estate) -> None:
    seen = await failure(_raw(estate, "LeaseService/AcquireSeats")(bytes(5_000_000)))
    assert seen.code is grpc.StatusCode.RESOURCE_EXHAUSTED  # said by gRPC itself, before the message is read
    assert "5000000 vs. 4194304" in seen.message


async def test_an_unknown_method(estate: Estate) -> None:
    assert (await failure(_raw(estate, "LeaseService/StealSeats")(b""))).code is grpc.StatusCode.UNIMPLEMENTED


# --- Seats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 10_001])
async def test_too_few_or_too_many_seats(estate: Estate, count: int) -> None:
    listed = [seat_pb2.Seat()] * count
    wanted = lease_pb2.AcquireSeatsRequest(pbx=BERLIN, epoch=estate.berlin.epoch, seats=listed)
    unwanted = lease_pb2.ReturnSeatsRequest(pbx=BERLIN, epoch=estate.berlin.epoch, seats=listed)
    questions = status_pb2.ExplainSeatsRequest(pbx=BERLIN, seats=listed)
    for call in (
        estate.wire.leases.AcquireSeats(wanted),
        estate.wire.leases.ReturnSeats(unwanted),
        estate.wire.status.ExplainSeats(questions),
    ):
        seen = await failure(call)
        assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
        assert seen.fields == {"seats": f"{count} seats in one call; send 1 to 10000 at a time"}


@pytest.mark.parametrize("field", ["holder", "user", "line"])
@pytest.mark.parametrize("value", HOSTILE)
async def test_hostile_names_in_a_seat(estate: Estate, field: str, value: str) -> None:
    bad = seat("video", "anna")
    setattr(bad, field, value)
    calls: list[Awaitable[Sequence[seat_pb2.SeatResult | lease_pb2.ReturnResult]]]
    calls = [estate.berlin.acquire(seat("port", "phone-0"), bad), _explained(estate, seat("port", "phone-0"), bad)]
    if field == "holder":
        calls.append(estate.berlin.give_back(seat("port", "not-held"), bad))
    for call in calls:
        fine, wrong = await call
        assert not fine.HasField("refused"), "the others of its call are decided"
        assert wrong.refused.reason == seat_pb2.REFUSAL_REASON_MALFORMED_SEAT
        assert wrong.refused.message.startswith(f"seats[1].{field}: {value[:80]!r} must be 1 to 128 printable")
        assert wrong.refused.remedy.text == f"correct seats[1].{field}"


@pytest.mark.parametrize("kind", [0, 11, 99, -1])
async def test_an_unknown_holder_kind(estate: Estate, kind: int) -> None:
    bad = seat_pb2.Seat(license_type="port", holder="anna")
    bad.holder_kind = kind  # type: ignore[assignment]
    for call in (estate.berlin.acquire(bad), estate.berlin.give_back(bad)):
        (outcome,) = await call
        assert outcome.refused.reason == seat_pb2.REFUSAL_REASON_MALFORMED_SEAT
        assert f"seats[0].holder_kind: {kind} must be one of USER, EXECUTIVE" in outcome.refused.message


async def test_a_seat_without_a_holder(estate: Estate) -> None:
    (result,) = await estate.berlin.acquire(seat("port", ""))
    assert result.refused.message == "seats[0].holder: '' must be 1 to 128 printable characters"


async def test_the_same_seat_twice_in_a_call_for_different_users(estate: Estate) -> None:
    channels = [seat("reporting", "c", user=user, kind=seat_pb2.HOLDER_KIND_CHANNEL) for user in ("anna", "otto")]
    first, second = await _explained(estate, *channels)
    assert first.refused.reason != seat_pb2.REFUSAL_REASON_MALFORMED_SEAT
    assert "seats[1].holder: is the same seat as seats[0], with another user" in second.refused.message


async def test_an_application_version_that_is_none(estate: Estate) -> None:
    (result,) = await estate.berlin.acquire(seat("operator", "anna", app="newest"))
    assert result.refused.message.startswith(
        "seats[0].application_version: 'newest' is not a software version; write it like 12"
    )


@pytest.mark.parametrize("name", ["", *HOSTILE])
async def test_hostile_license_types(estate: Estate, name: str) -> None:
    for call in (estate.berlin.acquire(seat(name, "anna")), estate.berlin.give_back(seat(name, "anna"))):
        (outcome,) = await call
        assert outcome.refused.reason == seat_pb2.REFUSAL_REASON_MALFORMED_SEAT
        assert "seats[0].license_type: " in outcome.refused.message
        assert "1 to 128 printable characters" in outcome.refused.message


@ON_BOTH_DATABASES
@pytest.mark.parametrize("name", ["no-such-type", *HARMLESS])
async def test_an_unknown_license_type_is_refused_by_itself(estate: Estate, name: str) -> None:
    (refusal,) = refused(await estate.berlin.acquire(seat(name, "anna")))
    assert refusal.reason == seat_pb2.REFUSAL_REASON_UNKNOWN_LICENSE_TYPE
    assert refusal.remedy.text
    assert len(refusal.message) < 1000
    assert [result.returned for result in await estate.berlin.give_back(seat(name, "anna"))] == [False]


async def test_odd_but_printable_names_are_names(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 50}))
        pbx = await opened(master.wire, "berlin")
        for holder in HARMLESS:
            granted(await pbx.acquire(seat("port", holder, user=holder, line=holder)))
            request = status_pb2.ListSeatsRequest(project=NAME, holder=holder)
            (listed,) = (await pbx.wire.status.ListSeats(request)).seats
            assert (listed.seat.holder, listed.seat.user, listed.seat.line) == (holder, holder, holder)
            assert [result.returned for result in await pbx.give_back(seat("port", holder))] == [True]


@ON_BOTH_DATABASES
async def test_hostile_requests_do_not_harm_their_neighbours(estate: Estate) -> None:
    """Sent at the same moment, so that they may meet in one batch."""
    hostile = [
        estate.wire.leases.RenewLease(lease_pb2.RenewLeaseRequest(pbx=f"projects/{name}/pbxs/{name}", epoch=1))
        for name in [*HOSTILE, *HARMLESS]
    ]
    answers = await asyncio.gather(
        *(_result(call) for call in hostile), _result(estate.berlin.acquire(*seats("port", 2))), return_exceptions=True
    )
    assert all(isinstance(answer, grpc.aio.AioRpcError) for answer in answers[:-1])
    assert not isinstance(answers[-1], BaseException), answers[-1]


async def _explained(estate: Estate, *asked: seat_pb2.Seat) -> Sequence[seat_pb2.SeatResult]:
    return (await estate.wire.status.ExplainSeats(status_pb2.ExplainSeatsRequest(pbx=BERLIN, seats=asked))).results


async def _result(call: Awaitable[object]) -> object:
    return await call


# --- Leases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "berlin", "projects/acme", "projects//pbxs/berlin", "projects/acme/pbxs/", "projects/acme/pbx/berlin",
     "/projects/acme/pbxs/berlin", "projects/acme/pbxs/berlin/", "projects/a\0b/pbxs/berlin", "projects/acme/pbxs/a\nb",
     f"projects/acme/pbxs/{'x' * 10_000}", f"projects/{'😀' * 3000}/pbxs/berlin"],
)  # fmt: skip
async def test_names_that_are_none_of_a_pbx(estate: Estate, name: str) -> None:
    for call in _calls_for(estate, name, epoch=1):
        seen = await failure(call())
        assert (seen.code, seen.info) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert "must be projects/PROJECT/pbxs/PBX" in seen.fields["pbx"]


@ON_BOTH_DATABASES
@pytest.mark.parametrize("name", ["projects/nope/pbxs/berlin", "projects/acme/pbxs/nope", "projects/acme/pbxs/'; --"])
async def test_an_unknown_pbx(estate: Estate, name: str) -> None:
    for call in _calls_for(estate, name, epoch=1):
        seen = await failure(call())
        assert (seen.code, seen.reason, seen.info) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PBX", "UNKNOWN_PBX")
        assert name in seen.message
        assert "license-master project show" in seen.message


@ON_BOTH_DATABASES
@pytest.mark.parametrize(
    ("epoch", "reason"),
    [(2, "LEASE_NOT_OPEN"), (2**63 - 1, "LEASE_NOT_OPEN")],
)
async def test_a_wrong_epoch(estate: Estate, epoch: int, reason: str) -> None:
    for call in _calls_for(estate, BERLIN, epoch=epoch)[1:]:
        seen = await failure(call())
        assert (seen.code, seen.reason, seen.info) == (grpc.StatusCode.FAILED_PRECONDITION, reason, reason)
        assert not epoch or f"epoch {epoch}" in seen.message


@pytest.mark.parametrize("epoch", [0, -1, -(2**63)])
async def test_an_epoch_that_no_lease_can_have(estate: Estate, epoch: int) -> None:
    takeover = lease_pb2.TakeOverLeaseRequest(
        standby=BERLIN, standby_epoch=epoch, primary=f"{NAME}/pbxs/paris", instance_id="i", request_id="r",
        software_version="12",
    )  # fmt: skip
    calls = [("epoch", call) for call in _calls_for(estate, BERLIN, epoch=epoch)[1:]]
    for field, call in (*calls, ("standby_epoch", lambda: estate.wire.leases.TakeOverLease(takeover))):
        seen = await failure(call())
        assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
        assert seen.fields == {field: f"{epoch} must be 1 or more; send the epoch of the lease that was opened"}


@pytest.mark.parametrize("value", [-1, -(2**63)])
async def test_a_count_below_nothing(estate: Estate, value: int) -> None:
    leases, loans, epoch = estate.wire.leases, estate.wire.loans, estate.berlin.epoch
    acquire = lease_pb2.AcquireSeatsRequest(
        pbx=BERLIN, epoch=epoch, seats=[seat("port", "anna")], unanswered_calls=value
    )
    renewal = lease_pb2.RenewLeaseRequest(pbx=BERLIN, epoch=epoch, block_serial=value)
    blocks = lease_pb2.RenewLeaseRequest(
        pbx=BERLIN, epoch=epoch, blocks=[lease_pb2.BlockUse(license_type="port", used=value)]
    )
    end = lease_pb2.RenewLeaseRequest(pbx=BERLIN, epoch=epoch, end_time=Timestamp(seconds=value))
    loan = loan_pb2.ReturnLoanRequest(pbx=BERLIN, license_type="port", request_id="r", released_serial=value)
    allocation = allocation_pb2.ApplyAllocationRequest(project=NAME, expected_revision=value, request_id="r")
    calls: dict[str, Awaitable[object]] = {
        "expected_revision": estate.wire.allocations.ApplyAllocation(allocation),
        "unanswered_calls": leases.AcquireSeats(acquire),
        "block_serial": leases.RenewLease(renewal),
        "blocks[0].used": leases.RenewLease(blocks),
        "end_time": leases.RenewLease(end),
        "released_serial": loans.ReturnLoan(loan),
    }
    for field, call in calls.items():
        seen = await failure(call)
        assert (seen.code, list(seen.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
        assert str(value) in seen.fields[field]


@ON_BOTH_DATABASES
async def test_a_pbx_that_never_opened_a_lease(estate: Estate) -> None:
    for call in _calls_for(estate, f"{NAME}/pbxs/hq", epoch=1)[1:]:
        seen = await failure(call())
        assert (seen.code, seen.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LEASE_NOT_OPEN")
        assert "it opens one" in seen.message


def _calls_for(estate: Estate, name: str, *, epoch: int) -> list[Callable[[], Awaitable[object]]]:
    """Every call of LeaseService; OpenLease first."""
    leases, given = estate.wire.leases, [seat("port", "anna")]
    opening = lease_pb2.OpenLeaseRequest(pbx=name, instance_id="i", request_id="r", software_version="12")
    return [
        lambda: leases.OpenLease(opening),
        lambda: leases.RenewLease(lease_pb2.RenewLeaseRequest(pbx=name, epoch=epoch)),
        lambda: leases.CloseLease(lease_pb2.CloseLeaseRequest(pbx=name, epoch=epoch)),
        lambda: leases.AcquireSeats(lease_pb2.AcquireSeatsRequest(pbx=name, epoch=epoch, seats=given)),
        lambda: leases.ReturnSeats(lease_pb2.ReturnSeatsRequest(pbx=name, epoch=epoch, seats=given)),
        lambda: leases.SyncSeats(lease_pb2.SyncSeatsRequest(pbx=name, epoch=epoch, seats=given)),
        lambda: leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=name, epoch=epoch)).read(),
    ]


@pytest.mark.parametrize("field", ["instance_id", "request_id"])
@pytest.mark.parametrize("value", ["", *HOSTILE])
async def test_an_opening_without_proper_ids(estate: Estate, field: str, value: str) -> None:
    request = lease_pb2.OpenLeaseRequest(pbx=BERLIN, instance_id="i", request_id="r", software_version="12")
    setattr(request, field, value)
    seen = await failure(estate.wire.leases.OpenLease(request))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "must be 1 to 128 printable characters" in seen.fields[field]


@pytest.mark.parametrize("version", ["", "newest", "-1", "99999", "12\0", "9" * 10_000])
async def test_an_opening_with_a_bad_version(estate: Estate, version: str) -> None:
    request = lease_pb2.OpenLeaseRequest(pbx=BERLIN, instance_id="i", request_id="r", software_version=version)
    seen = await failure(estate.wire.leases.OpenLease(request))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "is not a software version; write it like 12, 12r1 or 12r1 sr4" in seen.fields["software_version"]
