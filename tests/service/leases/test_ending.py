"""An operator ends the lease of a PBX that cannot do so itself, and deletes a project that is not used."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from licensemaster.v1 import audit_pb2, lease_pb2, license_pb2, project_pb2, status_pb2
from tests.rpc.failures import NAME, everything, failure
from tests.rules.asking import used
from tests.support.databases.truth import all_events, mismatches
from tests.support.masters import PROJECT, InProcess, Wire
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, standing_by
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, moved, release

TTL, GRACE = 60, 600


def _ending(pbx: BarePbx, *, request_id: str = "", dry_run: bool = False) -> lease_pb2.EndLeaseRequest:
    return lease_pb2.EndLeaseRequest(
        pbx=pbx.name, reason="the site is closed", request_id=request_id or str(uuid4()), dry_run=dry_run
    )


async def _silent_berlin(master: InProcess) -> BarePbx:
    """Berlin holds all ten ports and has been cut off."""
    await master.wire.apply(project({"PBX-Port12": 10}, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 10)))
    master.clock.advance(TTL + 1)
    return berlin


# --- leases end -------------------------------------------------------------------------------------------------------


async def test_the_seats_of_a_closed_site_are_free_at_once(master: InProcess, either_database_url: str) -> None:
    wire, clock = master.wire, master.clock
    berlin = await _silent_berlin(master)
    before = await everything(wire)
    would = await wire.leases.EndLease(_ending(berlin, dry_run=True))
    assert await everything(wire) == before
    assert (would.seats_at_risk, would.seats_returned, would.connected) == (10, 10, False)
    assert [(holding.license_type, holding.seats) for holding in would.at_risk] == [("port", 10)]
    assert would.risk_end_time.ToSeconds() == int(clock.now) - 1 + GRACE
    request = _ending(berlin)
    assert await wire.leases.EndLease(request) == would
    hq = await opened(wire, "hq")
    granted(await hq.acquire(*seats("port", 10)))
    assert await wire.leases.EndLease(request) == would, "a retry is answered alike, and takes nothing away"
    assert await used(wire, "port") == (10, 10)
    (event,) = await all_events(wire, "lease.ended")
    assert (event.reason, json.loads(event.details)["at_risk"]) == ("the site is closed", {"port": 10})
    assert (await failure(berlin.renew())).reason == "LEASE_CLOSED"
    assert (await berlin.open()).lease.epoch == would.epoch + 1, "alive after all, it begins anew"
    assert await mismatches(either_database_url) == []


async def test_a_pbx_that_is_alive_is_told_at_once(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 3)))
    request = lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch)
    stream = aiter(master.wire.leases.WatchLease(request))
    await anext(stream)
    ended = await master.wire.leases.EndLease(_ending(berlin))
    assert (ended.connected, ended.seats_at_risk) == (True, 3)
    (notice,) = (await anext(stream)).notices
    assert notice.kind == lease_pb2.NOTICE_KIND_CLOSED
    assert "by an operator" in notice.message


@pytest.mark.rule("F5")
async def test_what_a_standby_was_promised_ends_with_it(master: InProcess, either_database_url: str) -> None:
    wire = master.wire
    await wire.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 6)))
    spare = await standing_by(wire)
    await spare.renew()
    master.clock.advance(TTL + 1)
    await spare.renew()
    carried = await spare.take_over()
    await carried.give_back(*seats("port", 4))
    ended = await wire.leases.EndLease(_ending(berlin))
    assert (ended.seats_at_risk, ended.carried_by) == (6, spare.name), "two held, four more promised to berlin"
    assert await used(wire, "port") == (0, 10)
    assert (await failure(carried.renew())).reason == "LEASE_CLOSED"
    await spare.renew()
    assert spare.covered == {}, "the standby lease on the standby's disk is replaced by an empty one"
    await spare.renew()
    assert list(await spare.refused()) == ["NOTHING_TO_CARRY"]
    assert await used(wire, "port") == (0, 10)
    assert await mismatches(either_database_url) == []


async def test_what_cannot_be_ended(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 10}))
    berlin = BarePbx(wire, "berlin")
    assert (await failure(wire.leases.EndLease(_ending(berlin)))).reason == "NO_LEASE_TO_END"
    await berlin.open()
    for change, field in (({"reason": " "}, "reason"), ({"request_id": ""}, "request_id"), ({"pbx": "berlin"}, "pbx")):
        request = _ending(berlin)
        for name, value in change.items():
            setattr(request, name, value)
        assert list((await failure(wire.leases.EndLease(request))).fields) == [field]
    request = _ending(berlin)
    request.pbx = f"{NAME}/pbxs/nowhere"
    assert (await failure(wire.leases.EndLease(request))).reason == "UNKNOWN_PBX"
    await berlin.close()
    assert (await failure(wire.leases.EndLease(_ending(berlin)))).reason == "NO_LEASE_TO_END"
    assert await all_events(wire, "lease.ended") == []


async def test_a_project_file_without_the_pbx_names_the_operators_way(master: InProcess) -> None:
    berlin = await _silent_berlin(master)
    without = project({"PBX-Port12": 10}, pbxs={}, ttl_seconds=TTL, grace_seconds=GRACE)
    refused = await failure(master.wire.apply(without))
    assert "license-master leases end berlin" in refused.fields["pbxs"]
    await master.wire.leases.EndLease(_ending(berlin))
    assert (await master.wire.apply(without)).changes


# --- project delete ---------------------------------------------------------------------------------------------------


def _deletion(*, request_id: str = "", dry_run: bool = False, name: str = PROJECT) -> project_pb2.DeleteProjectRequest:
    return project_pb2.DeleteProjectRequest(
        name=f"projects/{name}", reason="mistyped", request_id=request_id or str(uuid4()), dry_run=dry_run
    )


async def _verified(wire: Wire) -> int:
    """How many events the project's chain has, all found right."""
    answer = await wire.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(project=NAME))
    assert not answer.HasField("defect"), answer
    return answer.events


async def test_a_project_applied_by_mistake_is_deleted_and_its_audit_stays(
    any_master: InProcess, database_url: str
) -> None:
    wire = any_master.wire
    estate = project({"PBX-Port12": 10, "Relay PRIs": 2, "PBX-Standby12": 10}, pbxs=PAIR)
    await wire.apply(estate)
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 2)))
    await berlin.close()
    before = await everything(wire)
    would = await wire.projects.DeleteProject(_deletion(dry_run=True))
    assert (would.pbxs, would.devices, would.licenses) == (4, 4, 3)
    assert await everything(wire) == before
    request = _deletion()
    assert await wire.projects.DeleteProject(request) == would
    assert await wire.projects.DeleteProject(request) == would, "a retry is answered alike"
    assert not (await wire.projects.ListProjects(project_pb2.ListProjectsRequest())).names
    for call in (
        wire.projects.GetProject(project_pb2.GetProjectRequest(name=NAME)),
        wire.status.GetStatus(status_pb2.GetStatusRequest(project=NAME)),
        wire.projects.DeleteProject(_deletion()),
    ):
        assert (await failure(call)).reason == "UNKNOWN_PROJECT"
    assert (await failure(berlin.open())).reason == "UNKNOWN_PBX"
    assert (await all_events(wire))[0].reason == "mistyped"
    assert await _verified(wire) == would.events
    await wire.apply(estate)
    assert (await berlin.open()).lease.epoch == 2, "no lease of before is ever current again"
    assert await _verified(wire) == would.events + 2, "one chain"
    assert await mismatches(database_url) == []


async def test_what_stands_in_the_way_of_deleting_is_named(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await wire.apply(project({}, pbxs={"berlin": "slave 12 gateway", "paris": "slave 12 gateway"}, grace_seconds=600))
    licenses = {"ports": ("PBX-Port12", 10), "free": ("PBX-Port12", 1)}
    await imported(wire, Vendor(), licenses, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    moved(await bind(wire, "hq-box", "ports"))
    berlin = await opened(wire, "berlin")
    before = await everything(wire)
    refused = await failure(wire.projects.DeleteProject(_deletion()))
    assert refused.reason == "PROJECT_IN_USE"
    assert list(refused.fields) == ["pbxs/berlin", "licenses/ports"]
    assert "license-master leases end berlin" in refused.fields["pbxs/berlin"]
    assert "license-master license release ports" in refused.fields["licenses/ports"]
    assert await everything(wire) == before
    await wire.leases.EndLease(_ending(berlin))
    asked = moved(await release(wire, "ports")).release.request
    await wire.licenses.SubmitCertificate(license_pb2.SubmitCertificateRequest(certificate=key.certify(asked)))
    assert (await wire.projects.DeleteProject(_deletion())).licenses == 2


async def test_no_release_is_proposed_of_what_never_leaves_its_device_or_leaves_it_already(
    master: InProcess, tmp_path: Path
) -> None:
    await master.wire.apply(project({}))
    licenses = {"bri": ("Relay BRIs", 2), "ports": ("PBX-Port12", 10)}
    await imported(master.wire, Vendor(), licenses, now=master.clock.now)
    await enrolled(master.wire, tmp_path, "hq-box")
    moved(await bind(master.wire, "hq-box", "bri"))
    moved(await bind(master.wire, "hq-box", "ports"))
    moved(await release(master.wire, "ports"))
    fields = (await failure(master.wire.projects.DeleteProject(_deletion()))).fields
    assert fields["licenses/bri"].endswith("nothing takes it off, so the project stays")
    waits = "`license-master license list --state releasing` says what its release waits for"
    assert fields["licenses/ports"].endswith(waits)
