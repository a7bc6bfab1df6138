"""Callers over their pace wait for their turn: what that costs is bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from licensemaster.v1 import lease_pb2, seat_pb2
from master.auth.callers.limits import CallerLimitError, Paces
from master.rpc.admission import turns as module
from master.rpc.admission.turns import Turns
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import opened

ACME = "projects/acme"
ENDLESS = 1e-3
"""Calls a second: the first is served, the next would wait for longer than any test."""


def paces(clock: Clock, *, per_second: float) -> Paces:
    return Paces(per_second=per_second, burst_seconds=1, clock=clock, wait_seconds_max=10)


async def told_to_come_back(turns: Turns, mad: Paces) -> float:
    with pytest.raises(CallerLimitError) as raised:
        await turns.take(mad, "mad", what="calls a second")
    return raised.value.retry_after_seconds


async def test_who_is_a_little_over_its_pace_is_served_when_its_turn_comes() -> None:
    turns, soon = Turns(), paces(Clock(), per_second=1000)
    for _ in range(1010):
        await turns.take(soon, "berlin", what="calls a second")
    assert len(turns) == 0


async def test_a_call_that_is_given_up_waits_no_more_and_the_end_lets_all_go() -> None:
    turns, mad = Turns(), paces(Clock(), per_second=ENDLESS)
    await turns.take(mad, "mad", what="calls a second")
    calls = [asyncio.create_task(told_to_come_back(turns, mad)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(turns) == 3
    calls[0].cancel()
    await asyncio.wait(calls[:1])
    assert len(turns) == 2
    turns.stop()
    assert await asyncio.gather(*calls[1:]) == [10, 10]  # when the next one's turn would be
    assert await told_to_come_back(turns, mad) == 10  # at once, from now on
    assert len(turns) == 0


async def test_so_many_wait_and_further_ones_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING_MAX", 2)
    turns, mad = Turns(), paces(Clock(), per_second=ENDLESS)
    await turns.take(mad, "mad", what="calls a second")
    waiting = [asyncio.create_task(told_to_come_back(turns, mad)) for _ in range(2)]
    await asyncio.sleep(0)
    await told_to_come_back(turns, mad)
    await turns.take(mad, "calm", what="calls a second")  # whoever keeps its pace needs no place
    turns.stop()
    await asyncio.gather(*waiting)


async def until_waiting(master: InProcess, are_right: Callable[[float], bool]) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if are_right(master.running.metrics.registry.get_sample_value("license_master_calls_waiting") or 0):
                return
            await asyncio.sleep(0.001)


@asynccontextmanager
async def slow_master(url: str, pki: Pki, **limits: float) -> AsyncIterator[InProcess]:
    async with in_process_master(url, Clock(time.time()), **pki.serve(pki.server_key()), **limits) as master:
        yield master


async def test_who_asks_too_much_waits_holds_up_nobody_and_is_refused_when_the_master_ends(
    sqlite_database_url: str, pki: Pki
) -> None:
    request = lease_pb2.RenewLeaseRequest(pbx=f"{ACME}/pbxs/berlin", epoch=1)
    mad, calm = (pki.certified_key(f"{ACME}/pbxs/{name}").credentials for name in ("berlin", "paris"))
    async with slow_master(sqlite_database_url, pki, caller_calls_per_second=1) as master:
        address = f"127.0.0.1:{master.running.port}"
        async with shown_to(address, mad) as wire, shown_to(address, calm) as other:
            calls = [asyncio.create_task(failure(wire.leases.RenewLease(request))) for _ in range(100)]
            await until_waiting(master, lambda count: count > 60)  # but for four seconds' worth, and a call a second
            assert (await failure(other.leases.RenewLease(request))).reason == "NOT_YOUR_PBX"
            for call in calls[30:]:
                call.cancel()
            await until_waiting(master, lambda count: count <= 30)
            await master.running.server.stop(HANG_SECONDS)
            reasons = [(await call).reason for call in calls[:30]]
            assert "CALLER_LIMIT" in reasons
            assert set(reasons) <= {"CALLER_LIMIT", "UNKNOWN_PBX"}


async def test_seats_count_as_calls_and_a_large_call_waits_until_what_came_before_it_is_paid(
    sqlite_database_url: str, pki: Pki
) -> None:
    wanted = [seat_pb2.Seat(license_type="port", holder=f"phone-{number}") for number in range(1000)]
    large = lease_pb2.AcquireSeatsRequest(pbx=f"{ACME}/pbxs/berlin", epoch=1, seats=wanted)
    small = lease_pb2.RenewLeaseRequest(pbx=f"{ACME}/pbxs/berlin", epoch=1)
    mad, calm = (pki.certified_key(f"{ACME}/pbxs/{name}").credentials for name in ("berlin", "paris"))
    async with slow_master(sqlite_database_url, pki, caller_calls_per_second=1) as master:
        address = f"127.0.0.1:{master.running.port}"
        async with shown_to(address, mad) as wire, shown_to(address, calm) as other:
            acquire: Any = wire.channel.stream_unary("/licensemaster.v1.LeaseService/AcquireSeats")
            late = acquire()
            await late.wait_for_connection()  # it has its turn; its message is still to come
            assert (await failure(wire.leases.AcquireSeats(large))).reason == "UNKNOWN_PBX"
            await late.write(large.SerializeToString())
            await until_waiting(master, lambda count: count == 1)
            renewal = asyncio.create_task(failure(wire.leases.RenewLease(small)))
            await until_waiting(master, lambda count: count == 2)
            assert (await failure(other.leases.RenewLease(small))).reason == "NOT_YOUR_PBX"
            await master.running.server.stop(HANG_SECONDS)
            assert (await failure(late)).reason == "UNKNOWN_PBX"
            assert (await renewal).reason == "CALLER_LIMIT"


async def test_what_a_conversation_asks_waits_as_calls_do(sqlite_database_url: str, pki: Pki) -> None:
    """Reflection takes any number of requests in one call."""
    asks = [ServerReflectionRequest(list_services="").SerializeToString()] * 20
    async with slow_master(sqlite_database_url, pki, caller_calls_per_second=1) as master:
        viewer = pki.certified_key(f"{ACME}/viewers/vera").credentials
        async with shown_to(f"127.0.0.1:{master.running.port}", viewer) as wire:
            converse: Any = wire.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
            call = converse(iter(asks))
            assert await call.read()
            await until_waiting(master, lambda count: count == 1)
            await master.running.server.stop(HANG_SECONDS)


async def test_a_certificate_that_is_refused_waits_and_a_good_one_of_its_name_does_not(
    sqlite_database_url: str, pki: Pki
) -> None:
    stolen, renewed = pki.certified_key(f"{ACME}/pbxs/berlin"), pki.certified_key(f"{ACME}/pbxs/berlin")
    pki.authority.revoke([stolen.issued], now=time.time())
    request = lease_pb2.RenewLeaseRequest(pbx=f"{ACME}/pbxs/berlin", epoch=1)
    async with slow_master(sqlite_database_url, pki, refused_calls_per_second=0.1) as master:
        address = f"127.0.0.1:{master.running.port}"
        async with shown_to(address, stolen.credentials) as thief, shown_to(address, renewed.credentials) as berlin:
            assert (await failure(thief.leases.RenewLease(request))).reason == "CERTIFICATE_REVOKED"
            again = asyncio.create_task(failure(thief.leases.RenewLease(request)))
            await until_waiting(master, lambda count: count == 1)
            assert (await failure(berlin.leases.RenewLease(request))).reason == "UNKNOWN_PBX"
            await master.running.server.stop(HANG_SECONDS)
            seen = await again
            assert (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALLER_LIMIT")
            assert 0 < seen.retry_after_ms <= 10_000


async def test_a_pbx_whose_phones_all_come_at_once_waits_for_nothing(secured: InProcess, pki: Pki) -> None:
    """What is saved up is for that: 128 calls, one for each phone, over one connection."""
    credentials = pki.certified_key(f"{ACME}/pbxs/berlin").credentials
    async with shown_to(f"127.0.0.1:{secured.running.port}", credentials) as wire:
        pbx = await opened(wire, "berlin")
        user = seat_pb2.HOLDER_KIND_USER
        wanted = [
            seat_pb2.Seat(license_type="port", holder_kind=user, holder=f"phone-{number}") for number in range(128)
        ]
        requests = [lease_pb2.AcquireSeatsRequest(pbx=pbx.name, epoch=pbx.epoch, seats=[seat]) for seat in wanted]
        answers = await asyncio.gather(*(wire.leases.AcquireSeats(request) for request in requests))
        assert {len(answer.results) for answer in answers} == {1}


async def test_a_certificate_that_is_revoked_while_its_call_waits_is_refused(
    sqlite_database_url: str, pki: Pki
) -> None:
    stolen = pki.certified_key(f"{ACME}/pbxs/berlin")
    request = lease_pb2.RenewLeaseRequest(pbx=f"{ACME}/pbxs/berlin", epoch=1)
    async with (
        slow_master(sqlite_database_url, pki, caller_calls_per_second=1) as master,
        shown_to(f"127.0.0.1:{master.running.port}", stolen.credentials) as wire,
    ):
        calls = [asyncio.create_task(failure(wire.leases.RenewLease(request))) for _ in range(8)]
        await until_waiting(master, lambda count: count > 2)  # of these, the turns of two are soon
        pki.authority.revoke([stolen.issued], now=time.time())
        assert master.running.authorizer is not None
        await master.running.authorizer.run_once()
        await master.running.server.stop(HANG_SECONDS)
        assert "CERTIFICATE_REVOKED" in {(await call).reason for call in calls}
