"""How long a client lets the master keep its renewals back."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from master.rpc.admission.unhurried_calls import UnhurriedCalls
from slave_client import SlaveClient, State
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock


async def test_a_renewal_may_wait_unless_there_is_a_reason_to_hurry(
    master: RestartableMaster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals: asyncio.Queue[float] = asyncio.Queue()
    wait = UnhurriedCalls.wait

    async def tell_and_wait(self: UnhurriedCalls, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        renewals.put_nowait(float(dict(context.invocation_metadata() or ())["may-wait-seconds"]))
        await wait(self, context)

    monkeypatch.setattr(UnhurriedCalls, "wait", tell_and_wait)
    held = HeldClock(clock)
    async with asyncio.timeout(HANG_SECONDS), SlaveClient(master.config(), clock=held) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        while renewals.empty():  # it may not be at rest yet
            held.advance(1)
            await asyncio.sleep(0.01)
        assert 0.1 < await renewals.get() < 0.3, "renewed every ten seconds"
        client.look_again()
        assert await renewals.get() == 0
