"""Whatever is sent as a document, or in its fields, gets a clear answer: never INTERNAL, and nothing changes.

The normal run takes a few hundred examples; TESTS_LONG=1 thousands.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.signing.documents import DocumentError, from_text, to_text
from licensemaster.v1 import document_pb2, license_pb2
from master.store.upkeep import schema
from tests.rpc.failures import NAME, everything, seen
from tests.support.databases.postgres import PostgresServer
from tests.support.limits import LONG
from tests.support.loop import Loop
from tests.support.masters import PROJECT, sqlite_url
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release

pytestmark = pytest.mark.timeout(3600)
FUZZ = settings(max_examples=3000 if LONG else 100)
EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
}

# --- Files ------------------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters(exclude_categories=()), max_size=40)  # lone surrogates too: JSON can write them
json_document = st.fixed_dictionaries(
    {},
    optional={
        "kind": anything | st.sampled_from(["DOCUMENT_KIND_BINDING", 5, 99, -1, 2**40]),
        "payload": anything | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
        "signature": anything | texts,
        "keyId": anything | texts,
        "more": anything,
    },
)


@FUZZ
@given(st.text() | st.binary() | json_document.map(json.dumps) | anything.map(json.dumps))
@example('{"keyId": "\\ud800"}')
@example('{"payload": "a"}')
@example('{"kind": 1e400}')
@example('{"kind": NaN}')
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example(b"\xff\xfe{")
@example("1" * 10_000)
def test_a_file_is_a_document_or_is_refused(text: str | bytes) -> None:
    try:
        document = from_text(text)
    except DocumentError:
        return
    assert from_text(to_text(document)) == document


def test_a_file_that_is_too_long() -> None:
    with pytest.raises(DocumentError, match="longer"):
        from_text(" " * (2 * documents.PAYLOAD_BYTES_MAX + 1))


# --- Signed payloads --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A master with all that documents can be about, and keys that it knows."""

    loop: Loop
    vendor: Vendor
    device: DeviceKey
    asked: document_pb2.ReleaseRequest

    def send(self, *calls: tuple[Any, Message]) -> None:
        """Each method may do what its request says, or is refused; anything else is a defect."""

        async def sent() -> None:
            for method, request in calls:
                try:
                    await method(request)
                except grpc.aio.AioRpcError as error:
                    failed = seen(error)
                    assert failed.code in EXPECTED, (failed.code, failed.reason, failed.message)

        self.loop.run(sent())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[Target]:
    """One master for all, on each kind of database."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    url = sqlite_url(folder) if request.param == "sqlite" else asyncio.run(postgres.new_database())
    schema.upgrade(url, schema.IfAbsent.CREATE)
    with Loop(url) as loop:
        yield loop.run(_prepared(loop, folder))


async def _prepared(loop: Loop, folder: Path) -> Target:
    wire, vendor = loop.master.wire, Vendor()
    await wire.apply(project({"PBX-Port12": 5}))
    licenses = {"free": ("PBX-Port12", 1), "bound": ("PBX-Port12", 1), "leaving": ("PBX-Port12", 1)}
    await imported(wire, vendor, licenses, now=loop.master.clock.now)
    device = await enrolled(wire, folder, "hq-box")
    await bind(wire, "hq-box", "bound", "leaving")
    (result,) = await release(wire, "leaving")
    asked = document_pb2.ReleaseRequest.FromString(result.moved.release.request.payload)
    return Target(loop, vendor, device, asked)


short = st.text(max_size=12) | st.sampled_from(
    ["\0", "a" * 300, "free", "bound", "acme", PROJECT, f"{NAME}/devices/hq-box"]
)
numbers = st.integers(-(2**63), 2**63 - 1)
timestamps = st.builds(Timestamp, seconds=numbers, nanos=st.integers(-(2**31), 2**31 - 1))
items = st.builds(
    document_pb2.LicenseItem,
    id=short | st.sampled_from(["new-1", "new-2"]),
    type=short | st.sampled_from(["PBX-Port12", "PBX-Port 12%500", "Relay BRIs", "PBX-Port" + "9" * 500]),
    quantity=numbers | st.integers(1, 5),
    replaces=short,
    agreement_end_time=st.none() | timestamps,
)
files = st.builds(
    document_pb2.LicenseFile,
    id=short,
    catalog=st.just("innovaphone") | short,
    project=st.just(PROJECT) | short,
    issue_time=st.just(Timestamp(seconds=1_700_000_000)) | timestamps,
    expire_time=st.just(Timestamp(seconds=1_900_000_000)) | timestamps,
    licenses=st.lists(items, max_size=3),
)
PAYLOADS: dict[document_pb2.DocumentKind.ValueType, st.SearchStrategy[Message]] = {
    document_pb2.DOCUMENT_KIND_LICENSE_FILE: files,
    document_pb2.DOCUMENT_KIND_VENDOR_KEY: st.builds(
        document_pb2.VendorKey,
        public_key=st.binary(max_size=40) | st.binary(min_size=32, max_size=32),
        display_name=short,
        retire_previous_time=st.none() | timestamps,
    ),
    document_pb2.DOCUMENT_KIND_ENROLLMENT: st.builds(
        document_pb2.Enrollment, device=short, token=short, public_key=st.binary(max_size=40)
    ),
    document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE: st.builds(
        document_pb2.SecurityCertificate,
        device=short,
        license=st.just("leaving") | short,
        number=numbers | st.just(1),
        nonce=st.binary(max_size=20),
    ),
}


def _hand_in(target: Target, kind: document_pb2.DocumentKind.ValueType, payload: bytes) -> None:
    """To everybody who takes documents, signed by each key that is known."""
    stub = target.loop.master.wire.licenses
    for key in (target.vendor.key, target.device._key):
        document = documents.sealed(kind, payload, key)
        target.send(
            (stub.ImportLicenses, license_pb2.ImportLicensesRequest(project=NAME, file=document)),
            (stub.TrustVendorKey, license_pb2.TrustVendorKeyRequest(project=NAME, introduction=document)),
            (stub.EnrollDevice, license_pb2.EnrollDeviceRequest(enrollment=document)),
            (stub.SubmitCertificate, license_pb2.SubmitCertificateRequest(certificate=document)),
        )


@pytest.mark.parametrize("kind", PAYLOADS, ids=document_pb2.DocumentKind.Name)
def test_garbage_with_a_genuine_signature_changes_nothing(
    target: Target, kind: document_pb2.DocumentKind.ValueType
) -> None:
    before = target.loop.run(everything(target.loop.master.wire))

    @settings(FUZZ, max_examples=1000 if LONG else 25)
    @given(payload=st.binary(max_size=60))
    def garbage(payload: bytes) -> None:
        _hand_in(target, kind, payload)

    garbage()
    assert target.loop.run(everything(target.loop.master.wire)) == before


@pytest.mark.parametrize("kind", PAYLOADS, ids=document_pb2.DocumentKind.Name)
def test_any_content_with_a_genuine_signature_is_answered(
    target: Target, kind: document_pb2.DocumentKind.ValueType
) -> None:
    """What makes sense by chance may be done; the bound licenses and their device are not touched by it."""

    @settings(FUZZ, max_examples=2000 if LONG else 40)
    @given(payload=PAYLOADS[kind])
    def any_content(payload: Message) -> None:
        _hand_in(target, kind, payload.SerializeToString())

    any_content()
    device = target.loop.run(_devices(target))["hq-box"]
    assert (device.licenses, device.key_id) == (3, documents.key_id_of(target.device.public_key))


async def _devices(target: Target) -> dict[str, license_pb2.DeviceKey]:
    request = license_pb2.ListDevicesRequest(project=NAME)
    return {device.device: device for device in (await target.loop.master.wire.licenses.ListDevices(request)).devices}


# --- Fields of requests -----------------------------------------------------------------------------------------------

envelopes = st.builds(
    document_pb2.SignedDocument,
    kind=st.integers(0, 12),
    payload=st.binary(max_size=30),
    signature=st.binary(max_size=70),
    key_id=short,
)
projects = st.just(NAME) | short
REQUESTS: dict[str, st.SearchStrategy[Message]] = {
    "ImportLicenses": st.builds(license_pb2.ImportLicensesRequest, project=projects, file=envelopes, reason=short),
    "ListLicenses": st.builds(
        license_pb2.ListLicensesRequest,
        project=projects,
        device=short,
        license_type=short,
        state=st.integers(0, 9),
        page_size=st.integers(-(2**31), 2**31 - 1),
        page_token=short,
    ),
    "BindLicenses": st.builds(
        license_pb2.BindLicensesRequest,
        project=projects,
        licenses=st.lists(short, max_size=3),
        device=short,
        dry_run=st.booleans(),
        reason=short,
        request_id=short,
    ),
    "ReleaseLicenses": st.builds(
        license_pb2.ReleaseLicensesRequest,
        project=projects,
        licenses=st.lists(short, max_size=3),
        in_use=st.integers(0, 9),
        to_device=short,
        device_dead=st.booleans(),
        dry_run=st.booleans(),
        reason=short,
        request_id=short,
    ),
    "CancelReleases": st.builds(
        license_pb2.CancelReleasesRequest, project=projects, licenses=st.lists(short, max_size=3), request_id=short
    ),
    "ApproveReleases": st.builds(
        license_pb2.ApproveReleasesRequest, project=projects, licenses=st.lists(short, max_size=3), request_id=short
    ),
    "SubmitCertificate": st.builds(license_pb2.SubmitCertificateRequest, certificate=envelopes),
    "TrustVendorKey": st.builds(
        license_pb2.TrustVendorKeyRequest,
        project=projects,
        key=st.none() | st.builds(license_pb2.NamedVendorKey, public_key=st.binary(max_size=40), display_name=short),
        reason=short,
    ),
    "DistrustVendorKey": st.builds(license_pb2.DistrustVendorKeyRequest, project=projects, key_id=short, reason=short),
    "ListVendorKeys": st.builds(license_pb2.ListVendorKeysRequest, project=projects),
    "CreateEnrollment": st.builds(license_pb2.CreateEnrollmentRequest, device=short, reason=short),
    "EnrollDevice": st.builds(license_pb2.EnrollDeviceRequest, enrollment=envelopes),
    "ListDevices": st.builds(license_pb2.ListDevicesRequest, project=projects),
}


def test_every_rpc_is_fuzzed() -> None:
    methods = license_pb2.DESCRIPTOR.services_by_name["LicenseService"].methods
    assert {method.name for method in methods} == set(REQUESTS)


def test_any_field_of_any_request_is_answered(target: Target) -> None:
    stub: Any = target.loop.master.wire.licenses

    @settings(FUZZ, max_examples=5000 if LONG else 250)
    @given(data=st.data(), method=st.sampled_from(sorted(REQUESTS)))
    def any_field(data: st.DataObject, method: str) -> None:
        request = data.draw(REQUESTS[method])
        target.send((getattr(stub, method), request))

    any_field()
