"""Rule L2: a license leaves its device against that device's security certificate, and against nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import document_pb2, lease_pb2, license_pb2
from tests.rpc.failures import NAME, everything, failure
from tests.support.databases.truth import LONG
from tests.support.loop import Loop
from tests.support.masters import InProcess, Wire
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

CERTIFICATE = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE
FREE, BOUND = license_pb2.LICENSE_STATE_FREE, license_pb2.LICENSE_STATE_BOUND
RELEASING, COOLING_OFF = license_pb2.LICENSE_STATE_RELEASING, license_pb2.LICENSE_STATE_COOLING_OFF
COOLING_OFF_SECONDS = 604_800
LICENSES = {"ports": ("PBX-Port12", 10), "video": ("PBX Video12", 5)}
"""Two of one device, so that one's certificate can be shown for the other."""


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


async def _leaving(master: InProcess, folder: Path) -> Leaving:
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=master.clock.now)
    hq, berlin = [await enrolled(wire, folder, device) for device in ("hq-box", "berlin-box")]
    await bind(wire, "hq-box", "ports", "video")
    ports, video = await release(wire, "ports", "video")
    return Leaving(wire, hq, berlin, ports.moved.release.request, video.moved.release.request)


def _altered(genuine: document_pb2.SecurityCertificate, **fields: object) -> document_pb2.SecurityCertificate:
    changed = document_pb2.SecurityCertificate()
    changed.CopyFrom(genuine)
    for field, value in fields.items():
        setattr(changed, field, value)
    return changed


@pytest.mark.rule("L2")
async def test_the_right_certificate_ends_the_binding(any_master: InProcess, tmp_path: Path) -> None:
    leaving = await _leaving(any_master, tmp_path)
    done = await hand_in(leaving.wire, leaving.signed(leaving.genuine, by=leaving.hq))
    assert (done.license.state, done.license.device, done.license.binding) == (FREE, "", 1)
    assert not done.HasField("binding")
    assert (await listed(leaving.wire))["video"].state == RELEASING


FORGED: dict[str, tuple[Callable[[Leaving], document_pb2.SecurityCertificate], str, str]] = {
    "another license's nonce": (
        lambda it: _altered(it.genuine, nonce=document_pb2.ReleaseRequest.FromString(it.other_request.payload).nonce),
        "hq",
        "DOCUMENT_REPLAYED",
    ),
    "no nonce": (lambda it: _altered(it.genuine, nonce=b""), "hq", "DOCUMENT_REPLAYED"),
    "a shorter nonce": (lambda it: _altered(it.genuine, nonce=it.genuine.nonce[:-1]), "hq", "DOCUMENT_REPLAYED"),
    "a later binding": (lambda it: _altered(it.genuine, number=2), "hq", "DOCUMENT_REPLAYED"),
    "an earlier binding": (lambda it: _altered(it.genuine, number=0), "hq", "DOCUMENT_REPLAYED"),
    "another license": (lambda it: _altered(it.genuine, license="video"), "hq", "DOCUMENT_REPLAYED"),
    "a license that is not there": (lambda it: _altered(it.genuine, license="x"), "hq", "DOCUMENT_REPLAYED"),
    "another device for itself": (
        lambda it: _altered(it.genuine, device=f"{NAME}/devices/berlin-box"),
        "berlin",
        "DOCUMENT_OTHER_DEVICE",
    ),
    "another device in this one's name": (lambda it: it.genuine, "berlin", "DOCUMENT_OTHER_DEVICE"),
    "this device in another one's name": (
        lambda it: _altered(it.genuine, device=f"{NAME}/devices/berlin-box"),
        "hq",
        "DOCUMENT_OTHER_DEVICE",
    ),
    "another project": (
        lambda it: _altered(it.genuine, device="projects/other/devices/hq-box"),
        "hq",
        "DOCUMENT_REPLAYED",
    ),
    "a project that is not there": (
        lambda it: _altered(it.genuine, device="projects/no-such/devices/hq-box"),
        "hq",
        "UNKNOWN_PROJECT",
    ),
    "no device at all": (lambda it: _altered(it.genuine, device=""), "hq", "INVALID_ARGUMENT"),
    "a device name with a zero byte": (
        lambda it: _altered(it.genuine, device="projects/ac\0me/devices/hq-box"),
        "hq",
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.rule("L2", "L3")
async def test_a_certificate_that_says_something_else_changes_nothing(any_master: InProcess, tmp_path: Path) -> None:
    """Each one truly signed by an enrolled device."""
    leaving = await _leaving(any_master, tmp_path)
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
    leaving = await _leaving(any_master, tmp_path)
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
        told = await failure(hand_in(leaving.wire, document))
        assert (told.code, told.reason) == (code, reason)
        assert await everything(leaving.wire) == before


@pytest.mark.timeout(3600)
@pytest.mark.rule("L2")
def test_a_certificate_with_any_bit_turned_changes_nothing(sqlite_database_url: str, tmp_path: Path) -> None:
    with Loop(sqlite_database_url) as loop:
        found = loop.run(_leaving(loop.master, tmp_path))
        right = found.signed(found.genuine, by=found.hq)
        before = loop.run(everything(found.wire))
        fields = {"payload": len(right.payload), "signature": len(right.signature), "key_id": len(right.key_id)}

        @settings(max_examples=2000 if LONG else 60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(field=st.sampled_from([*fields]), at=st.integers(0, 10_000), bit=st.integers(0, 6))
        def turned(field: str, at: int, bit: int) -> None:
            value = getattr(right, field)
            raw = bytearray(value.encode() if isinstance(value, str) else value)
            raw[at % fields[field]] ^= 1 << bit
            document = document_pb2.SignedDocument()
            document.CopyFrom(right)
            setattr(document, field, bytes(raw).decode() if isinstance(value, str) else bytes(raw))
            told = loop.run(failure(hand_in(found.wire, document)))
            assert told.reason in ("DOCUMENT_BAD_SIGNATURE", "DOCUMENT_UNKNOWN_KEY")

        turned()
        assert loop.run(everything(found.wire)) == before


@pytest.mark.rule("L2")
async def test_a_certificate_counts_once(any_master: InProcess, tmp_path: Path) -> None:
    """Again it is answered alike; for any later release it is nothing."""
    leaving = await _leaving(any_master, tmp_path)
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
async def test_a_certificate_of_a_release_that_was_given_up_is_nothing(any_master: InProcess, tmp_path: Path) -> None:
    """And as the device has signed its binding away, the license has another one from then on."""
    leaving = await _leaving(any_master, tmp_path)
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
async def test_a_key_counts_for_its_own_project_only(any_master: InProcess, tmp_path: Path) -> None:
    """The same box's key, enrolled in another project, certifies nothing here."""
    wire = any_master.wire
    other = project({})
    other.name = "other"
    await wire.apply(other)
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=any_master.clock.now)
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
    told = await failure(hand_in(wire, documents.sign(CERTIFICATE, said, foreign._key)))
    assert told.reason == "DOCUMENT_OTHER_DEVICE"
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
async def test_the_device_is_asked_over_the_line(any_master: InProcess, tmp_path: Path) -> None:
    """In renewals and over the stream; what is asked is the same document that an operator could carry."""
    wire = any_master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=any_master.clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    hq, berlin = await opened(wire, "hq"), await opened(wire, "berlin")
    stream = wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=hq.name, epoch=hq.epoch))
    first = await stream.read()
    assert isinstance(first, lease_pb2.WatchLeaseResponse)
    assert not first.notices
    asked = moved(await release(wire, "ports"))
    told = await stream.read()
    assert isinstance(told, lease_pb2.WatchLeaseResponse)
    (notice,) = [one for one in told.notices if one.kind == lease_pb2.NOTICE_KIND_CERTIFY_RELEASE]
    assert list(notice.release_requests) == [asked.release.request]
    assert lease_pb2.NOTICE_KIND_CERTIFY_RELEASE not in [one.kind for one in (await berlin.renew()).notices]
    await certify(wire, key, notice.release_requests[0])
    quiet = await stream.read()
    assert isinstance(quiet, lease_pb2.WatchLeaseResponse)
    assert not quiet.notices
    stream.cancel()


# --- Devices that cannot sign any more --------------------------------------------------------------------------------


@pytest.mark.rule("L2")
async def test_a_dead_device_takes_two_operators_and_time(any_master: InProcess, tmp_path: Path) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=clock.now)
    await bind(wire, "hq-box", "ports")  # never enrolled: also then
    asked = moved(await release(wire, "ports", device_dead=True, caller="Anna Berg"))
    assert (asked.state, asked.release.device_dead, asked.release.approved_by) == (RELEASING, True, "")
    for same in ("Anna Berg", "anna berg", " Anna Berg "):
        refused = refusal(await approve(wire, "ports", caller=same))
        assert refused.problem == license_pb2.MOVE_PROBLEM_SAME_OPERATOR
        assert (await listed(wire))["ports"] == asked
    done = moved(await approve(wire, "ports", caller="Anna Maier"))
    assert (done.state, done.device, done.hold_end_time.seconds) == (
        COOLING_OFF,
        "",
        int(clock.now) + COOLING_OFF_SECONDS,
    )
    clock.advance(COOLING_OFF_SECONDS - 1)
    refused = refusal(await bind(wire, "berlin-box", "ports"))
    assert refused.problem == license_pb2.MOVE_PROBLEM_COOLING_OFF
    assert set(refused.rules) == {"L2", "L3"}
    clock.advance(2)
    assert (await listed(wire))["ports"].state == FREE
    assert moved(await bind(wire, "berlin-box", "ports")).state == BOUND
    assert not (await listed(wire))["ports"].HasField("hold_end_time")


@pytest.mark.rule("L2")
async def test_callers_without_a_name_are_one_operator(any_master: InProcess) -> None:
    wire = any_master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=any_master.clock.now)
    await bind(wire, "hq-box", "ports")
    await release(wire, "ports", device_dead=True)
    request = license_pb2.ApproveReleasesRequest(project=NAME, licenses=["ports"], request_id="a")
    refused = refusal(list((await wire.licenses.ApproveReleases(request)).results))
    assert refused.problem == license_pb2.MOVE_PROBLEM_SAME_OPERATOR
    refused = refusal(await release(wire, "ports"))
    assert (refused.problem, refused.remedy) == (
        license_pb2.MOVE_PROBLEM_RELEASE_UNDER_WAY,
        "have another operator than the one who asked approve that release, or cancel it first",
    )


@pytest.mark.rule("L2")
async def test_only_a_dead_device_is_given_up(any_master: InProcess, tmp_path: Path) -> None:
    leaving = await _leaving(any_master, tmp_path)
    wire = leaving.wire
    for results in (await approve(wire, "ports", caller="ben"), await approve(wire, "no-such", caller="ben")):
        assert refusal(results).problem in (
            license_pb2.MOVE_PROBLEM_NO_RELEASE_UNDER_WAY,
            license_pb2.MOVE_PROBLEM_UNKNOWN_LICENSE,
        )
    refused = refusal(await release(wire, "ports", device_dead=True))
    assert refused.problem == license_pb2.MOVE_PROBLEM_RELEASE_UNDER_WAY
    await cancel(wire, "ports")
    told = await failure(release(wire, "ports", device_dead=True, to_device="berlin-box"))
    assert [*told.fields] == ["to_device"]
    assert (await listed(wire))["ports"].state == BOUND


@pytest.mark.rule("L2")
async def test_a_late_certificate_ends_the_waiting(any_master: InProcess, tmp_path: Path) -> None:
    """The device was not dead after all; anybody else's word for it changes nothing."""
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=clock.now)
    hq, berlin = [await enrolled(wire, tmp_path, device) for device in ("hq-box", "berlin-box")]
    await bind(wire, "hq-box", "ports")
    asked = moved(await release(wire, "ports", device_dead=True, caller="anna"))
    await approve(wire, "ports", caller="ben")
    genuine = hq.certify(asked.release.request)
    said = document_pb2.SecurityCertificate.FromString(genuine.payload)
    before = await everything(wire)
    for forged in (
        documents.sign(CERTIFICATE, said, berlin._key),
        documents.sign(CERTIFICATE, _altered(said, device=berlin.device), berlin._key),
        documents.sign(CERTIFICATE, _altered(said, nonce=b"x" * 16), hq._key),
        documents.sign(CERTIFICATE, _altered(said, number=2), hq._key),
    ):
        assert (await failure(hand_in(wire, forged))).reason == "DOCUMENT_REPLAYED"
        assert await everything(wire) == before
    assert (await listed(wire))["ports"].state == COOLING_OFF
    assert (await hand_in(wire, genuine)).license.state == FREE
    assert moved(await bind(wire, "berlin-box", "ports")).state == BOUND


@pytest.mark.rule("L2")
async def test_a_device_said_to_be_dead_that_signs_needs_no_second_operator(
    any_master: InProcess, tmp_path: Path
) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=clock.now)
    hq = await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    await release(wire, "ports", device_dead=True, caller="anna")
    pbx = await opened(wire, "hq")  # it is back, and is asked
    (notice,) = [one for one in (await pbx.renew()).notices if one.kind == lease_pb2.NOTICE_KIND_CERTIFY_RELEASE]
    done = await certify(wire, hq, notice.release_requests[0])
    assert (done.license.state, done.license.HasField("hold_end_time")) == (FREE, False)
