"""An agent whose lease is over goes on serving the seats that its PBX has borrowed, and shows the loan."""

from __future__ import annotations

from pathlib import Path

from jsonschema import validate

from license_agent.http.openapi import DOCUMENT
from slave_client import State
from tests.license_agent.conftest import agent_settings, port, running_agent
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.slave_client.loans.lending import allow_loans, hears_of, lend, sail
from tests.support.limits import HANG_SECONDS


async def test_borrowed_seats_are_served_when_the_lease_is_over(master: RestartableMaster, tmp_path: Path) -> None:
    await allow_loans(master)
    clock, settings = HeldClock(master.clock), agent_settings(master.address, tmp_path)
    async with running_agent(settings, clock) as pbx:
        client = pbx.agent.client
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert await pbx.register("4711", "4712", "4713") == [200, 200, 200]
        await lend(master, 2)
        await hears_of(client, 2)
        await master.stop()
        client.look_again()
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        sail(clock)
        lease = (await pbx.ask("GET", "/v1/lease")).body
        validate(lease, {"$ref": "#/components/schemas/Lease", "components": DOCUMENT["components"]})
        assert (lease["state"], lease["seats_held"]) == ("borrowing", 2)
        assert [(loan["license_type"], loan["seats"]) for loan in lease["loans"]] == [("port", 2)]
        metrics = (await pbx.ask("GET", "/metrics")).body
        assert 'license_agent_state{state="borrowing"} 1.0' in metrics
        assert 'license_agent_seats_borrowed{type="port"} 2.0' in metrics
        assert 'license_agent_loan_remaining_seconds{type="port"} 2' in metrics
        refused = await pbx.ask("PUT", port("4713"))
        assert (refused.status, refused.reason) == (503, "offline")
        assert (await pbx.ask("GET", "/v1/calls/allowed?kind=new&holder=4711")).body == {"allowed": True}
        assert (await pbx.ask("DELETE", port("4712"))).status == 200
        assert await pbx.register("4713", "4714") == [200, 503]
    async with running_agent(settings, clock) as pbx:
        await pbx.agent.client.wait_for_state(State.BORROWING, timeout_seconds=HANG_SECONDS)
        assert await pbx.register("4711", "4713", "4714") == [200, 200, 503]
    await master.start()
