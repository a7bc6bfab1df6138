"""Vendors' signed files: taken once, whole, for their project and their time; and the keys that sign them."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, license_pb2
from master.service.licenses import keys
from tests.rpc.failures import NAME, everything, failure
from tests.support.limits import LONG
from tests.support.loop import Loop
from tests.support.masters import PROJECT, InProcess, Wire
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, imported, item, listed, moment, trust

FILE, KEY = document_pb2.DOCUMENT_KIND_LICENSE_FILE, document_pb2.DOCUMENT_KIND_VENDOR_KEY
PORTS = {"ports": ("PBX-Port12", 10)}
DENIED, INVALID, FAILED = (
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
)
DAY = 86_400


async def _import(wire: Wire, file: document_pb2.SignedDocument) -> license_pb2.ImportLicensesResponse:
    return await wire.licenses.ImportLicenses(license_pb2.ImportLicensesRequest(project=NAME, file=file))


async def _refused(wire: Wire, file: document_pb2.SignedDocument, reason: str, code: grpc.StatusCode = FAILED) -> str:
    """A file changes nothing; why."""
    before = await everything(wire)
    failed = await failure(_import(wire, file))
    assert (failed.reason, failed.code) == (f"DOCUMENT_{reason}", code)
    assert await everything(wire) == before
    return failed.message


async def _introduce(
    wire: Wire, new: Vendor, by: Vendor, *, retire: float | None = None
) -> license_pb2.TrustVendorKeyResponse:
    said = document_pb2.VendorKey(public_key=new.public_key, display_name="the next one")
    if retire is not None:
        said.retire_previous_time.CopyFrom(moment(retire))
    request = license_pb2.TrustVendorKeyRequest(project=NAME, introduction=documents.sign(KEY, said, by.key))
    return await wire.licenses.TrustVendorKey(request)


async def _distrust(wire: Wire, vendor: Vendor) -> None:
    key_id = documents.key_id_of(vendor.public_key)
    await wire.licenses.DistrustVendorKey(license_pb2.DistrustVendorKeyRequest(project=NAME, key_id=key_id))


async def _with_project(master: InProcess) -> Wire:
    """An empty project."""
    await master.wire.apply(project({}))
    return master.wire


@pytest.fixture
async def wire(master: InProcess) -> Wire:
    """Of a master with an empty project, on SQLite: most files are refused by what they say."""
    return await _with_project(master)


async def test_a_genuine_file_is_imported_once(any_master: InProcess) -> None:
    wire = await _with_project(any_master)
    vendor, now = Vendor(), any_master.clock.now
    await trust(wire, vendor)
    file = vendor.issue({"ports": ("PBX-Port 12%500", 10), "relays": ("Relay BRIs", 1)}, now=now, file="f-1")
    first = await _import(wire, file)
    assert (first.file, first.already_imported) == ("f-1", False)
    assert [(license.license, license.type, license.quantity, license.origin) for license in first.licenses] == [
        ("ports", "PBX-Port 12%500", 10, license_pb2.LICENSE_ORIGIN_IMPORTED),
        ("relays", "Relay BRIs", 1, license_pb2.LICENSE_ORIGIN_IMPORTED),
    ]
    before = await everything(wire)
    any_master.clock.advance(2 * DAY)  # its time is over: what was imported in time stays
    again = await _import(wire, file)
    assert (again.already_imported, again.licenses) == (True, first.licenses)
    assert await everything(wire) == before


async def test_for_another_project_catalog_or_time(master: InProcess, wire: Wire) -> None:
    vendor, clock = Vendor(), master.clock
    await trust(wire, vendor)
    now = clock.now
    assert "'other'" in await _refused(wire, vendor.issue(PORTS, now=now, project="other"), "OTHER_PROJECT")
    assert "'allworx'" in await _refused(wire, vendor.issue(PORTS, now=now, catalog="allworx"), "OTHER_CATALOG")
    assert "clocks" in await _refused(wire, vendor.issue(PORTS, now=now + 1), "NOT_YET_VALID")
    await _refused(wire, vendor.issue(PORTS, now=now - DAY - 1), "EXPIRED")
    await _import(wire, vendor.issue(PORTS, now=now - DAY))  # to the second


async def test_the_same_number_with_other_content(master: InProcess) -> None:
    wire = await _with_project(master)
    vendor, now = Vendor(), master.clock.now
    await trust(wire, vendor)
    await _import(wire, vendor.issue(PORTS, now=now, file="f-1"))
    for licenses in ({"ports": ("PBX-Port12", 11)}, {"more": ("PBX-Port12", 10)}):
        assert "f-1" in await _refused(wire, vendor.issue(licenses, now=now, file="f-1"), "REPLAYED")
    assert "ports" in await _refused(wire, vendor.issue(PORTS, now=now, file="f-2"), "REPLAYED")


async def test_ids_do_not_clash_with_declared_ones(master: InProcess) -> None:
    wire = await _with_project(master)
    vendor, now = Vendor(), master.clock.now
    await wire.apply(project({"PBX-Port12": 5}))
    await trust(wire, vendor)
    failed = await _refused(wire, vendor.issue({"license-1": ("PBX-Port12", 1)}, now=now), "REPLAYED")
    assert "the project file" in failed


WRONG: dict[str, document_pb2.LicenseItem] = {
    "an unknown type": item("last", "PBX-Nothing12", 1),
    "a missing version": item("last", "PBX-Port", 1),
    "a version for hardware": item("last", "Relay BRIs12", 1),
    "a version below the type's first": item("last", "PBX-VoicemailUser9", 1),
    "a tier that does not exist": item("last", "PBX-Port12%7", 1),
    "no type": item("last", "", 1),
    "quantity zero": item("last", "PBX-Port12", 0),
    "a negative quantity": item("last", "PBX-Port12", -5),
    "too many": item("last", "PBX-Port12", 1_000_001),
    "the largest number": item("last", "PBX-Port12", 2**63 - 1),
    "no id": item("", "PBX-Port12", 1),
    "an id that is no name": item("Last One", "PBX-Port12", 1),
    "a long id": item("l" * 64, "PBX-Port12", 1),
    "an id with a zero byte": item("la\0st", "PBX-Port12", 1),
    "another project's path": item("../other/last", "PBX-Port12", 1),
    "an agreement before all time": document_pb2.LicenseItem(
        id="last", type="PBX-Port12", quantity=1, agreement_end_time=Timestamp(seconds=-1)
    ),
    "an agreement after all time": document_pb2.LicenseItem(
        id="last", type="PBX-Port12", quantity=1, agreement_end_time=Timestamp(seconds=2**60)
    ),
    "replacing what is not there": item("last", "PBX-Port12", 1, replaces="no-such"),
    "replacing itself": item("last", "PBX-Port12", 1, replaces="last"),
}


@pytest.mark.rule("I4", "L8")
async def test_nothing_of_a_file_is_imported_where_its_last_item_is_wrong(master: InProcess, wire: Wire) -> None:
    vendor, now = Vendor(), master.clock.now
    await trust(wire, vendor)
    for name, wrong in WRONG.items():
        file = vendor.issue({"first": ("PBX-Port12", 1), "last": wrong}, now=now, file="f-1")
        assert await _refused(wire, file, "CONTENT_INVALID", INVALID), name
    twice = document_pb2.LicenseFile.FromString(vendor.issue(PORTS, now=now, file="f-1").payload)
    twice.licenses.add().CopyFrom(twice.licenses[0])
    await _refused(wire, documents.sign(FILE, twice, vendor.key), "REPLAYED")
    assert await listed(wire) == {}
    await _import(wire, vendor.issue(PORTS, now=now, file="f-1"))  # the number was not used up


async def test_files_that_make_no_sense(master: InProcess, wire: Wire) -> None:
    vendor, now = Vendor(), master.clock.now
    await trust(wire, vendor)
    names = ["", "F 1", "f" * 64, "f\0"]
    for wrong in [
        *(document_pb2.LicenseFile(id=name, licenses=[item("a", "PBX-Port12", 1)]) for name in names),
        document_pb2.LicenseFile(id="f-1"),
        document_pb2.LicenseFile(id="f-1", licenses=[item(f"a-{n}", "PBX-Port12", 1) for n in range(1001)]),
        document_pb2.LicenseFile(id="f-1", issue_time=Timestamp(seconds=-5), licenses=[item("a", "PBX-Port12", 1)]),
    ]:
        said = document_pb2.LicenseFile(catalog="innovaphone", project=PROJECT, issue_time=moment(now))
        said.expire_time.CopyFrom(moment(now + DAY))
        said.MergeFrom(wrong)
        if wrong.HasField("issue_time"):
            said.issue_time.CopyFrom(wrong.issue_time)
        said.id = wrong.id
        await _refused(wire, documents.sign(FILE, said, vendor.key), "CONTENT_INVALID", INVALID)
    await _refused(wire, documents.sealed(FILE, b"\xff\xff\xff", vendor.key), "UNREADABLE", INVALID)
    await _refused(wire, documents.sealed(KEY, b"", vendor.key), "WRONG_KIND", INVALID)


async def test_forged_by_somebody_else(master: InProcess, wire: Wire) -> None:
    vendor, stranger, now = Vendor(), Vendor(), master.clock.now
    await trust(wire, vendor)
    forged = stranger.issue(PORTS, now=now)
    await _refused(wire, forged, "UNKNOWN_KEY", DENIED)
    forged.key_id = documents.key_id_of(vendor.public_key)
    await _refused(wire, forged, "BAD_SIGNATURE", DENIED)
    as_key = documents.sealed(KEY, vendor.issue(PORTS, now=now).payload, vendor.key)
    as_key.kind = FILE
    await _refused(wire, as_key, "BAD_SIGNATURE", DENIED)


FIELDS: dict[str, Callable[[document_pb2.LicenseFile], object]] = {
    "id": lambda file: setattr(file, "id", "f-2"),
    "catalog": lambda file: setattr(file, "catalog", "allworx"),
    "project": lambda file: setattr(file, "project", "other"),
    "issue_time": lambda file: setattr(file.issue_time, "seconds", file.issue_time.seconds - 1),
    "expire_time": lambda file: setattr(file.expire_time, "seconds", file.expire_time.seconds + 1),
    "item id": lambda file: setattr(file.licenses[0], "id", "mine"),
    "item type": lambda file: setattr(file.licenses[0], "type", "PBX-Port13"),
    "item quantity": lambda file: setattr(file.licenses[0], "quantity", 1000),
    "item replaces": lambda file: setattr(file.licenses[0], "replaces", "old"),
    "item agreement": lambda file: file.licenses[0].agreement_end_time.CopyFrom(moment(2e9)),
    "one more item": lambda file: file.licenses.add(id="more", type="PBX-Port12", quantity=1),
    "no items": lambda file: file.ClearField("licenses"),
}


async def test_any_field_altered(master: InProcess, wire: Wire) -> None:
    vendor, now = Vendor(), master.clock.now
    await trust(wire, vendor)
    right = vendor.issue(PORTS, now=now, file="f-1")
    for alter in FIELDS.values():
        said = document_pb2.LicenseFile.FromString(right.payload)
        alter(said)
        altered = document_pb2.SignedDocument()
        altered.CopyFrom(right)
        altered.payload = said.SerializeToString(deterministic=True)
        assert altered.payload != right.payload
        await _refused(wire, altered, "BAD_SIGNATURE", DENIED)
    await _import(wire, right)


@pytest.mark.timeout(3600)
def test_any_byte_altered(either_database_url: str) -> None:
    with Loop(either_database_url) as loop:
        wire, vendor, now = loop.master.wire, Vendor(), loop.master.clock.now
        loop.run(wire.apply(project({})))
        loop.run(trust(wire, vendor))
        right = vendor.issue(PORTS, now=now)
        before = loop.run(everything(wire))

        @settings(max_examples=2000 if LONG else 60)
        @given(envelope=st.booleans(), at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
        def altered(envelope: bool, at: int, byte: int, cut: bool) -> None:
            raw = bytearray(right.signature if envelope else right.payload)
            if cut:
                del raw[at % len(raw)]
            elif raw[at % len(raw)] == byte:
                return
            else:
                raw[at % len(raw)] = byte
            document = document_pb2.SignedDocument()
            document.CopyFrom(right)
            setattr(document, "signature" if envelope else "payload", bytes(raw))
            assert loop.run(failure(_import(wire, document))).reason == "DOCUMENT_BAD_SIGNATURE"

        altered()
        assert loop.run(everything(wire)) == before


# --- Vendors' keys ----------------------------------------------------------------------------------------------------


async def test_a_key_that_is_distrusted_issues_no_more(any_master: InProcess) -> None:
    wire = await _with_project(any_master)
    vendor, now = Vendor(), any_master.clock.now
    await imported(wire, vendor, PORTS, now=now)
    await _distrust(wire, vendor)
    await _refused(wire, vendor.issue({"more": ("PBX-Port12", 1)}, now=now), "KEY_DISTRUSTED", DENIED)
    assert [*await listed(wire)] == ["ports"]  # what was imported stays
    assert (await bind(wire, "hq-box", "ports"))[0].HasField("moved")
    assert (await failure(_introduce(wire, Vendor(), vendor))).reason == "DOCUMENT_KEY_DISTRUSTED"
    await trust(wire, vendor)  # an operator's word puts it right again
    await _import(wire, vendor.issue({"more": ("PBX-Port12", 1)}, now=now))


async def test_keys_follow_one_another(master: InProcess) -> None:
    """Each introduces the next; the one before issues until it is retired, and nothing that is dated later."""
    wire = await _with_project(master)
    clock = master.clock
    first, second, third = Vendor(), Vendor(), Vendor()
    await trust(wire, first)
    introduced = (await _introduce(wire, second, first, retire=clock.now + 10)).key
    assert introduced.introduced_by == documents.key_id_of(first.public_key)
    assert (await _introduce(wire, second, first, retire=clock.now + 10)).key == introduced
    await _import(wire, second.issue({"a": ("PBX-Port12", 1)}, now=clock.now))
    in_time = first.issue({"b": ("PBX-Port12", 1)}, now=clock.now + 10)
    too_late = first.issue({"c": ("PBX-Port12", 1)}, now=clock.now + 11)
    clock.advance(20)
    await _import(wire, in_time)
    await _refused(wire, too_late, "KEY_RETIRED", DENIED)
    assert (await failure(_introduce(wire, third, first))).reason == "DOCUMENT_KEY_RETIRED"
    await _introduce(wire, third, second)
    await _import(wire, third.issue({"d": ("PBX-Port12", 1)}, now=clock.now))
    keys = (await wire.licenses.ListVendorKeys(license_pb2.ListVendorKeysRequest(project=NAME))).keys
    assert {key.key_id for key in keys if key.HasField("retire_time")} == {documents.key_id_of(first.public_key)}
    await _distrust(wire, second)
    failed = await failure(_introduce(wire, second, third))  # only an operator can trust it again
    assert failed.reason == "DOCUMENT_KEY_DISTRUSTED"


async def test_strangers_introduce_nobody(master: InProcess, wire: Wire) -> None:
    vendor, stranger = Vendor(), Vendor()
    await trust(wire, vendor)
    before = await everything(wire)
    assert (await failure(_introduce(wire, stranger, stranger))).reason == "DOCUMENT_UNKNOWN_KEY"
    said = document_pb2.VendorKey(public_key=stranger.public_key)
    forged = documents.sign(KEY, said, stranger.key)
    forged.key_id = documents.key_id_of(vendor.public_key)
    file_as_key = documents.sealed(FILE, said.SerializeToString(), vendor.key)
    no_key = documents.sign(KEY, document_pb2.VendorKey(public_key=b"short"), vendor.key)
    for document, reason in (
        (forged, "DOCUMENT_BAD_SIGNATURE"),
        (file_as_key, "DOCUMENT_WRONG_KIND"),
        (no_key, "INVALID_ARGUMENT"),
        (documents.sealed(KEY, b"\xff", vendor.key), "DOCUMENT_UNREADABLE"),
    ):
        request = license_pb2.TrustVendorKeyRequest(project=NAME, introduction=document)
        assert (await failure(wire.licenses.TrustVendorKey(request))).reason == reason
    short = license_pb2.NamedVendorKey(public_key=b"short", display_name="x")
    failed = await failure(wire.licenses.TrustVendorKey(license_pb2.TrustVendorKeyRequest(project=NAME, key=short)))
    assert [*failed.fields] == ["key.public_key"]
    failed = await failure(wire.licenses.TrustVendorKey(license_pb2.TrustVendorKeyRequest(project=NAME)))
    assert [*failed.fields] == ["source"]
    unknown = license_pb2.DistrustVendorKeyRequest(project=NAME, key_id="0" * 16)
    assert (await failure(wire.licenses.DistrustVendorKey(unknown))).reason == "UNKNOWN_KEY"
    assert await everything(wire) == before


async def test_a_key_is_trusted_by_one_project_only(master: InProcess, wire: Wire) -> None:
    vendor, other = Vendor(), project({})
    other.name = "other"
    await wire.apply(other)
    key = license_pb2.NamedVendorKey(public_key=vendor.public_key)
    await wire.licenses.TrustVendorKey(license_pb2.TrustVendorKeyRequest(project="projects/other", key=key))
    await _refused(wire, vendor.issue(PORTS, now=master.clock.now), "UNKNOWN_KEY", DENIED)


async def test_a_project_trusts_a_bounded_number_of_keys(master: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "KEYS_MAX", 2)
    wire = master.wire
    await wire.apply(project({}))
    first, second, third = Vendor(), Vendor(), Vendor()
    await trust(wire, first)
    await trust(wire, second)
    assert (await failure(trust(wire, third))).reason == "TOO_MANY_KEYS"
    assert (await failure(_introduce(wire, third, by=first))).reason == "TOO_MANY_KEYS"
    await _distrust(wire, second)
    assert (await failure(trust(wire, third))).reason == "TOO_MANY_KEYS"
    await trust(wire, second)
