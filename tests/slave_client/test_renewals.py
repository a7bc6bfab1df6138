"""How long a client lets the master keep its renewals back."""

from __future__ import annotations

import asyncio

import pytest

from master.service.batch.requests import Answer, RenewLease, Request
from master.service.leases.committer import Committer
from slave_client import SlaveClient, State
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock


async def test_a_renewal_may_wait_unless_there_is_a_reason_to_hurry(
    master: RestartableMaster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals: asyncio.Queue[RenewLease] = asyncio.Queue()
    submit = Committer.submit

    async def submit_and_tell(self: Committer, request: Request[Answer]) -> Answer:
        if isinstance(request, RenewLease):
            renewals.put_nowait(request)
        return await submit(self, request)

    monkeypatch.setattr(Committer, "submit", submit_and_tell)
    held = HeldClock(clock)
    async with asyncio.timeout(HANG_SECONDS), SlaveClient(master.config(), clock=held) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        while renewals.empty():  # it may not be at rest yet
            held.advance(1)
            await asyncio.sleep(0.01)
        usual = await renewals.get()
        assert 0.1 < usual.may_wait_seconds < 0.3, "renewed every ten seconds"
        client.look_again()
        assert (await renewals.get()).may_wait_seconds == 0
