"""Rule L2: a license leaves its device against that device's security certificate, and against nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import document_pb2, lease_pb2, license_pb2
from tests.rpc.failures import NAME, everything, failure
from tests.support.licenses.leaving import (
    BOUND,
    CERTIFICATE,
    COOLING_OFF,
    FREE,
    LICENSES,
    RELEASING,
    Leaving,
    altered,
    on_its_way,
)
from tests.support.limits import LONG
from tests.support.loop import Loop
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import (
    Vendor,
    approve,
    bind,
    cancel,
    certify,
    enrolled,
    hand_in,
    imported,
    listed,
    moved,
    refusal,
    release,
)


@pytest.mark.rule("L2")
async def test_the_right_certificate_ends_the_binding(master: InProcess, tmp_path: Path) -> None:
    leaving = await on_its_way(master, tmp_path)
    done = await hand_in(leaving.wire, leaving.signed(leaving.genuine, by=leaving.hq))
    assert (done.license.state, done.license.device, done.license.binding) == (FREE, "", 1)
    assert not done.HasField("binding")
    assert (await listed(leaving.wire))["video"].state == RELEASING


FORGED: dict[str, tuple[Callable[[Leaving], document_pb2.SecurityCertificate], str, str]] = {
    "another license's nonce": (
        lambda it: altered(it.genuine, nonce=document_pb2.ReleaseRequest.FromString(it.other_request.payload).nonce),
        "hq",
        "DOCUMENT_REPLAYED",
    ),
    "no nonce": (lambda it: altered(it.genuine, nonce=b""), "hq", "DOCUMENT_REPLAYED"),
    "a shorter nonce": (lambda it: altered(it.genuine, nonce=it.genuine.nonce[:-1]), "hq", "DOCUMENT_REPLAYED"),
    "a later binding": (lambda it: altered(it.genuine, number=2), "hq", "DOCUMENT_REPLAYED"),
    "an earlier binding": (lambda it: altered(it.genuine, number=0), "hq", "DOCUMENT_REPLAYED"),
    "another license": (lambda it: altered(it.genuine, license="video"), "hq", "DOCUMENT_REPLAYED"),
    "a license that is not there": (lambda it: altered(it.genuine, license="x"), "hq", "DOCUMENT_REPLAYED"),
    "another device for itself": (
        lambda it: altered(it.genuine, device=f"{NAME}/devices/berlin-box"),
        "berlin",
        "DOCUMENT_OTHER_DEVICE",
    ),
    "another device in this one's name": (lambda it: it.genuine, "berlin", "DOCUMENT_OTHER_DEVICE"),
    "this device in another one's name": (
        lambda it: altered(it.genuine, device=f"{NAME}/devices/berlin-box"),
        "hq",
        "DOCUMENT_OTHER_DEVICE",
    ),
    "another project": (
        lambda it: altered(it.genuine, device="projects/other/devices/hq-box"),
        "hq",
        "DOCUMENT_REPLAYED",
    ),
    "a project that is not there": (
        lambda it: altered(it.genuine, device="projects/no-such/devices/hq-box"),
        "hq",
        "UNKNOWN_PROJECT",
    ),
    "no device at all": (lambda it: altered(it.genuine, device=""), "hq", "INVALID_ARGUMENT"),
    "a device name with a zero byte": (
        lambda it: altered(it.genuine, device="projects/ac\0me/devices/hq-box"),
        "hq",
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.rule("L2", "L3")
async def test_a_certificate_that_says_something_else_changes_nothing(any_master: InProcess, tmp_path: Path) -> None:
    """Each one truly signed by an enrolled device."""
    leaving = await on_its_way(any_master, tmp_path)
    other = project({})
    other.name = "other"
    await leaving.wire.apply(other)
    before = await everything(leaving.wire)
    for name, (say, signer, reason) in FORGED.items():
        by = leaving.hq if signer == "hq" else leaving.berlin
        assert (await failure(hand_in(leaving.wire, leaving.signed(say(leaving), by=by)))).reason == reason, name
        assert await everything(leaving.wire) == before, name
    await hand_in(leaving.wire, leaving.signed(leaving.genuine, by=leaving.hq))
    assert (await listed(leaving.wire))["ports"].state == FREE


@pytest.mark.rule("L2")
async def test_a_certificate_that_is_none_changes_nothing(any_master: InProcess, tmp_path: Path) -> None:
    leaving = await on_its_way(any_master, tmp_path)
    stranger = Ed25519PrivateKey.generate()
    right = leaving.signed(leaving.genuine, by=leaving.hq)
    forged = documents.sign(CERTIFICATE, leaving.genuine, stranger)
    in_a_known_name = document_pb2.SignedDocument()
    in_a_known_name.CopyFrom(forged)
    in_a_known_name.key_id = right.key_id
    as_binding = documents.sign(document_pb2.DOCUMENT_KIND_BINDING, leaving.genuine, leaving.hq._key)
    renamed = document_pb2.SignedDocument()
    renamed.CopyFrom(as_binding)
    renamed.kind = CERTIFICATE
    garbage = documents.sealed(CERTIFICATE, b"\xff\xff\xff", leaving.hq._key)
    nameless = document_pb2.SignedDocument()
    nameless.CopyFrom(right)
    nameless.key_id = "\0"
    before = await everything(leaving.wire)
    for document, code, reason in (
        (forged, grpc.StatusCode.PERMISSION_DENIED, "DOCUMENT_UNKNOWN_KEY"),
        (nameless, grpc.StatusCode.PERMISSION_DENIED, "DOCUMENT_UNKNOWN_KEY"),
        (in_a_known_name, grpc.StatusCode.PERMISSION_DENIED, "DOCUMENT_BAD_SIGNATURE"),
        (as_binding, grpc.StatusCode.INVALID_ARGUMENT, "DOCUMENT_WRONG_KIND"),
        (renamed, grpc.StatusCode.PERMISSION_DENIED, "DOCUMENT_BAD_SIGNATURE"),
        (leaving.request, grpc.StatusCode.INVALID_ARGUMENT, "DOCUMENT_WRONG_KIND"),
        (garbage, grpc.StatusCode.INVALID_ARGUMENT, "DOCUMENT_UNREADABLE"),
        (document_pb2.SignedDocument(), grpc.StatusCode.INVALID_ARGUMENT, "DOCUMENT_WRONG_KIND"),
    ):
        failed = await failure(hand_in(leaving.wire, document))
        assert (failed.code, failed.reason) == (code, reason)
        assert await everything(leaving.wire) == before


@pytest.mark.timeout(3600)
@pytest.mark.rule("L2")
def test_a_certificate_with_any_bit_turned_changes_nothing(either_database_url: str, tmp_path: Path) -> None:
    with Loop(either_database_url) as loop:
        actual = loop.run(on_its_way(loop.master, tmp_path))
        right = actual.signed(actual.genuine, by=actual.hq)
        before = loop.run(everything(actual.wire))
        fields = {"payload": len(right.payload), "signature": len(right.signature), "key_id": len(right.key_id)}

        @settings(max_examples=2000 if LONG else 60)
        @given(field=st.sampled_from([*fields]), at=st.integers(0, 10_000), bit=st.integers(0, 6))
        def turned(field: str, at: int, bit: int) -> None:
            value = getattr(right, field)
            raw = bytearray(value.encode() if isinstance(value, str) else value)
            raw[at % fields[field]] ^= 1 << bit
            document = document_pb2.SignedDocument()
            document.CopyFrom(right)
            setattr(document, field, bytes(raw).decode() if isinstance(value, str) else bytes(raw))
            failed = loop.run(failure(hand_in(actual.wire, document)))
            assert failed.reason in ("DOCUMENT_BAD_SIGNATURE", "DOCUMENT_UNKNOWN_KEY")

        turned()
        assert loop.run(everything(actual.wire)) == before


@pytest.mark.rule("L2")
async def test_a_certificate_counts_once(master: InProcess, tmp_path: Path) -> None:
    """Again it is answered alike; for any later release it is nothing."""
    leaving = await on_its_way(master, tmp_path)
    wire, first = leaving.wire, leaving.signed(leaving.genuine, by=leaving.hq)
    done = await hand_in(wire, first)
    before = await everything(wire)
    assert await hand_in(wire, first) == done
    assert await everything(wire) == before

    await bind(wire, "hq-box", "ports")  # bound again, and not by its device's will to let it go
    before = await everything(wire)
    assert (await hand_in(wire, first)).license.state == BOUND
    assert await everything(wire) == before
    second = moved(await release(wire, "ports"))
    assert second.binding == 2
    before = await everything(wire)
    assert (await hand_in(wire, first)).license.state == RELEASING
    assert await everything(wire) == before
    await certify(wire, leaving.hq, second.release.request)
    third = await bind(wire, "hq-box", "ports")
    assert third[0].moved.binding == 3
    before = await everything(wire)
    assert (await failure(hand_in(wire, first))).reason == "DOCUMENT_REPLAYED"
    assert await everything(wire) == before


@pytest.mark.rule("L2")
async def test_a_certificate_of_a_release_that_was_given_up_is_nothing(master: InProcess, tmp_path: Path) -> None:
    """And as the device has signed its binding away, the license has another one from then on."""
    leaving = await on_its_way(master, tmp_path)
    certificate = leaving.hq.certify(leaving.request)
    (staying,) = await cancel(leaving.wire, "ports")
    assert (staying.moved.state, staying.moved.binding) == (BOUND, 2)
    assert leaving.hq.accept_binding(staying.binding).number == 2
    before = await everything(leaving.wire)
    assert (await failure(hand_in(leaving.wire, certificate))).reason == "DOCUMENT_REPLAYED"
    await release(leaving.wire, "ports")
    assert (await failure(hand_in(leaving.wire, certificate))).reason == "DOCUMENT_REPLAYED"
    await cancel(leaving.wire, "ports")
    assert before[-3:] != ()
    assert (await listed(leaving.wire))["ports"].state == BOUND
    refused = refusal(await cancel(leaving.wire, "ports"))
    assert refused.problem == license_pb2.MOVE_PROBLEM_NO_RELEASE_UNDER_WAY


@pytest.mark.rule("L2", "L3")
async def test_a_key_counts_for_its_own_project_only(master: InProcess, tmp_path: Path) -> None:
    """The same box's key, enrolled in another project, certifies nothing here."""
    wire = master.wire
    other = project({})
    other.name = "other"
    await wire.apply(other)
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=master.clock.now)
    mine = await enrolled(wire, tmp_path / "mine", "hq-box")
    name = "projects/other/devices/hq-box"
    token = (await wire.licenses.CreateEnrollment(license_pb2.CreateEnrollmentRequest(device=name))).token
    foreign = DeviceKey.create(tmp_path / "foreign", device=name)
    await wire.licenses.EnrollDevice(license_pb2.EnrollDeviceRequest(enrollment=foreign.enrollment(token)))
    await bind(wire, "hq-box", "ports")
    asked = document_pb2.ReleaseRequest.FromString(moved(await release(wire, "ports")).release.request.payload)
    said = document_pb2.SecurityCertificate(
        device=mine.device, license="ports", number=asked.binding.number, nonce=asked.nonce
    )
    before = await everything(wire)
    failed = await failure(hand_in(wire, documents.sign(CERTIFICATE, said, foreign._key)))
    assert failed.reason == "DOCUMENT_OTHER_DEVICE"
    assert await everything(wire) == before


@pytest.mark.rule("L2")
async def test_a_device_without_a_key_cannot_be_asked(any_master: InProcess, tmp_path: Path) -> None:
    wire = any_master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=any_master.clock.now)
    await bind(wire, "hq-box", "ports")
    refused = refusal(await release(wire, "ports"))
    assert refused.problem == license_pb2.MOVE_PROBLEM_DEVICE_NOT_ENROLLED
    assert (refused.device, list(refused.rules)) == ("hq-box", ["L2"])
    assert (await listed(wire))["ports"].state == BOUND
    key = await enrolled(wire, tmp_path, "hq-box")
    done = await certify(wire, key, moved(await release(wire, "ports")).release.request)
    assert (done.license.state, done.license.release.awaits_approval) == (RELEASING, True), "whose key it is, one says"
    assert moved(await approve(wire, "ports", caller="second")).state == COOLING_OFF


@pytest.mark.rule("L2")
async def test_the_device_is_asked_over_the_line(master: InProcess, tmp_path: Path) -> None:
    """In renewals and over the stream; what is asked is the same document that an operator could carry."""
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    hq, berlin = await opened(wire, "hq"), await opened(wire, "berlin")
    stream = wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=hq.name, epoch=hq.epoch))
    first = await stream.read()
    assert isinstance(first, lease_pb2.WatchLeaseResponse)
    assert not first.notices
    asked = moved(await release(wire, "ports"))
    answer = await stream.read()
    assert isinstance(answer, lease_pb2.WatchLeaseResponse)
    (notice,) = [each for each in answer.notices if each.kind == lease_pb2.NOTICE_KIND_CERTIFY_RELEASE]
    assert list(notice.release_requests) == [asked.release.request]
    assert lease_pb2.NOTICE_KIND_CERTIFY_RELEASE not in [each.kind for each in (await berlin.renew()).notices]
    await certify(wire, key, notice.release_requests[0])
    quiet = await stream.read()
    assert isinstance(quiet, lease_pb2.WatchLeaseResponse)
    assert not quiet.notices
    stream.cancel()
