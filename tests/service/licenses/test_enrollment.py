"""A device shows its key against a one-time token, and keeps it as long as licenses are bound to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import document_pb2, license_pb2
from tests.rpc.failures import NAME, everything, failure
from tests.support.masters import InProcess, Wire
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, certify, enrolled, imported, moved, release

ENROLLMENT = document_pb2.DOCUMENT_KIND_ENROLLMENT
HQ = f"{NAME}/devices/hq-box"
PORTS = {"ports": ("PBX-Port12", 10)}
DAY = 86_400


@pytest.fixture
async def wire(master: InProcess) -> Wire:
    """A master with an empty project."""
    await master.wire.apply(project({}))
    return master.wire


async def _token(wire: Wire, device: str = HQ) -> str:
    return (await wire.licenses.CreateEnrollment(license_pb2.CreateEnrollmentRequest(device=device))).token


async def _enroll(wire: Wire, document: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
    return (await wire.licenses.EnrollDevice(license_pb2.EnrollDeviceRequest(enrollment=document))).answer


async def _key_ids(wire: Wire) -> dict[str, str]:
    devices = (await wire.licenses.ListDevices(license_pb2.ListDevicesRequest(project=NAME))).devices
    return {device.device: device.key_id for device in devices}


async def test_a_device_is_enrolled_and_a_retry_answered_alike(wire: Wire, tmp_path: Path) -> None:
    token, key = await _token(wire), DeviceKey.create(tmp_path, device=HQ)
    document = key.enrollment(token)
    answer = await _enroll(wire, document)
    before = await everything(wire)
    assert await _enroll(wire, document) == answer
    assert await everything(wire) == before
    key.accept_answer(answer)
    assert await _key_ids(wire) == {"hq-box": documents.key_id_of(key.public_key), "berlin-box": ""}
    assert token not in str(before)


async def test_a_token_opens_one_device_once_and_for_a_while(master: InProcess, wire: Wire, tmp_path: Path) -> None:
    first, second = [DeviceKey.create(tmp_path / name, device=HQ) for name in ("first", "second")]
    berlin = DeviceKey.create(tmp_path / "berlin", device=f"{NAME}/devices/berlin-box")
    token = await _token(wire)
    before = await everything(wire)
    with pytest.raises(ValueError, match="the token is empty"):
        first.enrollment("")
    without_token = document_pb2.Enrollment(device=HQ, public_key=first.public_key)
    bare = documents.sign(document_pb2.DOCUMENT_KIND_ENROLLMENT, without_token, first._key)
    for document in (first.enrollment("wrong"), bare, berlin.enrollment(token)):
        assert (await failure(_enroll(wire, document))).reason == "DOCUMENT_TOKEN_INVALID"
    assert await everything(wire) == before
    newer = await _token(wire)
    assert (await failure(_enroll(wire, first.enrollment(token)))).reason == "DOCUMENT_TOKEN_INVALID"
    master.clock.advance(DAY + 1)
    assert (await failure(_enroll(wire, first.enrollment(newer)))).reason == "DOCUMENT_TOKEN_INVALID"
    last = await _token(wire)
    master.clock.advance(DAY)
    await _enroll(wire, first.enrollment(last))
    before = await everything(wire)
    assert (await failure(_enroll(wire, second.enrollment(last)))).reason == "DOCUMENT_TOKEN_INVALID"
    assert await everything(wire) == before


async def test_who_shows_a_key_must_have_it(wire: Wire, tmp_path: Path) -> None:
    token, key, thief = await _token(wire), DeviceKey.create(tmp_path, device=HQ), Ed25519PrivateKey.generate()
    said = document_pb2.Enrollment(device=HQ, token=token, public_key=key.public_key)
    altered = key.enrollment(token)
    altered.payload = altered.payload.replace(b"hq-box", b"hq-bax")
    as_certificate = key.enrollment(token)
    as_certificate.kind = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE
    no_key = document_pb2.Enrollment(device=HQ, token=token, public_key=b"short")
    nowhere = document_pb2.Enrollment(device=f"{NAME}/devices/attic", token=token, public_key=key.public_key)
    malformed = document_pb2.Enrollment(device="hq-box", token=token, public_key=key.public_key)
    before = await everything(wire)
    for document, reason in (
        (documents.sign(ENROLLMENT, said, thief), "DOCUMENT_BAD_SIGNATURE"),
        (altered, "DOCUMENT_BAD_SIGNATURE"),
        (as_certificate, "DOCUMENT_WRONG_KIND"),
        (documents.sign(ENROLLMENT, no_key, thief), "INVALID_ARGUMENT"),  # what is no key verifies nothing
        (documents.sealed(ENROLLMENT, b"\xff\xff", thief), "DOCUMENT_UNREADABLE"),
        (documents.sign(ENROLLMENT, nowhere, key._key), "UNKNOWN_DEVICE"),
        (documents.sign(ENROLLMENT, malformed, key._key), "INVALID_ARGUMENT"),
    ):
        assert (await failure(_enroll(wire, document))).reason == reason
        assert await everything(wire) == before
    await _enroll(wire, key.enrollment(token))


async def test_a_device_keeps_its_key_while_licenses_are_bound_to_it(
    master: InProcess, wire: Wire, tmp_path: Path
) -> None:
    """Also against a token that was made before they were bound."""
    await imported(wire, Vendor(), PORTS, now=master.clock.now)
    old = await enrolled(wire, tmp_path, "hq-box")
    new = DeviceKey.create(tmp_path / "new", device=HQ)
    early = await _token(wire)
    await bind(wire, "hq-box", "ports")
    before = await everything(wire)
    assert (await failure(_token(wire))).reason == "DEVICE_HOLDS_LICENSES"
    failed = await failure(_enroll(wire, new.enrollment(early)))
    assert (failed.reason, "ports" in failed.message) == ("DEVICE_HOLDS_LICENSES", True)
    assert await everything(wire) == before
    await certify(wire, old, moved(await release(wire, "ports")).release.request)
    new.accept_answer(await _enroll(wire, new.enrollment(early)))
    assert (await _key_ids(wire))["hq-box"] == documents.key_id_of(new.public_key)
    await bind(wire, "hq-box", "ports")
    asked = moved(await release(wire, "ports")).release.request
    assert (await failure(certify(wire, old, asked))).reason == "DOCUMENT_UNKNOWN_KEY"
    assert (await certify(wire, new, asked)).license.state == license_pb2.LICENSE_STATE_FREE


async def test_the_same_key_may_be_shown_again(master: InProcess, wire: Wire, tmp_path: Path) -> None:
    await imported(wire, Vendor(), PORTS, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    token = await _token(wire)
    await bind(wire, "hq-box", "ports")
    key.accept_answer(await _enroll(wire, key.enrollment(token)))
    assert (await _key_ids(wire))["hq-box"] == documents.key_id_of(key.public_key)
