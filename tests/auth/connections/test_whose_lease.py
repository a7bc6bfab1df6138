"""Every call under a lease, by everybody, while the lease is each one's: only who has it is served, under its epoch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, lease_pb2, license_pb2, status_pb2
from tests.auth.conftest import PBXS
from tests.auth.connections.test_mtls import denied
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.databases.truth import all_events
from tests.support.masters import InProcess, Wire
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, hand_in, imported, listed, release

CODE = grpc.StatusCode
BERLIN = "projects/acme/pbxs/berlin"
CALLERS = {
    "berlin": BERLIN,
    "spare": "projects/acme/pbxs/spare",
    "paris": "projects/acme/pbxs/paris",
    "globex": "projects/globex/pbxs/berlin",
    "viewer": "viewers/wall",
    "operator": "operators/anna",
    "otto": "projects/globex/operators/otto",
}
STRANGERS = {
    "paris": "NOT_YOUR_PBX",
    "globex": "NOT_YOUR_PBX",
    "viewer": "ROLE_FORBIDDEN",
    "operator": "ROLE_FORBIDDEN",
    "otto": "ROLE_FORBIDDEN",
}
METHODS = ("RenewLease", "AcquireSeats", "ReturnSeats", "SyncSeats", "WatchLease", "CloseLease")


@pytest.fixture
async def wires(secured: InProcess, pki: Pki) -> AsyncIterator[Mapping[str, Wire]]:
    """A connection of each caller's own."""
    foreign = project({"PBX-Port12": 5}, pbxs=PBXS)
    foreign.name = "globex"
    await secured.wire.apply(foreign)
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(shown_to(secured.wire.address, pki.certified_key(uri).credentials))
            for name, uri in CALLERS.items()
        }


async def call(wire: Wire, method: str, epoch: int) -> None:
    """One call under the lease of berlin."""
    pbx = BarePbx(wire, "berlin")
    pbx.epoch = epoch
    match method:
        case "RenewLease":
            await pbx.renew()
        case "AcquireSeats":
            await pbx.acquire(*seats("port", 3))
        case "ReturnSeats":
            await pbx.give_back(*seats("port", 1))
        case "SyncSeats":
            await pbx.sync(*seats("port", 2))
        case "CloseLease":
            await pbx.close()
        case _:
            stream = wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=BERLIN, epoch=epoch))
            await stream.read()
            stream.cancel()


async def walk(secured: InProcess, wires: Mapping[str, Wire], user: str, epoch: int, refused: str) -> None:
    """Every method by everybody, whatever the epoch; `refused` is told to the one of the pair who has not got it."""
    (other,) = {"berlin", "spare"} - {user}
    expected = {**STRANGERS, other: refused}
    await wires[user].leases.SyncSeats(lease_pb2.SyncSeatsRequest(pbx=BERLIN, epoch=epoch, seats=seats("port", 2)))
    for method in METHODS:
        for caller, reason in expected.items():
            for claimed in {max(epoch - 1, 1), epoch, epoch + 1}:
                seen = await failure(call(wires[caller], method, claimed))
                assert seen.reason == reason, (method, caller, claimed)
                assert str(epoch) not in seen.message.replace(f"epoch {claimed}:", ""), seen.message
    leases = await secured.wire.status.ListLeases(status_pb2.ListLeasesRequest(project="projects/acme"))
    assert {lease.pbx: lease.seats for lease in leases.leases if lease.seats} == {BERLIN: 2}
    for method in METHODS[:-1]:
        await call(wires[user], method, epoch)


async def take_over(wires: Mapping[str, Wire]) -> int:
    """The standby carries berlin's seats from now on; under which epoch."""
    own = await opened(wires["spare"], "spare")
    taken = await wires["spare"].leases.TakeOverLease(
        lease_pb2.TakeOverLeaseRequest(
            standby=own.name,
            standby_epoch=own.epoch,
            primary=BERLIN,
            instance_id=own.instance_id,
            request_id=str(uuid4()),
            software_version="12",
            force=True,
        )
    )
    assert taken.HasField("lease"), taken
    return taken.lease.epoch


@pytest.mark.rule("F5")
async def test_only_who_has_a_lease_uses_it(secured: InProcess, wires: Mapping[str, Wire]) -> None:
    primary = await opened(wires["berlin"], "berlin")
    await opened(wires["spare"], "spare")
    await walk(secured, wires, "berlin", primary.epoch, "LEASE_FENCED")
    carried = await take_over(wires)
    await walk(secured, wires, "spare", carried, "LEASE_CARRIED")
    await primary.open()
    await walk(secured, wires, "berlin", primary.epoch, "LEASE_FENCED")
    assert (await failure(call(wires["spare"], "RenewLease", carried))).reason == "LEASE_FENCED"
    await primary.close()
    for epoch in (carried, primary.epoch):
        assert (await failure(call(wires["spare"], "CloseLease", epoch))).reason == "LEASE_FENCED"
    await primary.close()  # a retry of its own


@pytest.mark.rule("F5")
async def test_who_tries_anothers_lease_is_counted_and_named_and_who_had_it_before_is_not(
    secured: InProcess, wires: Mapping[str, Wire]
) -> None:
    primary = await opened(wires["berlin"], "berlin")
    await opened(wires["spare"], "spare")
    with capture_logs() as logs:
        for method in METHODS:
            await failure(call(wires["spare"], method, primary.epoch))
    lines = [line for line in logs if line["event"] == "a caller was turned away"]
    assert [(line["reason"], line["method"].rpartition("/")[2]) for line in lines] == [
        ("NOT_YOUR_LEASE", method) for method in METHODS
    ]
    assert {line["caller"] for line in lines} == {f"license-master://{CALLERS['spare']}"}
    assert denied(secured, "NOT_YOUR_LEASE") == len(METHODS)
    with capture_logs() as logs:
        for _ in range(40):
            await failure(call(wires["spare"], "RenewLease", primary.epoch + 1))
    assert len([line for line in logs if line["event"] == "a caller was turned away"]) < 20
    assert denied(secured, "NOT_YOUR_LEASE") == len(METHODS) + 40
    carried = await take_over(wires)
    await failure(call(wires["berlin"], "RenewLease", primary.epoch))
    await primary.open()
    await failure(call(wires["spare"], "RenewLease", carried))
    assert denied(secured, "NOT_YOUR_LEASE") == len(METHODS) + 40


@pytest.mark.rule("F5")
async def test_who_carries_a_lease_may_close_it(secured: InProcess, wires: Mapping[str, Wire]) -> None:
    granted(await (await opened(wires["berlin"], "berlin")).acquire(*seats("port", 2)))
    carried = await take_over(wires)
    await call(wires["spare"], "CloseLease", carried)
    await call(wires["spare"], "CloseLease", carried)  # a retry
    assert (await failure(call(wires["berlin"], "CloseLease", carried))).reason == "LEASE_FENCED"


@pytest.mark.rule("F5")
async def test_nobody_makes_it_seem_that_another_used_the_seats(secured: InProcess, wires: Mapping[str, Wire]) -> None:
    primary = await opened(wires["berlin"], "berlin")
    granted(await primary.acquire(*seats("port", 2)))
    await take_over(wires)
    secured.clock.advance(181)  # longer than a renewal takes
    await failure(call(wires["spare"], "RenewLease", primary.epoch))
    assert not [event for event in await events(secured) if event == "standby.two_claims"]
    await failure(call(wires["berlin"], "RenewLease", primary.epoch))
    assert [event for event in await events(secured) if event == "standby.two_claims"]


async def events(secured: InProcess) -> list[str]:
    """The kinds of everything that happened."""
    return [event.kind for event in await all_events(secured.wire)]


@pytest.mark.rule("L2")
async def test_a_devices_documents_are_handed_in_by_its_own_pbx_or_an_operator(
    secured: InProcess, wires: Mapping[str, Wire], tmp_path: Path
) -> None:
    expected = {
        "paris": "DOCUMENT_OTHER_DEVICE",
        "spare": "DOCUMENT_OTHER_DEVICE",
        "globex": "NOT_YOUR_PBX",
        "otto": "NOT_YOUR_PROJECT",
        "viewer": "ROLE_FORBIDDEN",
    }
    key = await enrolled(secured.wire, tmp_path, "berlin-box")
    await imported(secured.wire, Vendor(), {"l-1": ("PBX-Port12", 3)}, now=secured.clock.now)
    await bind(secured.wire, "berlin-box", "l-1")
    key.accept_binding((await listed(secured.wire))["l-1"].signed_binding)
    (asked,) = await release(secured.wire, "l-1")
    certificate = key.certify(asked.moved.release.request)
    for caller, reason in expected.items():
        seen = await failure(hand_in(wires[caller], certificate))
        assert seen.reason == reason, caller
        seen = await failure(
            wires[caller].licenses.EnrollDevice(license_pb2.EnrollDeviceRequest(enrollment=key.enrollment("x")))
        )
        assert seen.reason == reason, caller
    assert (denied(secured, "NOT_YOUR_PBX"), denied(secured, "NOT_YOUR_PROJECT")) == (2, 2)
    answer = await hand_in(wires["berlin"], certificate)
    assert not answer.license.device


async def test_a_certificate_shows_nobody_whether_another_project_has_its_key(
    secured: InProcess, wires: Mapping[str, Wire], tmp_path: Path
) -> None:
    enrolled_key = (await enrolled(secured.wire, tmp_path, "berlin-box")).enrollment("x").key_id
    unknown = Ed25519PrivateKey.generate()
    for caller in ("otto", "globex"):
        for device, reason in {"globex": "DOCUMENT_UNKNOWN_KEY", "acme": "NOT_YOUR_P"}.items():
            terms = document_pb2.SecurityCertificate(device=f"projects/{device}/devices/berlin-box", license="l-1")
            certificate = documents.sign(document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE, terms, unknown)
            told = []
            for key_id in (certificate.key_id, enrolled_key):
                certificate.key_id = key_id
                seen = await failure(hand_in(wires[caller], certificate))
                told.append((seen.reason, seen.message.replace(key_id, "KEY")))
            assert told[0] == told[1]
            assert told[0][0].startswith(reason)
