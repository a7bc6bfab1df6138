"""What bad neighbours do, each as a process of its own, as fast as it can and never heeding when to come back."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.v1 import (
    agreement_order_pb2,
    agreement_pb2,
    audit_pb2,
    lease_pb2,
    plan_pb2,
    project_pb2,
    report_pb2,
    seat_pb2,
    status_pb2,
    webhook_pb2,
)
from tests.slow.neighbours.attacker import ACME, DOTS, HOLLOW, LEASES, MAD, SPARE, STATUS, Attacker
from tests.slow.neighbours.estate import ELSEWHERE, Wallet, large_project, pbx_name
from tests.slow.neighbours.others import play_until_cut_off


def _seats(prefix: str, number: int, kind: str = "mypbx") -> list[seat_pb2.Seat]:
    user = seat_pb2.HOLDER_KIND_USER
    return [seat_pb2.Seat(license_type=kind, holder_kind=user, holder=f"{prefix}-{at}") for at in range(number)]


async def _lease(attacker: Attacker, pbx: str) -> int:
    call = attacker.channels[0].unary_unary(
        f"/{LEASES}/OpenLease",
        request_serializer=lease_pb2.OpenLeaseRequest.SerializeToString,
        response_deserializer=lease_pb2.OpenLeaseResponse.FromString,
    )
    request = lease_pb2.OpenLeaseRequest(pbx=pbx, instance_id="m", request_id=str(uuid4()), software_version="12")
    while True:
        try:
            answer: lease_pb2.OpenLeaseResponse = await call(request)
        except grpc.aio.AioRpcError as error:  # of what its certificate sent in an attack before
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
        else:
            return answer.lease.epoch


Rage = Callable[[], Awaitable[None]]


async def _large_acquires(attacker: Attacker) -> Rage:
    epoch = await _lease(attacker, MAD)
    wanted = [
        lease_pb2.AcquireSeatsRequest(pbx=MAD, epoch=epoch, seats=_seats(f"v{at}", 10_000)).SerializeToString()
        for at in range(30)
    ]
    return lambda: attacker.flood(f"{LEASES}/AcquireSeats", *wanted, at_once=300)


async def _large_syncs(attacker: Attacker) -> Rage:
    return await _syncs(attacker, 10_000, at_once=100)


async def _middling_syncs(attacker: Attacker) -> Rage:
    return await _syncs(attacker, 2_500, at_once=16)


async def _syncs(attacker: Attacker, seats: int, *, at_once: int) -> Rage:
    epoch = await _lease(attacker, MAD)
    wanted = [
        lease_pb2.SyncSeatsRequest(pbx=MAD, epoch=epoch, seats=_seats(f"v{at}", seats)).SerializeToString()
        for at in range(4)
    ]
    return lambda: attacker.flood(f"{LEASES}/SyncSeats", *wanted, at_once=at_once)


async def _hollow(attacker: Attacker) -> Rage:
    message = lease_pb2.AcquireSeatsRequest(pbx=MAD).SerializeToString() + HOLLOW
    return lambda: attacker.flood(f"{LEASES}/AcquireSeats", message, at_once=100)


async def _silent(attacker: Attacker) -> Rage:
    return lambda: attacker.silent(f"{LEASES}/AcquireSeats", at_once=4_000)


async def _small(attacker: Attacker) -> Rage:
    request = lease_pb2.RenewLeaseRequest(pbx=MAD, epoch=1)
    return lambda: attacker.flood(f"{LEASES}/RenewLease", request, at_once=1_000)


async def _waiting(attacker: Attacker) -> Rage:
    epoch = await _lease(attacker, MAD)
    login = seat_pb2.HOLDER_KIND_LOGIN
    waited_for = [
        seat_pb2.Seat(license_type="operator", holder_kind=login, holder=f"w{at}-{number}")
        for at in range(4)
        for number in range(60)
    ]
    wanted = [waited_for[at : at + 60] for at in range(0, 240, 60)]
    waits = [lease_pb2.AcquireSeatsRequest(pbx=MAD, epoch=epoch, seats=seats, wait=True) for seats in wanted]
    gives_up = [lease_pb2.ReturnSeatsRequest(pbx=MAD, epoch=epoch, seats=seats) for seats in wanted]

    async def rage() -> None:
        await asyncio.gather(
            attacker.flood(f"{LEASES}/AcquireSeats", *waits, at_once=20),
            attacker.flood(f"{LEASES}/ReturnSeats", *gives_up, at_once=20),
        )

    return rage


async def _flapping(attacker: Attacker) -> Rage:
    epoch = await _lease(attacker, MAD)
    openings = [
        lease_pb2.OpenLeaseRequest(pbx=MAD, instance_id=f"m{at}", request_id=str(uuid4()), software_version="12")
        for at in range(1_000)
    ]
    watch = lease_pb2.WatchLeaseRequest(pbx=MAD, epoch=epoch)

    async def rage() -> None:
        await asyncio.gather(
            attacker.flood(f"{LEASES}/OpenLease", *openings, at_once=100),
            attacker.stream(f"{LEASES}/WatchLease", watch, at_once=200),
        )

    return rage


async def _dropped_streams(attacker: Attacker) -> Rage:
    watch = lease_pb2.WatchLeaseRequest(pbx=MAD, epoch=await _lease(attacker, MAD))
    return lambda: attacker.stream(f"{LEASES}/WatchLease", watch, at_once=60, seconds=0.1)


async def _bad_timestamps(attacker: Attacker) -> Rage:
    epoch = await _lease(attacker, MAD)
    ends = [Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(nanos=-1), Timestamp(nanos=2**31 - 1)]
    requests = [lease_pb2.RenewLeaseRequest(pbx=MAD, epoch=epoch, end_time=end) for end in ends]
    return lambda: attacker.flood(f"{LEASES}/RenewLease", *requests, at_once=100)


async def _primarys_lease(attacker: Attacker) -> Rage:
    await _lease(attacker, SPARE)
    primary = pbx_name(0)

    wanted, epochs = _seats("x", 100), range(1, 5)
    requests: dict[str, list[Message]] = {
        "RenewLease": [lease_pb2.RenewLeaseRequest(pbx=primary, epoch=at) for at in epochs],
        "CloseLease": [lease_pb2.CloseLeaseRequest(pbx=primary, epoch=at) for at in epochs],
        "AcquireSeats": [lease_pb2.AcquireSeatsRequest(pbx=primary, epoch=at, seats=wanted) for at in epochs],
        "SyncSeats": [lease_pb2.SyncSeatsRequest(pbx=primary, epoch=at) for at in epochs],
    }

    async def rage() -> None:
        await asyncio.gather(
            *(attacker.flood(f"{LEASES}/{method}", *actual, at_once=25) for method, actual in requests.items())
        )

    return rage


async def _plans(attacker: Attacker) -> Rage:
    changes = [
        plan_pb2.PlannedChange(upgrade=plan_pb2.UpgradeSoftware(version="13")),
        plan_pb2.PlannedChange(
            add_site=plan_pb2.AddSite(
                name="new", demand=[plan_pb2.SeatDemand(license_type="port", seats=10_000)], software_version="12"
            )
        ),
    ]
    request = plan_pb2.PlanChangesRequest(project=ACME, changes=changes)
    return lambda: attacker.flood("licensemaster.v1.PlanService/PlanChanges", request, at_once=400)


async def _deep_orders(attacker: Attacker) -> Rage:
    order = agreement_order_pb2.AgreementOrder(add_credits=agreement_order_pb2.AddCredits(amount="1"))
    texts = [DOTS, "[" * 30_000, "a = " + "[" * 20_000, "a" + ".a" * 120_000, "x = 1\n" * 40_000]
    requests = [
        agreement_pb2.QuoteOrderRequest(project=ACME, order=order, prices=agreement_pb2.PriceFile(text=text))
        for text in texts
    ]
    return lambda: attacker.flood("licensemaster.v1.AgreementService/QuoteOrder", *requests, at_once=100)


async def _reports(attacker: Attacker) -> Rage:
    async def rage() -> None:
        await asyncio.gather(
            attacker.stream(
                "licensemaster.v1.AuditService/ExportEvents", audit_pb2.ExportEventsRequest(project=ACME), at_once=50
            ),
            attacker.flood(
                "licensemaster.v1.AuditService/VerifyAudit", audit_pb2.VerifyAuditRequest(project=ACME), at_once=50
            ),
            attacker.flood(
                "licensemaster.v1.ReportService/GetUsageReport",
                report_pb2.GetUsageReportRequest(project=ACME),
                at_once=50,
            ),
        )

    return rage


async def _explanations(attacker: Attacker) -> Rage:
    request = status_pb2.ExplainSeatsRequest(pbx=pbx_name(500), seats=_seats("v", 10_000, "uc"))
    return lambda: attacker.flood(f"{STATUS}/ExplainSeats", request, at_once=100)


async def _lists(attacker: Attacker) -> Rage:
    token = "a' OR 1=1 --" + "x" * 500

    async def rage() -> None:
        await asyncio.gather(
            *(
                attacker.flood(f"{STATUS}/{method}", kind(project=ACME), at_once=40)
                for method, kind in {
                    "GetStatus": status_pb2.GetStatusRequest,
                    "ListLeases": status_pb2.ListLeasesRequest,
                    "ListSeats": status_pb2.ListSeatsRequest,
                    "ListEvents": status_pb2.ListEventsRequest,
                }.items()
            ),
            attacker.flood(
                f"{STATUS}/ListSeats", status_pb2.ListSeatsRequest(project=ACME, page_token=token), at_once=40
            ),
        )

    return rage


async def _dry_runs(attacker: Attacker) -> Rage:
    requests = [
        project_pb2.ApplyProjectRequest(project=large_project(ELSEWHERE, sites), request_id=str(uuid4()), dry_run=True)
        for sites in (11_999, 19_999)
    ]
    return lambda: attacker.flood("licensemaster.v1.ProjectService/ApplyProject", *requests, at_once=8)


async def _tarpit(attacker: Attacker) -> Rage:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attacker.outcomes["reached the tarpit"] += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    names = [f"projects/{ELSEWHERE}/webhooks/w{at}" for at in range(30)]
    for name in names:
        add = webhook_pb2.AddWebhookRequest(name=name, url=f"http://127.0.0.1:{port}/", request_id=str(uuid4()))
        call = attacker.channels[0].unary_unary(
            "/licensemaster.v1.WebhookService/AddWebhook", request_serializer=bytes, response_deserializer=bytes
        )
        await attacker.tried(call(add.SerializeToString()))
    tests = [webhook_pb2.TestWebhookRequest(name=name) for name in names]
    return lambda: attacker.flood("licensemaster.v1.WebhookService/TestWebhook", *tests, at_once=1_500)


async def _applies(attacker: Attacker) -> Rage:
    requests = [
        project_pb2.ApplyProjectRequest(project=large_project(ELSEWHERE, 2_000 + at), request_id=str(uuid4()))
        for at in range(40)
    ]
    return lambda: attacker.flood("licensemaster.v1.ProjectService/ApplyProject", *requests, at_once=8)


async def _slow_page(attacker: Attacker) -> Rage:
    return lambda: attacker.connections(attacker.metrics_port, lambda _: b"G", at_once=800, tls=True)


async def _page(attacker: Attacker) -> Rage:
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return lambda: attacker.connections(attacker.metrics_port, lambda n: b"" if n else request, at_once=50, tls=True)


async def _health(attacker: Attacker) -> Rage:
    async def rage() -> None:
        await asyncio.gather(
            attacker.flood("grpc.health.v1.Health/Check", b"", at_once=500),
            attacker.stream("grpc.health.v1.Health/Watch", project_pb2.Project(), at_once=200),
        )

    return rage


async def _idle(attacker: Attacker) -> Rage:
    async def rage() -> None:
        await asyncio.gather(
            attacker.connections(attacker.port, lambda _: b"", at_once=1_200),
            attacker.connections(attacker.metrics_port, lambda _: b"", at_once=300),
        )

    return rage


async def _garbage(attacker: Attacker) -> Rage:
    async def rage() -> None:
        await asyncio.gather(
            attacker.connections(attacker.port, lambda _: os.urandom(16_384), at_once=100),
            attacker.connections(attacker.metrics_port, lambda _: b"\x16\x03\x01\x40\x00" + bytes(4_000), at_once=100),
        )

    return rage


async def _handshakes(attacker: Attacker) -> Rage:
    async def rage() -> None:
        await asyncio.gather(
            attacker.shaking_hands(attacker.port, at_once=50), attacker.shaking_hands(attacker.metrics_port, at_once=20)
        )

    return rage


@dataclass(frozen=True, slots=True)
class Attack:
    """One of them: what it is called, whose certificate it shows, and what it does."""

    name: str
    who: str
    prepare: Callable[[Attacker], Awaitable[Rage]]


ATTACKS: dict[str, tuple[Attack, ...]] = {
    "pbx": (
        Attack("300 acquires of 10,000 seats at once", "pbx", _large_acquires),
        Attack("syncs of 10,000 seats, others each time", "pbx", _large_syncs),
        Attack("calls of 3.8 MB that are refused", "pbx", _hollow),
        Attack("4,000 calls at once whose message never comes", "pbx", _silent),
        Attack("1,000 small calls at once", "pbx", _small),
        Attack("leases opened and watched without end", "pbx", _flapping),
        Attack("timestamps that are none", "pbx", _bad_timestamps),
        Attack("a standby that uses its primary's lease", "standby", _primarys_lease),
        Attack("streams opened and dropped, 60 at once", "pbx", _dropped_streams),
        Attack("syncs of 2,500 seats, others each time", "pbx", _middling_syncs),
        Attack("seats waited for and given up without end", "pbx", _waiting),
    ),
    "viewer": (
        Attack("400 plans at once", "viewer", _plans),
        Attack("orders with deep price files", "viewer", _deep_orders),
        Attack("exports, verifications and reports, 150 at once", "viewer", _reports),
        Attack("explanations of 10,000 seats", "viewer", _explanations),
        Attack("lists and page tokens, 200 at once", "viewer", _lists),
    ),
    "operator": (
        Attack("dry runs of 12,000 PBXs, and of 20,000", "operator", _dry_runs),
        Attack("1,500 webhook tests at a tarpit", "operator", _tarpit),
        Attack("projects of 2,000 PBXs applied without end", "operator", _applies),
    ),
    "scraper": (
        Attack("800 slow requests of the metrics page", "scraper", _slow_page),
        Attack("the metrics page, 50 at once", "scraper", _page),
        Attack("health asked and watched, 700 at once", "scraper", _health),
        Attack("calls of 3.8 MB that are refused", "scraper", _hollow),
    ),
    "revoked": (
        Attack("calls of 3.8 MB that are refused", "revoked", _hollow),
        Attack("4,000 calls at once whose message never comes", "revoked", _silent),
        Attack("1,000 small calls at once", "revoked", _small),
    ),
    "stranger": (
        Attack("1,500 idle connections", "stranger", _idle),
        Attack("handshakes with another authority's certificate", "stranger", _handshakes),
        Attack("bytes that are no TLS", "stranger", _garbage),
    ),
}


async def _prepared(attack: Attack, attacker: Attacker) -> Rage:
    if attack.who != "stranger":
        attacker.connect()
    return await attack.prepare(attacker)


def main() -> None:
    """`python -m tests.slow.neighbours.attacks ROLE NUMBER CALLS_MAX ADDRESS METRICS_PORT FOLDER`."""
    role, number, calls_max, address, metrics_port, folder = sys.argv[1:]
    attack = ATTACKS[role][int(number)]
    attacker = Attacker(attack.who, Wallet(Path(folder)), address, int(metrics_port), int(calls_max))
    play_until_cut_off(lambda: _prepared(attack, attacker), lambda: dict(attacker.outcomes))


if __name__ == "__main__":
    main()
