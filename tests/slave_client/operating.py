"""An operator who lends the estate more ports and takes them away again, and waiting for what follows from it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from licensemaster.v1 import license_pb2, status_pb2
from slave_client import DeviceKey, NoticeKind, SlaveClient
from tests.slave_client.conftest import estate
from tests.support.masters import PROJECT, Wire, wire_to
from tests.support.projects.signed_documents import NAME, Vendor, bind, enrolled, imported, listed, release
from tests.support.waiting import until

MORE = "more"
"""The license that comes and goes."""


async def noticed(client: SlaveClient, kind: NoticeKind) -> None:
    """Wait until a notice of a kind is there."""

    await until(lambda: any(notice.kind is kind for notice in client.notices))


class Operator:
    """Moves one license of a master's project; `key` is that of the license master's own device."""

    def __init__(self, address: str, key: DeviceKey) -> None:
        self._address = address
        self.key = key

    async def bind(self) -> None:
        async with wire_to(self._address) as wire:
            bound = (await bind(wire, "hq-box", MORE))[0]
            assert bound.HasField("moved"), bound.refused.message
            self.key.accept_binding(bound.binding)

    async def revoke(self) -> license_pb2.MoveResult:
        """Take away: a release that waits for the seats to be given back and for the device's certificate."""
        async with wire_to(self._address) as wire:
            result = (await release(wire, MORE, in_use=license_pb2.IN_USE_REVOKE))[0]
            assert result.HasField("moved"), result.refused.message
            return result

    async def cancel(self) -> None:
        """Let it stay."""
        async with wire_to(self._address) as wire:
            request = license_pb2.CancelReleasesRequest(project=NAME, licenses=[MORE], request_id=str(uuid4()))
            await wire.licenses.CancelReleases(request)

    async def certify(self) -> None:
        """Hand in the device's certificate by hand."""
        asked = (await self.license()).release.request
        async with wire_to(self._address) as wire:
            request = license_pb2.SubmitCertificateRequest(certificate=self.key.certify(asked))
            await wire.licenses.SubmitCertificate(request)

    async def license(self) -> license_pb2.LicenseStatus:
        async with wire_to(self._address) as wire:
            return (await listed(wire))[MORE]

    async def is_free(self) -> bool:
        """Whether it is back in the balance."""
        return (await self.license()).state == license_pb2.LICENSE_STATE_FREE

    async def holders(self, pbx: str = "berlin") -> set[str]:
        """Who holds a port at a PBX, as the master counts."""
        async with wire_to(self._address) as wire:
            request = status_pb2.ListSeatsRequest(project=f"projects/{PROJECT}", pbx=pbx, license_type="port")
            request.page_size = 1000
            return {held.seat.holder for held in (await wire.status.ListSeats(request)).seats}


async def operator_of(address: str, folder: Path, *, now: float, ports: int, apply: bool = False) -> Operator:
    """An operator who has lent so many more ports; the devices' keys are in the folder. `apply` the estate first."""
    async with wire_to(address) as wire:
        if apply:
            await wire.apply(estate())
        operator = Operator(address, await _prepared(wire, folder, now=now, ports=ports))
    await operator.bind()
    return operator


async def _prepared(wire: Wire, folder: Path, *, now: float, ports: int) -> DeviceKey:
    await imported(wire, Vendor(), {MORE: ("PBX-Port12", ports)}, now=now)
    return await enrolled(wire, folder, "hq-box")
