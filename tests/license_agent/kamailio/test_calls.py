"""INVITE never asks: whoever calls, calls, and SIPp places the calls."""

from __future__ import annotations

from pathlib import Path

from simulator.sip.phones import Calls
from simulator.sip.site import Kamailio
from tests.license_agent.kamailio.conftest import Site
from tests.slave_client.conftest import RestartableMaster


async def test_calls_never_ask(site: Site, master: RestartableMaster) -> None:
    """Somebody without a seat calls, and the call comes through; with the master away, and with the agent away."""
    callee, caller = await site.phone("callee"), await site.phone("nobody")
    await site.licensed(callee)
    answered = site.pbx.agent.outcomes.total()
    assert (await caller.call("callee")).code == 200
    assert callee.called.is_set()
    assert site.pbx.agent.outcomes.total() == answered
    await master.stop()
    assert (await caller.call("callee")).code == 200
    await site.stop_agent()
    assert (await caller.call("callee")).code == 200
    await master.start()


async def test_emergency_calls_pass_whatever_the_license_says(
    site: Site, kamailio: Kamailio, master: RestartableMaster, tmp_path: Path
) -> None:
    """Phones that were refused, and one that never registered, call 112; with the master and the agent away, too."""
    gateway = await site.phone("112")
    await site.licensed(gateway)
    while (await (phone := await site.phone(f"p{gateway.port}")).register(user=f"p{phone.port}")).code == 200:
        pass
    callers = [(f"p{phone.port}", "112"), ("nobody", "112")] * 10
    for away in ("nobody", "master", "agent"):
        if away == "master":
            await master.stop()
        elif away == "agent":
            await site.stop_agent()
        calls = Calls(tmp_path / away, kamailio, callers, seconds=0.1)
        await calls.start()
        assert await calls.wait() == 0, away
        assert calls.answered == len(callers)
    await master.start()
