"""What a master takes in: no key that is nobody's, and no file for another because of what stands around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, license_pb2
from tests.cli import command
from tests.rpc.failures import everything, failure
from tests.support.masters import InProcess, Wire
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import NAME, Vendor, trust

NOBODYS = bytes(32)


async def _named(wire: Wire, vendor: Vendor) -> Any:
    key = license_pb2.NamedVendorKey(public_key=NOBODYS, display_name="forger")
    return await wire.licenses.TrustVendorKey(license_pb2.TrustVendorKeyRequest(project=NAME, key=key))


async def _introduced(wire: Wire, vendor: Vendor) -> Any:
    said = document_pb2.VendorKey(public_key=NOBODYS, display_name="next")
    introduction = documents.sign(document_pb2.DOCUMENT_KIND_VENDOR_KEY, said, vendor.key)
    return await wire.licenses.TrustVendorKey(
        license_pb2.TrustVendorKeyRequest(project=NAME, introduction=introduction)
    )


async def _enrolled(wire: Wire, vendor: Vendor) -> Any:
    said = document_pb2.Enrollment(device=f"{NAME}/devices/hq-box", token="t", public_key=NOBODYS)
    document = document_pb2.SignedDocument(
        kind=document_pb2.DOCUMENT_KIND_ENROLLMENT, payload=said.SerializeToString(), signature=bytes(64)
    )
    return await wire.licenses.EnrollDevice(license_pb2.EnrollDeviceRequest(enrollment=document))


@pytest.mark.rule("L2")
@pytest.mark.parametrize("bring", [_named, _introduced, _enrolled])
async def test_nobodys_key_is_taken_nowhere(master: InProcess, bring: Callable[[Wire, Vendor], Awaitable[Any]]) -> None:
    await master.wire.apply(project({}))
    vendor = Vendor()
    await trust(master.wire, vendor)
    before = await everything(master.wire)
    seen = await failure(bring(master.wire, vendor))
    assert (seen.reason, "nobody's key" in seen.message) == ("INVALID_ARGUMENT", True), seen
    assert "public_key" in seen.message
    assert await everything(master.wire) == before


@pytest.mark.parametrize("arguments", [("vendor", "trust"), ("audit", "verify", "FILE", "--key")])
async def test_nor_by_a_command(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "export").write_text("")
    named = [str(tmp_path / "export") if argument == "FILE" else argument for argument in arguments]
    done = await command.run(*named, NOBODYS.hex())
    assert done.code != 0
    assert "nobody's key" in " ".join(done.err.replace("│", " ").split()), done.err


@pytest.mark.parametrize("strays_first", [True, False])
async def test_what_stands_around_a_file_makes_it_no_other(master: InProcess, strays_first: bool) -> None:
    wire, now = master.wire, master.clock.now
    await wire.apply(project({}))
    vendor = Vendor()
    await trust(wire, vendor)
    genuine = vendor.issue({"ports": ("PBX-Port12", 10)}, now=now)
    stray = document_pb2.SignedDocument.FromString(genuine.SerializeToString() + b"\xfa\x3e\x01x")
    assert stray.SerializeToString() != genuine.SerializeToString()
    for at, file in enumerate((stray, genuine) if strays_first else (genuine, stray)):
        answer = await wire.licenses.ImportLicenses(license_pb2.ImportLicensesRequest(project=NAME, file=file))
        assert answer.already_imported == bool(at)
