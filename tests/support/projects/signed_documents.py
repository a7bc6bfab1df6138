"""Vendors and devices for tests: real keys, real signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import document_pb2, license_pb2
from tests.support.masters import PROJECT, Wire

NAME = f"projects/{PROJECT}"


def moment(at: float) -> Timestamp:
    """UNIX seconds as a timestamp."""
    return Timestamp(seconds=int(at), nanos=round((at % 1) * 1e9))


class Vendor:
    """Somebody who issues licenses."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()

    @property
    def public_key(self) -> bytes:
        return documents.public_key_of(self.key)

    def issue(
        self,
        licenses: Mapping[str, tuple[str, int] | document_pb2.LicenseItem],
        *,
        now: float,
        file: str = "",
        project: str = PROJECT,
        catalog: str = "innovaphone",
        valid_seconds: float = 86_400,
    ) -> document_pb2.SignedDocument:
        """A file with licenses: id to (printed type, quantity), or to the item itself."""
        items = [
            what if isinstance(what, document_pb2.LicenseItem) else item(name, *what) for name, what in licenses.items()
        ]
        said = document_pb2.LicenseFile(
            id=file or f"f-{uuid4()}",
            catalog=catalog,
            project=project,
            issue_time=moment(now),
            expire_time=moment(now + valid_seconds),
            licenses=items,
        )
        return documents.sign(document_pb2.DOCUMENT_KIND_LICENSE_FILE, said, self.key)


def item(
    name: str, printed: str, quantity: int, *, replaces: str = "", agreement: float | None = None
) -> document_pb2.LicenseItem:
    ends = None if agreement is None else moment(agreement)
    return document_pb2.LicenseItem(
        id=name, type=printed, quantity=quantity, replaces=replaces, agreement_end_time=ends
    )


async def trust(wire: Wire, vendor: Vendor) -> None:
    """An operator trusts a vendor's key."""
    key = license_pb2.NamedVendorKey(public_key=vendor.public_key, display_name="test vendor")
    await wire.licenses.TrustVendorKey(license_pb2.TrustVendorKeyRequest(project=NAME, key=key))


async def imported(
    wire: Wire, vendor: Vendor, licenses: Mapping[str, tuple[str, int] | document_pb2.LicenseItem], *, now: float
) -> license_pb2.ImportLicensesResponse:
    """Licenses in the balance, from a trusted vendor's file."""
    await trust(wire, vendor)
    file = vendor.issue(licenses, now=now)
    return await wire.licenses.ImportLicenses(license_pb2.ImportLicensesRequest(project=NAME, file=file))


async def enrolled(wire: Wire, folder: Path, device: str) -> DeviceKey:
    """A device with a key that the master knows."""
    name = f"{NAME}/devices/{device}"
    token = (await wire.licenses.CreateEnrollment(license_pb2.CreateEnrollmentRequest(device=name))).token
    key = DeviceKey.create(folder / device, device=name)
    response = await wire.licenses.EnrollDevice(license_pb2.EnrollDeviceRequest(enrollment=key.enrollment(token)))
    key.accept_answer(response.answer)
    return key


async def bind(wire: Wire, device: str, *licenses: str) -> list[license_pb2.MoveResult]:
    """Bind, one answer per license."""
    request = license_pb2.BindLicensesRequest(project=NAME, licenses=licenses, device=device, request_id=str(uuid4()))
    return list((await wire.licenses.BindLicenses(request)).results)


async def release(
    wire: Wire,
    *licenses: str,
    in_use: license_pb2.InUse.ValueType = license_pb2.IN_USE_REFUSE,
    to_device: str = "",
    device_dead: bool = False,
    caller: str = "",
) -> list[license_pb2.MoveResult]:
    """Ask for a release, one answer per license."""
    request = license_pb2.ReleaseLicensesRequest(
        project=NAME,
        licenses=licenses,
        in_use=in_use,
        to_device=to_device,
        device_dead=device_dead,
        reason="test",
        request_id=str(uuid4()),
    )
    metadata = (("caller", caller),) if caller else None
    return list((await wire.licenses.ReleaseLicenses(request, metadata=metadata)).results)


async def cancel(wire: Wire, *licenses: str) -> list[license_pb2.MoveResult]:
    """Give releases up, one answer per license."""
    request = license_pb2.CancelReleasesRequest(project=NAME, licenses=licenses, request_id=str(uuid4()))
    return list((await wire.licenses.CancelReleases(request)).results)


async def approve(wire: Wire, *licenses: str, caller: str) -> list[license_pb2.MoveResult]:
    """A second operator agrees that devices are dead, one answer per license."""
    request = license_pb2.ApproveReleasesRequest(project=NAME, licenses=licenses, request_id=str(uuid4()))
    return list((await wire.licenses.ApproveReleases(request, metadata=(("caller", caller),))).results)


async def hand_in(wire: Wire, certificate: document_pb2.SignedDocument) -> license_pb2.SubmitCertificateResponse:
    """A certificate reaches the master."""
    return await wire.licenses.SubmitCertificate(license_pb2.SubmitCertificateRequest(certificate=certificate))


async def certify(
    wire: Wire, key: DeviceKey, request: document_pb2.SignedDocument
) -> license_pb2.SubmitCertificateResponse:
    """The device signs, and its certificate is handed in."""
    return await hand_in(wire, key.certify(request))


def refusal(results: Sequence[license_pb2.MoveResult]) -> license_pb2.MoveRefusal:
    """Why the only license of a call is not moved."""
    (result,) = results
    assert result.WhichOneof("outcome") == "refused", result
    assert result.refused.message
    assert result.refused.remedy
    assert result.refused.rules
    return result.refused


def moved(results: Sequence[license_pb2.MoveResult]) -> license_pb2.LicenseStatus:
    """How the only license of a call stands after it moved."""
    (result,) = results
    assert result.WhichOneof("outcome") == "moved", result
    return result.moved


async def listed(wire: Wire) -> dict[str, license_pb2.LicenseStatus]:
    response = await wire.licenses.ListLicenses(license_pb2.ListLicensesRequest(project=NAME, page_size=1000))
    return {license.license: license for license in response.licenses}
