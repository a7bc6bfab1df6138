"""The load: sites that acquire and renew, over real sockets, from this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from statistics import median
from uuid import uuid4

import grpc
import psutil

from licensemaster.tls.channels import open_channel
from licensemaster.v1 import lease_pb2, lease_pb2_grpc, project_pb2, project_pb2_grpc, seat_pb2

PROJECT = "bench"
SITES = 1000
PHONES = 100
CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Rate:
    """What a closed loop reached."""

    per_second: float
    p50_ms: float
    p99_ms: float


def project(*, ports: int, sites: int = SITES) -> project_pb2.Project:
    """Many sites on one pool."""
    message = project_pb2.Project(name=PROJECT, catalog="innovaphone")
    message.sites.add(name="hq")
    message.devices.add(name="hq-box", platform="gateway")
    message.pbxs.add(name="hq", site="hq", device="hq-box", role=project_pb2.PBX_ROLE_MASTER, software_version="12")
    for number in range(sites):
        message.sites.add(name=f"s{number}")
        message.devices.add(name=f"box{number}", platform="gateway")
        message.pbxs.add(
            name=f"p{number}",
            site=f"s{number}",
            device=f"box{number}",
            role=project_pb2.PBX_ROLE_SLAVE,
            software_version="12",
        )
    for number, quantity in enumerate(_parts(ports)):
        message.licenses.add(id=f"ports-{number}", type="PBX-Port12", quantity=quantity, device="hq-box")
    return message


async def apply(
    address: str, *, ports: int, sites: int = SITES, credentials: grpc.ChannelCredentials | None = None
) -> None:
    """Give a master its estate."""
    async with open_channel(address, credentials) as channel:
        request = project_pb2.ApplyProjectRequest(project=project(ports=ports, sites=sites), request_id=str(uuid4()))
        await project_pb2_grpc.ProjectServiceStub(channel).ApplyProject(request)


def pbx_name(number: int) -> str:
    """A site's PBX."""
    return f"projects/{PROJECT}/pbxs/p{number}"


def seats(prefix: str, count: int) -> list[seat_pb2.Seat]:
    """So many ports."""
    kind = seat_pb2.HOLDER_KIND_USER
    return [seat_pb2.Seat(license_type="port", holder_kind=kind, holder=f"{prefix}-{at}") for at in range(count)]


class Sites:
    """PBXs with open leases, over a few connections, or each over its own with its certificate."""

    def __init__(
        self,
        stack: AsyncExitStack,
        address: str,
        credentials: Sequence[grpc.ChannelCredentials] | None = None,
        *,
        count: int = SITES,
    ) -> None:
        self._stack = stack
        self._address = address
        self._credentials = credentials
        self.stubs: list[lease_pb2_grpc.LeaseServiceAsyncStub] = []
        self.epochs = [0] * count

    async def connect(self, channels: int = CHANNELS) -> None:
        """Open so many connections; where each site shows its own certificate, one for each."""
        channels = len(self._credentials) if self._credentials else channels
        options = (("grpc.max_receive_message_length", -1),)
        for number in range(channels):
            shown = self._credentials[number] if self._credentials else None
            channel = await self._stack.enter_async_context(open_channel(self._address, shown, options))
            await channel.channel_ready()
            self.stubs.append(lease_pb2_grpc.LeaseServiceStub(channel))

    async def open(self, number: int, wanted: Sequence[seat_pb2.Seat] = ()) -> int:
        """Open a site's lease with the seats that it wants, in one call; how many were granted."""
        request = lease_pb2.OpenLeaseRequest(
            pbx=pbx_name(number),
            instance_id=f"i{number}",
            request_id=str(uuid4()),
            software_version="12",
            seats=wanted,
        )
        response = await self.stubs[number % len(self.stubs)].OpenLease(request)
        self.epochs[number] = response.lease.epoch
        return sum(1 for result in response.results if result.HasField("granted"))

    async def open_all(self) -> None:
        """Open every site's lease."""
        count = len(self.epochs)
        for first in range(0, count, SITES):
            await asyncio.gather(*(self.open(number) for number in range(first, min(first + SITES, count))))

    async def acquire(self, number: int, wanted: Sequence[seat_pb2.Seat], *, waits: bool = False) -> int:
        """Acquire seats for a site, or wait for them; how many were granted."""
        request = lease_pb2.AcquireSeatsRequest(
            pbx=pbx_name(number), epoch=self.epochs[number], seats=wanted, wait=waits
        )
        response = await self.stubs[number % len(self.stubs)].AcquireSeats(request)
        return sum(1 for result in response.results if result.HasField("granted"))

    async def fill(self, prefix: str, count: int) -> None:
        """Acquire so many seats for every site."""
        wanted = seats(prefix, count)
        for first in range(0, len(self.epochs), CHANNELS):
            numbers = range(first, min(first + CHANNELS, len(self.epochs)))
            await asyncio.gather(*(self.acquire(number, wanted) for number in numbers))

    async def watch(self, number: int) -> None:
        """Open a site's stream, and wait for what it is told at first."""
        request = lease_pb2.WatchLeaseRequest(pbx=pbx_name(number), epoch=self.epochs[number])
        stream = self.stubs[number % len(self.stubs)].WatchLease(request)
        self._stack.callback(stream.cancel)
        await stream.read()

    async def renew(self, number: int, *, may_wait_seconds: float = 0.0) -> None:
        """Renew a site's lease; the answer may be kept back for so long."""
        request = lease_pb2.RenewLeaseRequest(pbx=pbx_name(number), epoch=self.epochs[number])
        metadata = (("may-wait-seconds", str(may_wait_seconds)),)
        await self.stubs[number % len(self.stubs)].RenewLease(request, metadata=metadata)


class Morning(Enum):
    """How a site comes by its lease and its seats."""

    ONE_CALL = "with the lease"
    TWO_CALLS = "after the lease"


async def storm(
    address: str,
    *,
    round_number: int,
    credentials: Sequence[grpc.ChannelCredentials] | None = None,
    morning: Morning = Morning.TWO_CALLS,
    ports: int = SITES * PHONES,
) -> float:
    """All sites open their lease and register all phones at once; seconds until the last answer. Where there are fewer
    ports than phones, the others ask to wait.
    """
    async with AsyncExitStack() as stack:
        sites = Sites(stack, address, credentials)
        await sites.connect()
        wanted = [seats(f"r{round_number}", PHONES) for _ in range(SITES)]

        async def begin(number: int) -> int:
            if morning is Morning.ONE_CALL:
                return await sites.open(number, wanted[number])
            await sites.open(number)
            return await sites.acquire(number, wanted[number], waits=ports < SITES * PHONES)

        started = time.perf_counter()
        granted = sum(await asyncio.gather(*(begin(number) for number in range(SITES))))
        seconds = time.perf_counter() - started
        assert granted == ports, granted
        return seconds


async def closed_loop(call: Callable[[int, int], Awaitable[object]], *, workers: int, calls: int) -> Rate:
    """So many workers call one after the other; `call` gets its worker and its number."""
    numbers = iter(range(calls))
    times: list[float] = []

    async def work(worker: int) -> None:
        for number in numbers:
            started = time.perf_counter()
            await call(worker, number)
            times.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(workers)))
    seconds = time.perf_counter() - started
    times.sort()
    return Rate(calls / seconds, median(times) * 1000, times[int(len(times) * 0.99)] * 1000)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def resident_mib(pid: int) -> float:
    """Memory that a process holds."""
    rss: int = psutil.Process(pid).memory_info().rss
    return rss / 2**20


def _parts(total: int) -> list[int]:
    most = 1_000_000
    return [most] * (total // most) + ([total % most] if total % most else [])
