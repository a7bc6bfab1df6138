"""An operator who lends the estate more licenses and takes them away again, under whatever is wrong.

The life of the license: free, bound to the license master's device, from there straight to the depot's (rebinding) or
back into the balance; each release revokes the seats in the way and waits for the device's certificate.

Decides: what to do next, by how the license stands, and what must never be: free without a certificate, or bound in two
places. Leaves to others: whether seats are in use that nobody has a license for (`records`).
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from uuid import uuid4

import grpc

from licensemaster.v1 import license_pb2
from slave_client import DeviceKey
from tests.slow.chaos.seat_records import SeatRecords
from tests.slow.chaos.world.sites import ASKING_SECONDS_MAX, Tally
from tests.support.masters import Wire
from tests.support.projects.signed_documents import NAME, Vendor, enrolled, imported, listed

LENT = "lent"
QUANTITY = 6
HOME, DEPOT = "hq-box", "depot-box"


class Lender:
    """Moves one license between two devices and the balance."""

    def __init__(
        self, wires: list[Wire], keys: dict[str, DeviceKey], *, seed: object, records: SeatRecords, tally: Tally
    ):
        self._wires = wires
        self._keys = keys
        self._chance = random.Random(f"{seed} lender")
        self._records = records
        self._tally = tally
        self._ports = records.licensed
        self._certified: set[bytes] = set()
        """Requests for a certificate that a device has answered."""
        self._asked = b""
        """The request for a certificate that was open when the license was last looked at."""
        self._is_unsure = False
        """Whether a binding was asked for that may still come about."""
        self._moving: asyncio.Task[None] | None = None

    def move(self) -> None:
        if self._moving is None:
            self._moving = asyncio.create_task(self._move())

    async def rest(self) -> None:
        """Move it no more."""
        moving, self._moving = self._moving, None
        if moving is not None:
            await moving

    async def _move(self) -> None:
        while self._moving is asyncio.current_task():
            wire = self._chance.choice(self._wires)
            try:
                async with asyncio.timeout(3 * ASKING_SECONDS_MAX):
                    await self._next(wire)
            except grpc.aio.AioRpcError as failure:
                self._tally.answers[f"move: {failure.code().name}"] += 1
            except TimeoutError:
                self._tally.answers["move: no answer"] += 1
            await asyncio.sleep(0.1)

    async def _next(self, wire: Wire) -> None:
        """What comes next in the life of the license."""
        license_ = (await listed(wire))[LENT]
        device = license_.device.rpartition("/")[2]
        self._judge(license_)
        if license_.state == license_pb2.LICENSE_STATE_FREE:
            await self._bind(wire, self._chance.choice((HOME, HOME, DEPOT)))
        elif license_.state == license_pb2.LICENSE_STATE_BOUND:
            await self._release(wire, self._chance.choice(("", DEPOT)) if device == HOME else "")
        elif not license_.release.certified:
            await self._certify(wire, device, license_)

    def _judge(self, license_: license_pb2.LicenseStatus) -> None:
        """A license leaves a device only after that device has certified; and then nobody uses it there."""
        is_leaving = license_.state == license_pb2.LICENSE_STATE_RELEASING
        if self._asked and not is_leaving and self._asked not in self._certified:
            self._records.violated(f"moves: {LENT} left its device without a certificate")
        self._asked = license_.release.request.payload if is_leaving else b""
        if license_.state != license_pb2.LICENSE_STATE_FREE:
            self._is_unsure = False
        elif not self._is_unsure:
            self._records.licensed = self._ports
            self._records.check()

    async def _bind(self, wire: Wire, device: str) -> None:
        self._records.licensed = self._ports + QUANTITY  # from the moment on at which it may be bound
        request = license_pb2.BindLicensesRequest(project=NAME, licenses=[LENT], device=device, request_id=str(uuid4()))
        self._is_unsure = True
        (result,) = (await wire.licenses.BindLicenses(request, timeout=ASKING_SECONDS_MAX)).results
        self._is_unsure = False
        if result.HasField("moved"):
            self._keys[device].accept_binding(result.binding)
            self._tally.calls["bind"] += 1

    async def _release(self, wire: Wire, to_device: str) -> None:
        request = license_pb2.ReleaseLicensesRequest(
            project=NAME,
            licenses=[LENT],
            in_use=license_pb2.IN_USE_REVOKE,
            to_device=to_device,
            reason="story",
            request_id=str(uuid4()),
        )
        await wire.licenses.ReleaseLicenses(request, timeout=ASKING_SECONDS_MAX)
        self._tally.calls["rebind" if to_device else "release"] += 1

    async def _certify(self, wire: Wire, device: str, license_: license_pb2.LicenseStatus) -> None:
        self._certified.add(license_.release.request.payload)
        certificate = self._keys[device].certify(license_.release.request)
        request = license_pb2.SubmitCertificateRequest(certificate=certificate)
        await wire.licenses.SubmitCertificate(request, timeout=ASKING_SECONDS_MAX)
        self._tally.calls["certify"] += 1


async def lender_of(wires: list[Wire], folder: Path, *, seed: object, records: SeatRecords, tally: Tally) -> Lender:
    """An operator with a vendor's license in the balance, and both devices' keys; the estate must have both devices."""
    await imported(wires[0], Vendor(), {LENT: ("PBX-Port12", QUANTITY)}, now=time.time())
    keys = {device: await enrolled(wires[0], folder, device) for device in (HOME, DEPOT)}
    return Lender(wires, keys, seed=seed, records=records, tally=tally)
