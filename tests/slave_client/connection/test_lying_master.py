"""A client whose master answers what no master should: its program is answered as if nobody had, and nothing spins."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any

import pytest

from licensemaster.v1 import lease_pb2, seat_pb2
from slave_client import HolderKind, Refused, SlaveClient, State, Want
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock
from tests.support.network.relay import Relay

NO_MOMENT = 2**62


def _refused_until_no_moment(answer: bytes) -> bytes:
    response = lease_pb2.AcquireSeatsResponse.FromString(answer)
    for result in response.results:
        step = seat_pb2.RemedyStep()
        step.until_time.seconds = NO_MOMENT
        way = seat_pb2.RemedyWay(steps=[step])
        result.refused.remedy.ways.append(way)
    return response.SerializeToString()


def _keeps_what_is_no_seat(answer: bytes) -> bytes:
    response = lease_pb2.SyncSeatsResponse.FromString(answer)
    response.kept.add(seat=seat_pb2.Seat(license_type="port", holder="x")).seat.holder_kind = 4711  # type: ignore[assignment]
    return response.SerializeToString()


async def test_an_answer_that_cannot_be_read_is_none(master: RestartableMaster, relay: Relay) -> None:
    config = master.config(addresses=(relay.address,), give_up_after_seconds=0.2)
    async with asyncio.timeout(HANG_SECONDS), SlaveClient(config) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        relay.rewrites = {"AcquireSeats": _refused_until_no_moment, "SyncSeats": _keeps_what_is_no_seat}
        assert isinstance(await client.acquire(Want("port", HolderKind.USER, "phone")), Refused)
        await client.sync([])


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 1e300, -1.0])
async def test_a_lease_is_renewed_in_its_time_whatever_the_master_says(
    master: RestartableMaster, clock: Clock, relay: Relay, seconds: float
) -> None:
    def said(answer: bytes, kind: type[Any] = lease_pb2.RenewLeaseResponse) -> bytes:
        response = kind.FromString(answer)
        response.lease.renew_after_seconds = seconds
        return bytes(response.SerializeToString())

    relay.rewrites = {"RenewLease": said, "OpenLease": partial(said, kind=lease_pb2.OpenLeaseResponse)}
    held = _NotedClock(clock)
    config = master.config(addresses=(relay.address,))
    async with asyncio.timeout(HANG_SECONDS), SlaveClient(config, clock=held) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        while relay.answered["RenewLease"] < 3:
            held.advance(1)
            await asyncio.sleep(0.01)
    assert all(0 < seconds <= 60 for seconds in held.slept), "sixty seconds are the whole lease"


class _NotedClock(HeldClock):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)
