"""What a call may bring: every RPC has a budget for every role that may call it, and who exceeds it costs no more."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from licensemaster.daemon.open_files import connections_allowed
from licensemaster.elements import MalformedError, crowded, excess
from licensemaster.v1 import lease_pb2, project_pb2, seat_pb2
from master.auth.callers.budgets import BUDGETS, BY_ROLE, Budget, Budgets
from master.auth.callers.identity import Role
from master.auth.callers.permissions import TABLE, AccessDeniedError
from master.domain.leases.leases import LeaseError
from master.rpc.errors import InvalidArgumentError
from master.service.runtime.names import UnknownPbxError
from tests.auth.callers.test_permissions import METHODS
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.masters import Clock, InProcess, Wire, in_process_master
from tests.support.pbxs.pbx import opened

MEGABYTES_4 = 4_194_304
ACME = "projects/acme"
ACQUIRE = "licensemaster.v1.LeaseService/AcquireSeats"
RENEW = "licensemaster.v1.LeaseService/RenewLease"
APPLY = "licensemaster.v1.ProjectService/ApplyProject"
HOLLOW = b"\x1a\x00" * 1_900_000
"""Seats with nothing in them: two bytes each, and more than a hundred once they are parsed."""


def budgets(*, seats: int = 10_000) -> Budgets:
    return Budgets(message_bytes_max=MEGABYTES_4, seats_per_call_max=seats)


def named(pbx: str, rest: bytes) -> bytes:
    return lease_pb2.AcquireSeatsRequest(pbx=f"{ACME}/pbxs/{pbx}", epoch=1).SerializeToString() + rest


def sites(count: int) -> bytes:
    """A project of so many sites; what comes in two pieces counts as one."""
    described = project_pb2.Project(sites=[project_pb2.Site(name=f"site-{number}") for number in range(count)])
    return project_pb2.ApplyProjectRequest(project=described).SerializeToString()


def ten_thousand_seats() -> list[seat_pb2.Seat]:
    return [
        seat_pb2.Seat(license_type="port", holder_kind=seat_pb2.HOLDER_KIND_USER, holder=f"phone-{n}", user=f"user {n}")
        for n in range(10_000)
    ]


# --- The table ------------------------------------------------------------------------------------------------------


def test_every_method_has_a_budget_for_every_role_that_may_call_it_and_for_no_other() -> None:
    assert set(BUDGETS) == set(TABLE) == set(METHODS)
    for method, access in TABLE.items():
        for role in Role:
            budget = budgets().of(method, role)
            assert (budget == Budget(0, 0)) == (role not in access.roles), (method, role)
            assert 0 <= budget.bytes_max <= MEGABYTES_4
        assert budgets().of(method, None).bytes_max > 0
    assert budgets().of("licensemaster.v1.LeaseService/StealSeats", Role.OPERATOR) == Budget(0, 0)
    for method, role in BY_ROLE:
        assert role in TABLE[method].roles


def test_the_page_tells_the_same_as_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    collected = {}
    for line in page.split("## Budgets")[1].split("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            for name in cells[0].replace("`", "").split(", "):
                collected[name, cells[1]] = cells[2], cells[3]
    expected = {}
    for method in BUDGETS:
        name, actual = method.rpartition("/")[2], budgets().of(method, None)
        expected[name, "every"] = f"{actual.bytes_max // 1024:,} KiB", f"{actual.elements_max:,}"
    for (method, role), actual in BY_ROLE.items():
        expected[method.rpartition("/")[2], role.name] = f"{actual.bytes_max // 1024:,} KiB", f"{actual.elements_max:,}"
    assert collected == expected


def test_the_page_tells_once_for_every_method_what_serving_it_costs_and_which_test_exceeds_it() -> None:
    root, answer = Path(__file__).parents[3], []
    for line in (root / "docs" / "security.md").read_text().split("## Budgets")[1].split("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[1].startswith("`"):
            answer += cells[1].replace("`", "").split(", ")
            assert all(cells)
            assert all((root / test.strip("`")).exists() for test in cells[6].split(", ")), cells[6]
    names = {method.rpartition("/")[2] for method in BUDGETS}  # of two versions of reflection one
    assert sorted(answer) == sorted(names)


def test_honest_requests_of_full_size_fit() -> None:
    site = project_pb2.Project(name="acme", catalog="innovaphone")
    for number in range(10_000):
        site.sites.add(name=f"site-{number}", display_name=f"Site {number}")
        site.devices.add(name=f"site-{number}-box", platform="gateway")
        site.pbxs.add(name=f"pbx-{number}", site=f"site-{number}", device=f"site-{number}-box", role=2)
        site.licenses.add(id=f"license-{number}", type="PBX-Port12", quantity=10, device=f"site-{number}-box")
    for method, request in (
        (APPLY, project_pb2.ApplyProjectRequest(project=site)),
        (ACQUIRE, lease_pb2.AcquireSeatsRequest(pbx=f"{ACME}/pbxs/berlin", seats=ten_thousand_seats())),
    ):
        data, budget = request.SerializeToString(), budgets().of(method, None)
        assert len(data) <= budget.bytes_max
        assert excess(data, request.DESCRIPTOR, budget.elements_max) is None
        assert crowded(data, request.DESCRIPTOR, budget.entries_max, budget.elements_max) is None


# --- What is counted ------------------------------------------------------------------------------------------------


def test_elements_are_counted_at_every_depth_and_the_field_is_named() -> None:
    request = project_pb2.ApplyProjectRequest()
    request.project.sites.extend([project_pb2.Site()] * 1000)
    kind = request.DESCRIPTOR
    assert excess(request.SerializeToString(), kind, 1001) is None
    assert excess(request.SerializeToString(), kind, 1000) == "project"
    acquire = lease_pb2.AcquireSeatsRequest.DESCRIPTOR
    assert excess(HOLLOW, acquire, 10_000) == "seats"
    unknown = b"\xc2\x3e\x00" * 1000
    assert (excess(unknown, acquire, 999), excess(unknown, acquire, 1000)) == ("request", None)
    filled = lease_pb2.AcquireSeatsRequest(seats=ten_thousand_seats()).SerializeToString()
    assert (excess(filled, acquire, 9_999), excess(filled, acquire, 10_000)) == ("seats", None)
    packed = b"\x6a\xe8\x07" + b"\x01" * 1000  # reminder_days of an Ending
    ending = METHODS["licensemaster.v1.AgreementService/ListEndings"].output_type.fields_by_name["endings"].message_type
    assert excess(packed, ending, 1000) == "reminder_days"


@pytest.mark.parametrize(
    "data",
    [b"\x0a\x7fabc", b"\xff" * 12, b"\x09\x00\x00\x00", b"\x0b\x0c\x0b", b"\x1a\x05\x0a\x09", b"\x80" * 40],
    ids=bytes.hex,
)
def test_bytes_that_are_no_message_are_told_or_left_to_be_parsed(data: bytes) -> None:
    kind = project_pb2.ApplyProjectRequest.DESCRIPTOR
    try:
        assert excess(data, kind, 1) is None
    except MalformedError:
        return
    project_pb2.ApplyProjectRequest.FromString(data)


# --- Over the wire --------------------------------------------------------------------------------------------------


def raw(wire: Wire, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return wire.channel.unary_unary(f"/{method}", request_serializer=bytes, response_deserializer=bytes)


@pytest.mark.parametrize(
    ("who", "method", "data", "field", "message"),
    [
        (f"{ACME}/pbxs/berlin", ACQUIRE, named("berlin", HOLLOW), "seats", "10,100"),
        (f"{ACME}/pbxs/paris", ACQUIRE, named("berlin", HOLLOW), "seats", "10,100"),
        (f"{ACME}/pbxs/berlin", RENEW, named("berlin", b"\x12\xff\x7f" + b"x" * 100_000), "request", "65,536"),
        ("operators/anna", APPLY, b"\x0a\xfc\xff\x7f" + b"\x2a\x00" * 1_048_574, "project.sites", "12,000"),
        ("operators/anna", APPLY, b"\x0a\xfc\xff\x7f" + b"\x22\x00" * 1_048_574, "project", "300,000"),
        ("operators/anna", APPLY, sites(100_000), "project.sites", "divide them among several projects"),
        ("operators/anna", APPLY, sites(12_000) + sites(1), "project.sites", "12,000"),
        ("viewers/vera", "licensemaster.v1.StatusService/GetStatus", b"\x0a\x00" * 1_000, "project", "200"),
        ("metrics/scraper", "grpc.health.v1.Health/Check", b"\x0a\x00" * 1_900_000, "request", "4,096"),
    ],
    ids=["seats", "of another", "bytes", "hollow sites", "project", "sites", "sites in two pieces", "names", "health"],
)
async def test_who_brings_too_much_is_told_which_field_and_how_much_it_may_be(
    secured: InProcess, pki: Pki, who: str, method: str, data: bytes, field: str, message: str
) -> None:
    async with shown_to(secured.wire.address, pki.certified_key(who).credentials) as wire:
        seen = await failure(raw(wire, method)(data))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert message in seen.fields[field]


async def test_a_site_of_ten_thousand_phones_comes_in_one_call(secured: InProcess, berlin: Wire) -> None:
    pbx = await opened(berlin, "berlin")
    answer = await berlin.leases.SyncSeats(
        lease_pb2.SyncSeatsRequest(pbx=pbx.name, epoch=pbx.epoch, seats=ten_thousand_seats())
    )
    assert len(answer.results) == 10_000


async def test_many_calls_at_once_are_served_and_only_the_reading_of_messages_waits(
    secured: InProcess, berlin: Wire
) -> None:
    pbx = await opened(berlin, "berlin")
    seats = [
        seat_pb2.Seat(license_type="port", holder_kind=seat_pb2.HOLDER_KIND_USER, holder=f"p{n}") for n in range(90)
    ]
    requests = [lease_pb2.AcquireSeatsRequest(pbx=pbx.name, epoch=pbx.epoch, seats=[seat]) for seat in seats]
    answers = await asyncio.gather(*(berlin.leases.AcquireSeats(request) for request in requests))
    assert [len(answer.results) for answer in answers] == [1] * 90


async def _silent() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


def silent_call(wire: Wire, method: str) -> Awaitable[object]:
    """A call whose message never comes."""
    call = wire.channel.stream_unary(f"/{method}", request_serializer=bytes, response_deserializer=bytes)
    return call(_silent())


async def test_who_may_not_call_is_told_so_before_anything_is_read(secured: InProcess, pki: Pki) -> None:
    address = secured.wire.address
    revoked = pki.certified_key(f"{ACME}/pbxs/berlin")
    pki.authority.revoke([revoked.issued], now=time.time())
    async with shown_to(address, revoked.credentials) as wire:  # a new connection has the files read again
        assert (await failure(silent_call(wire, ACQUIRE))).reason == "CERTIFICATE_REVOKED"
        assert (await failure(silent_call(wire, "licensemaster.v1.LeaseService/None"))).reason == "CERTIFICATE_REVOKED"
    async with shown_to(address, pki.certified_key("metrics/p").credentials) as wire:
        assert (await failure(silent_call(wire, ACQUIRE))).reason == "ROLE_FORBIDDEN"
        assert (await failure(silent_call(wire, "a.b/C"))).code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_whose_message_does_not_come_is_ended_and_counts_meanwhile(
    sqlite_database_url: str, pki: Pki
) -> None:
    settings = {**pki.serve(pki.server_key()), "message_timeout_seconds": 3.0, "caller_calls_max": 5}
    async with (
        in_process_master(sqlite_database_url, Clock(time.time()), **settings) as master,
        shown_to(f"127.0.0.1:{master.running.port}", pki.certified_key(f"{ACME}/pbxs/berlin").credentials) as wire,
    ):
        seens = await asyncio.gather(*(failure(silent_call(wire, RENEW)) for _ in range(9)))
        assert sorted(seen.reason for seen in seens) == ["CALLER_LIMIT"] * 4 + ["MESSAGE_LATE"] * 5
        assert {seen.retry_after_ms > 0 for seen in seens if seen.reason == "CALLER_LIMIT"} == {True}
        request = lease_pb2.RenewLeaseRequest(pbx=f"{ACME}/pbxs/berlin", epoch=1)
        assert (await failure(wire.leases.RenewLease(request))).reason == "UNKNOWN_PBX"


async def test_what_is_longer_than_its_method_takes_is_paid_for_whatever_the_method(
    secured: InProcess, berlin: Wire
) -> None:
    """It is told only once all of it is read."""
    call = berlin.channel.unary_unary(f"/{RENEW}", request_serializer=bytes, response_deserializer=bytes)
    assert (await failure(call(named("berlin", HOLLOW)))).code is grpc.StatusCode.INVALID_ARGUMENT
    authorizer = secured.running.authorizer
    assert authorizer is not None
    assert f"license-master://{ACME}/pbxs/berlin" in authorizer._allowances.shares._paces._paid


async def test_who_connects_and_proves_nothing_is_gone_soon_and_keeps_nobody_out(
    sqlite_database_url: str, pki: Pki
) -> None:
    settings = {**pki.serve(pki.server_key()), "handshake_timeout_seconds": 3.0}
    request = lease_pb2.RenewLeaseRequest(pbx=f"{ACME}/pbxs/berlin", epoch=1)
    async with in_process_master(sqlite_database_url, Clock(time.time()), **settings) as master:
        port = master.running.port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        async with shown_to(f"127.0.0.1:{port}", pki.certified_key(f"{ACME}/pbxs/berlin").credentials) as wire:
            assert (await failure(wire.leases.RenewLease(request))).reason == "UNKNOWN_PBX"
        for reader, writer in silent:
            await reader.read()  # to its end
            writer.close()


async def test_connections_are_bounded_by_the_files_that_others_need(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed, most in ((20_000, 19_800), (300, 150), (resource.RLIM_INFINITY, None)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, allowed=allowed: (allowed, allowed))
        assert connections_allowed() == most


@pytest.mark.parametrize(("seats", "at_once"), [(10_000, 6), (100, 100)])
async def test_of_large_calls_of_one_caller_one_is_served_at_a_time(
    secured: InProcess, berlin: Wire, seats: int, at_once: int
) -> None:
    """The others stay bytes until then, so nobody's memory or turn goes by how many one sends."""
    pbx = await opened(berlin, "berlin")
    wanted = ten_thousand_seats()[:seats]
    request = lease_pb2.SyncSeatsRequest(pbx=pbx.name, epoch=pbx.epoch, seats=wanted)
    calls = [asyncio.ensure_future(berlin.leases.SyncSeats(request)) for _ in range(at_once)]
    most, waiting = 0.0, "license_master_queue_seats"
    while not all(call.done() for call in calls):
        most = max(most, secured.running.metrics.registry.get_sample_value(waiting) or 0)
        await asyncio.sleep(0.001)
    assert {len(call.result().results) for call in calls} == {seats}
    assert most <= seats


_FAILURES = (AccessDeniedError, InvalidArgumentError, UnknownPbxError, LeaseError, grpc.aio.AbortError)


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
        gc.enable()


def _failures_kept() -> int:
    return sum(isinstance(kept, _FAILURES) and kept.__traceback__ is not None for kept in gc.get_objects())


@pytest.mark.parametrize("secured", [{"caller_calls_per_second": 1_000}], ids=["no pauses"], indirect=True)
@pytest.mark.parametrize(
    ("who", "data", "reason"),
    [
        ("metrics/p", named("berlin", HOLLOW), "ROLE_FORBIDDEN"),
        (f"{ACME}/pbxs/berlin", named("berlin", HOLLOW), "INVALID_ARGUMENT"),
        (f"{ACME}/pbxs/berlin", named("berlin", b"\x1a\x7f" * 100_000), "INVALID_ARGUMENT"),
        (f"{ACME}/pbxs/paris", named("berlin", b"\x1a\x00" * 10_000), "NOT_YOUR_PBX"),
        (f"{ACME}/pbxs/berlin", named("berlin", b"\x1a\x00" * 10_001), "INVALID_ARGUMENT"),
        (f"{ACME}/pbxs/berlin", named("berlin", b"\x1a\x06\x0a\x04port" * 1_000), "LEASE_NOT_OPEN"),
        (f"{ACME}/pbxs/rome", named("rome", b"\x1a\x06\x0a\x04port" * 1_000), "UNKNOWN_PBX"),
    ],
    ids=["role", "elements", "malformed", "another's", "too many seats", "no lease", "unknown"],
)
async def test_nothing_of_a_refused_request_stays(
    secured: InProcess, pki: Pki, who: str, data: bytes, reason: str
) -> None:
    """The collector is off: what it would have to find is what would stay."""
    async with shown_to(secured.wire.address, pki.certified_key(who).credentials) as wire:
        call = raw(wire, ACQUIRE)
        assert (await failure(call(data))).reason == reason  # whatever is made once is made
        with _no_collector():
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(10):
                assert (await failure(call(data))).reason == reason
            # gRPC finishes a call after its caller has the answer: on a busy machine some are on their way still
            for _ in range(1_000):
                kept, grown = _failures_kept(), tracemalloc.get_traced_memory()[0] - before
                if kept <= 1 and grown < 2 * len(data) + 500_000:
                    break
                await asyncio.sleep(0.05)
    assert kept <= 1
    assert grown < 2 * len(data) + 500_000  # of ten
