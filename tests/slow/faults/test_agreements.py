"""SIGKILL while orders are placed: each is carried out whole and once, whatever became of its answer."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count

import grpc
import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2
from tests.support.limits import LONG
from tests.support.masters import Wire, master_process, wire_to
from tests.support.projects.agreements import NAME, wanted
from tests.support.projects.estates import project

KILLS = 30 if LONG else 3
CALLERS = 4


class Buyers:
    """They add one credit with each request id, and remember which were answered."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self.unsure: set[str] = set()
        self._numbers = count(1)
        self.enough = asyncio.Event()

    async def buy(self, wire: Wire) -> None:
        """Go on until the master is gone."""
        while True:
            request_id = f"order-{next(self._numbers)}"
            self.unsure.add(request_id)
            try:
                await self.order(wire, request_id)
            except grpc.aio.AioRpcError:
                return
            if len(self.answered) % 20 == 0:
                self.enough.set()

    async def order(self, wire: Wire, request_id: str) -> None:
        request = agreement_pb2.PlaceOrderRequest(
            project=NAME, order=wanted(orders.AddCredits(amount="1")), request_id=request_id
        )
        answer = await wire.agreements.PlaceOrder(request)
        assert answer.WhichOneof("outcome") == "placed"
        self.answered.add(request_id)
        self.unsure.discard(request_id)


@pytest.mark.timeout(3600)
@pytest.mark.rule("M2")
async def test_no_credit_is_lost_or_doubled_by_sigkill(database_url: str) -> None:
    buyers = Buyers()
    async with master_process(database_url) as process:
        async with wire_to(process.address) as wire:
            await wire.apply(project({}))
        for _ in range(KILLS):
            buyers.enough.clear()
            async with wire_to(process.address) as wire:
                buying = [asyncio.create_task(buyers.buy(wire)) for _ in range(CALLERS)]
                await buyers.enough.wait()
                os.kill(process.pid, signal.SIGKILL)
                await asyncio.gather(*buying)
            await process.kill()  # it is dead; this only forgets it
            await process.start()
            async with wire_to(process.address) as wire:
                assert len(buyers.answered) <= await _credits(wire) <= len(buyers.answered | buyers.unsure)
                for request_id in sorted(buyers.unsure):
                    await buyers.order(wire, request_id)
                assert await _credits(wire) == len(buyers.answered)


async def _credits(wire: Wire) -> int:
    """The credits in the balance; every entry is there once, without a gap."""
    numbers: list[int] = []
    token = ""
    while True:
        request = agreement_pb2.ListEntriesRequest(project=NAME, page_size=1000, page_token=token)
        page = await wire.agreements.ListEntries(request)
        numbers += [entry.number for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert numbers == list(range(1, len(numbers) + 1))
    assert int(page.balance) == len(numbers)
    return len(numbers)
