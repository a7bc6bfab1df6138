"""What a master tells a PBX reaches whoever reads the agent's events."""

from __future__ import annotations

import asyncio
import json

from licensemaster.v1 import allocation_pb2
from tests.license_agent.conftest import PORTS, Pbx
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import wire_to
from tests.support.projects.allocations import Policy, lay_down


async def test_a_reader_hears_that_the_pool_is_overdrawn(master: RestartableMaster, pbx: Pbx) -> None:
    policy = allocation_pb2.OverdraftPolicy(seats=2, budget_seat_hours=10, refill_seat_hours_per_day=1)
    async with wire_to(master.address) as wire:
        await lay_down(wire, Policy(license_type="port", overdraft=policy))
    async with asyncio.timeout(HANG_SECONDS), pbx.session.get("http://agent/v1/events") as stream:
        assert await pbx.register(*(f"phone-{number}" for number in range(PORTS + 1))) == [200] * (PORTS + 1)
        pbx.agent.client.look_again()
        async for line in stream.content:
            if line != b"event: notice\n":
                continue
            told = json.loads((await stream.content.readline()).removeprefix(b"data: "))
            if told["kind"] == "pool_overdrawn":
                break
    assert "1 PBX-Port seat above what is installed" in told["message"]
