"""Those who must not suffer, as processes of their own: sites that renew, sites that begin their day, newcomers.

A renewal is due at its time whatever became of the one before, and is measured from then on: a master that is slow does
not make its callers ask less.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import grpc

from licensemaster.tls.channels import open_channel
from licensemaster.v1 import lease_pb2, lease_pb2_grpc, seat_pb2
from tests.slow.neighbours.estate import NEWCOMERS, PHONES, RENEWING, STORMING, Wallet, pbx_name
from tests.slow.neighbours.others import Act, play

RENEW_SECONDS = 0.5
STORM_SECONDS = 2.0
NEWCOMER_SECONDS = 0.5
_DEADLINE_SECONDS = 20.0
Sample = tuple[str, float, float, str]
"""What, when it was due (steady clock of the machine), how many seconds it took, and what went wrong."""


class Site:
    """One site's PBX on its own connection."""

    def __init__(self, number: int, channel: grpc.aio.Channel) -> None:
        self.number = number
        self.stub: lease_pb2_grpc.LeaseServiceAsyncStub = lease_pb2_grpc.LeaseServiceStub(channel)
        self.epoch = 0
        self._seats = [
            seat_pb2.Seat(license_type="port", holder_kind=seat_pb2.HOLDER_KIND_USER, holder=f"phone-{at}")
            for at in range(PHONES)
        ]

    async def open(self) -> None:
        request = lease_pb2.OpenLeaseRequest(
            pbx=pbx_name(self.number), instance_id="i", request_id=str(uuid4()), software_version="12"
        )
        answer = await self.stub.OpenLease(request, timeout=_DEADLINE_SECONDS)
        self.epoch = answer.lease.epoch

    async def renew(self) -> None:
        request = lease_pb2.RenewLeaseRequest(pbx=pbx_name(self.number), epoch=self.epoch)
        await self.stub.RenewLease(request, timeout=_DEADLINE_SECONDS)

    async def acquire(self) -> None:
        request = lease_pb2.AcquireSeatsRequest(pbx=pbx_name(self.number), epoch=self.epoch, seats=self._seats)
        answer = await self.stub.AcquireSeats(request, timeout=_DEADLINE_SECONDS)
        assert all(result.HasField("granted") for result in answer.results)

    async def give_back(self) -> None:
        request = lease_pb2.ReturnSeatsRequest(pbx=pbx_name(self.number), epoch=self.epoch, seats=self._seats)
        await self.stub.ReturnSeats(request, timeout=_DEADLINE_SECONDS)


class Book:
    """What was measured."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.late = 0.0
        """How long this very process was late at worst; what it measures is no better than that."""

    async def measured(self, what: str, due: float, call: asyncio.Future[None] | object) -> None:
        problem = ""
        try:
            await call  # type: ignore[misc]
        except grpc.aio.AioRpcError as error:
            metadata = dict(error.trailing_metadata() or ())
            problem = str(metadata.get("error-reason", error.code().name))
        except AssertionError:
            problem = "REFUSED"
        self.samples.append((what, due, time.monotonic() - due, problem))

    async def watch_itself(self) -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            self.late = max(self.late, time.monotonic() - due)

    def told(self) -> dict[str, object]:
        return {"samples": self.samples, "late": self.late, "cpu": time.process_time()}


async def _connected(stack: AsyncExitStack, address: str, wallet: Wallet, numbers: tuple[int, ...]) -> list[Site]:
    sites = []
    for number in numbers:
        channel = await stack.enter_async_context(open_channel(address, wallet.credentials(f"p{number}")))
        sites.append(Site(number, channel))
    for first in range(0, len(sites), 20):
        await asyncio.gather(*(site.open() for site in sites[first : first + 20]))
    return sites


async def renewing(address: str, wallet: Wallet, stack: AsyncExitStack) -> Act:
    """Sites that renew at their pace."""
    sites = await _connected(stack, address, wallet, RENEWING)

    async def act(ended: asyncio.Event) -> dict[str, object]:
        book = Book()
        watching = asyncio.create_task(book.watch_itself())
        under_way: set[asyncio.Task[None]] = set()

        async def keep(site: Site) -> None:
            due = time.monotonic() + random.random() * RENEW_SECONDS
            while not ended.is_set():
                await asyncio.sleep(max(due - time.monotonic(), 0))
                call = asyncio.create_task(book.measured("renewal", due, site.renew()))
                under_way.add(call)
                call.add_done_callback(under_way.discard)
                due += RENEW_SECONDS

        async def arrive() -> None:
            for number in NEWCOMERS * 100:
                if ended.is_set():
                    return
                due = time.monotonic()
                async with open_channel(address, wallet.credentials(f"p{number}")) as channel:
                    await book.measured("newcomer", due, Site(number, channel).open())
                await asyncio.sleep(NEWCOMER_SECONDS)

        await asyncio.gather(arrive(), *(keep(site) for site in sites))
        await asyncio.gather(*under_way)
        watching.cancel()
        return book.told()

    return act


async def storming(address: str, wallet: Wallet, stack: AsyncExitStack) -> Act:
    """Sites that begin their day, all at once, again and again."""
    sites = await _connected(stack, address, wallet, STORMING)

    async def act(ended: asyncio.Event) -> dict[str, object]:
        book, rounds, done = Book(), 0, Counter[str]()

        async def morning(site: Site) -> None:
            for what, step in (
                ("opening", site.open),
                ("acquire", site.acquire),
                ("renewal in the storm", site.renew),
                ("return", site.give_back),
            ):
                await book.measured(what, time.monotonic(), step())
                done[what] += 1

        while not ended.is_set():
            began = time.monotonic()
            await asyncio.gather(*(morning(site) for site in sites))
            rounds += 1
            with_pause = began + STORM_SECONDS - time.monotonic()
            await asyncio.sleep(max(with_pause, 0))
        return {**book.told(), "rounds": rounds}

    return act


def main() -> None:
    """`python -m tests.slow.neighbours.honest renewing|storming ADDRESS FOLDER`."""
    kind, address, folder = sys.argv[1:]
    stack = AsyncExitStack()
    prepare = {"renewing": renewing, "storming": storming}[kind]
    play(lambda: prepare(address, Wallet(Path(folder)), stack))


if __name__ == "__main__":
    main()
