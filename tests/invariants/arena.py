"""One or two real masters on one database, driven from plain code, with a loop of their own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, license_pb2, project_pb2, status_pb2
from master.service.monitoring.audit import Audit
from master.store.backends.opening import open_database
from master.store.upkeep.integrity import counter_mismatches
from tests.invariants.balance import BOXES, COOLING_OFF_SECONDS
from tests.invariants.model.values import GRACE_SECONDS, MODEL_CAPACITY, TTL_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor

T = TypeVar("T")
PRINTED = {
    "port": "PBX-Port12",
    "ipva": "PBX-IPVA12",
    "uc": "PBX UC12",
    "mypbx": "PBX-myPBX12",
    "video": "PBX Video12",
    "standby": "PBX-Standby12",
}
_DESCRIBED = {
    "hq": "master 12 ipva",
    "berlin": "slave 12 gateway",
    "paris": "slave 12 gateway",
    "vm": "slave 12 ipva",
    "rome": "slave 12 gateway",
    "spare": "standby:berlin 12 gateway",
}


class Arena:
    """Masters that may be dropped and started again; every history gets a project of its own."""

    def __init__(self, database_url: str, *, masters: int) -> None:
        self.clock = Clock()
        self.vendor = Vendor()
        self.device_keys = {name: Ed25519PrivateKey.generate() for name in BOXES}
        self._url = database_url
        self._runner = asyncio.Runner()
        self._database = open_database(database_url)
        self._stacks: list[AsyncExitStack] = []
        self.masters: list[InProcess] = []
        self.serving_since: list[float] = []
        self._names = (f"history-{number}" for number in itertools.count(1))
        for _ in range(masters):
            stack, master = self.run(self._start())
            self._stacks.append(stack)
            self.masters.append(master)
            self.serving_since.append(self.clock.now)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something."""
        return self._runner.run(work)

    def close(self) -> None:
        """End everything."""
        for stack in self._stacks:
            self.run(stack.aclose())
        self.run(self._database.close())
        self._runner.close()

    async def restart(self, at: int) -> None:
        """Drop a master, whatever it does, and start another on the same database."""
        await self._stacks[at].aclose()
        self._stacks[at], self.masters[at] = await self._start()
        self.serving_since[at] = self.clock.now

    async def mismatches(self, project_name: str) -> list[str]:
        """Counters that do not agree with the seats, and what is wrong with the project's audit."""
        defect = (await Audit(self._database).verify(project_name)).defect
        return await self._database.read(counter_mismatches) + ([defect.message] if defect else [])

    def new_project(self) -> project_pb2.Project:
        """A project as the model knows it, under a name that nobody used before."""
        message = project(
            {
                f"{PRINTED[kind]}{' ' * number}": (quantity, device)
                for number, ((device, kind), quantity) in enumerate(MODEL_CAPACITY.items())
            },
            pbxs=_DESCRIBED,
            ttl_seconds=TTL_SECONDS,
            grace_seconds=GRACE_SECONDS,
        )
        message.name = next(self._names)
        self.run(self._founded(message))
        return message

    async def _founded(self, message: project_pb2.Project) -> None:
        wire, name = self.masters[0].wire, f"projects/{message.name}"
        await wire.apply(message)
        key = license_pb2.NamedVendorKey(public_key=self.vendor.public_key)
        await wire.licenses.TrustVendorKey(license_pb2.TrustVendorKeyRequest(project=name, key=key))
        for box, private in self.device_keys.items():
            device = f"{name}/devices/{box}"
            opening = license_pb2.CreateEnrollmentRequest(device=device)
            said = document_pb2.Enrollment(
                device=device,
                token=(await wire.licenses.CreateEnrollment(opening)).token,
                public_key=documents.public_key_of(private),
            )
            document = documents.sign(document_pb2.DOCUMENT_KIND_ENROLLMENT, said, private)
            await wire.licenses.EnrollDevice(license_pb2.EnrollDeviceRequest(enrollment=document))

    async def _start(self) -> tuple[AsyncExitStack, InProcess]:
        stack = AsyncExitStack()
        master = await stack.enter_async_context(
            in_process_master(self._url, self.clock, drain_seconds=0.01, cooling_off_seconds=COOLING_OFF_SECONDS)
        )
        await master.running.expiry.run_once()  # it does so by itself at some moment after its start; now it is certain
        await master.running.licenses.complete_releases()
        return stack, master


async def all_seats(master: InProcess, project_name: str) -> list[status_pb2.HeldSeat]:
    """Who holds what, as the API lists it."""
    seats: list[status_pb2.HeldSeat] = []
    request = status_pb2.ListSeatsRequest(project=f"projects/{project_name}", page_size=1000)
    while True:
        page = await master.wire.status.ListSeats(request)
        seats += page.seats
        if not page.next_page_token:
            return seats
        request.page_token = page.next_page_token
