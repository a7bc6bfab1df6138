"""A license on its way from a device, and the certificate that it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import document_pb2, license_pb2
from tests.support.masters import InProcess, Wire
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release

CERTIFICATE = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE
FREE, BOUND = license_pb2.LICENSE_STATE_FREE, license_pb2.LICENSE_STATE_BOUND
RELEASING, COOLING_OFF = license_pb2.LICENSE_STATE_RELEASING, license_pb2.LICENSE_STATE_COOLING_OFF
LICENSES = {"ports": ("PBX-Port12", 10), "video": ("PBX Video12", 5)}


@dataclass(frozen=True, slots=True)
class Leaving:
    """`ports` and `video` on hq-box, both to be released, and all that could be shown for `ports` instead."""

    wire: Wire
    hq: DeviceKey
    berlin: DeviceKey
    request: document_pb2.SignedDocument
    other_request: document_pb2.SignedDocument

    @property
    def genuine(self) -> document_pb2.SecurityCertificate:
        """What the right certificate says."""
        asked = document_pb2.ReleaseRequest.FromString(self.request.payload)
        return document_pb2.SecurityCertificate(
            device=asked.binding.device, license=asked.binding.license, number=asked.binding.number, nonce=asked.nonce
        )

    def signed(self, said: document_pb2.SecurityCertificate, *, by: DeviceKey) -> document_pb2.SignedDocument:
        """A certificate that says anything, with a genuine signature."""
        return documents.sign(CERTIFICATE, said, by._key)


async def on_its_way(master: InProcess, folder: Path) -> Leaving:
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=master.clock.now)
    hq, berlin = [await enrolled(wire, folder, device) for device in ("hq-box", "berlin-box")]
    await bind(wire, "hq-box", "ports", "video")
    ports, video = await release(wire, "ports", "video")
    return Leaving(wire, hq, berlin, ports.moved.release.request, video.moved.release.request)


def altered(genuine: document_pb2.SecurityCertificate, **fields: object) -> document_pb2.SecurityCertificate:
    changed = document_pb2.SecurityCertificate()
    changed.CopyFrom(genuine)
    for field, value in fields.items():
        setattr(changed, field, value)
    return changed
