"""Moves of licenses, whoever repeats them, whoever does something else at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import grpc

from licensemaster.v1 import license_pb2, project_pb2, status_pb2
from tests.rpc.failures import NAME, everything, failure
from tests.rules.asking import grant_all, used
from tests.support.databases.truth import all_events, mismatches
from tests.support.masters import Clock, InProcess, Wire, two_masters
from tests.support.pbxs.pbx import opened, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import (
    Vendor,
    bind,
    enrolled,
    hand_in,
    imported,
    item,
    listed,
    moved,
    release,
)

FREE, BOUND = license_pb2.LICENSE_STATE_FREE, license_pb2.LICENSE_STATE_BOUND
REVOKE, FORCE = license_pb2.IN_USE_REVOKE, license_pb2.IN_USE_FORCE
PORTS = {"ports": ("PBX-Port12", 10)}
TTL = 60


async def _twice(call: Callable[[], Awaitable[object]], wire: Wire) -> None:
    """The answer of a call was lost: sent again, it is answered alike and changes nothing more."""
    answer = await call()
    before = await everything(wire)
    assert await call() == answer
    assert await everything(wire) == before


async def test_every_move_can_be_repeated(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    await wire.apply(project({}))
    await imported(wire, Vendor(), {**PORTS, "other": ("PBX-Port12", 1)}, now=clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    both = ["ports", "no-such", "other"]
    stub, anna, ben = wire.licenses, (("caller", "anna"),), (("caller", "ben"),)

    binding = license_pb2.BindLicensesRequest(project=NAME, licenses=both, device="hq-box", request_id="b")
    await _twice(lambda: stub.BindLicenses(binding), wire)
    asking = license_pb2.ReleaseLicensesRequest(project=NAME, licenses=both, request_id="r")
    await _twice(lambda: stub.ReleaseLicenses(asking), wire)
    giving_up = license_pb2.CancelReleasesRequest(project=NAME, licenses=["ports", "no-such"], request_id="c")
    await _twice(lambda: stub.CancelReleases(giving_up), wire)
    certificate = key.certify((await listed(wire))["other"].release.request)
    await _twice(lambda: hand_in(wire, certificate), wire)
    dead = license_pb2.ReleaseLicensesRequest(project=NAME, licenses=["ports"], device_dead=True, request_id="d")
    await _twice(lambda: stub.ReleaseLicenses(dead, metadata=anna), wire)
    agreeing = license_pb2.ApproveReleasesRequest(project=NAME, licenses=both, request_id="a")
    await _twice(lambda: stub.ApproveReleases(agreeing, metadata=ben), wire)
    assert (await listed(wire))["ports"].state == license_pb2.LICENSE_STATE_COOLING_OFF


async def test_what_is_not_keyed_can_be_repeated_too(master: InProcess, tmp_path: Path) -> None:
    wire, clock, vendor = master.wire, master.clock, Vendor()
    await wire.apply(project({}))
    named = license_pb2.NamedVendorKey(public_key=vendor.public_key, display_name="vendor")
    await _twice(lambda: wire.licenses.TrustVendorKey(license_pb2.TrustVendorKeyRequest(project=NAME, key=named)), wire)
    file = vendor.issue(PORTS, now=clock.now)
    first = await wire.licenses.ImportLicenses(license_pb2.ImportLicensesRequest(project=NAME, file=file))
    before = await everything(wire)
    again = await wire.licenses.ImportLicenses(license_pb2.ImportLicensesRequest(project=NAME, file=file))
    assert (again.file, again.licenses, again.already_imported) == (first.file, first.licenses, True)
    assert await everything(wire) == before
    token = (
        await wire.licenses.CreateEnrollment(license_pb2.CreateEnrollmentRequest(device=f"{NAME}/devices/hq-box"))
    ).token
    assert token
    key = await enrolled(wire, tmp_path, "berlin-box")
    assert key.is_enrolled
    (trusted,) = (await wire.licenses.ListVendorKeys(license_pb2.ListVendorKeysRequest(project=NAME))).keys
    distrusting = license_pb2.DistrustVendorKeyRequest(project=NAME, key_id=trusted.key_id)
    await _twice(lambda: wire.licenses.DistrustVendorKey(distrusting), wire)


async def test_a_request_id_names_one_request(master: InProcess, tmp_path: Path) -> None:
    """Used for something else, it is refused: what was asked for is not done, and nobody is told that it was."""
    wire = master.wire
    await wire.projects.ApplyProject(project_pb2.ApplyProjectRequest(project=project({}), request_id="one"))
    await imported(wire, Vendor(), PORTS, now=master.clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    binding = license_pb2.BindLicensesRequest(project=NAME, licenses=["ports"], device="hq-box", request_id="one")
    seen = await failure(wire.licenses.BindLicenses(binding))
    assert (seen.code, seen.reason, [*seen.fields]) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_ID_TAKEN",
        ["request_id"],
    )
    binding.request_id = "two"
    await wire.licenses.BindLicenses(binding)
    for call in (
        wire.licenses.ReleaseLicenses(
            license_pb2.ReleaseLicensesRequest(project=NAME, licenses=["ports"], request_id="two")
        ),
        wire.projects.ApplyProject(
            project_pb2.ApplyProjectRequest(project=project({"PBX-Port12": 1}), request_id="two")
        ),
    ):
        assert (await failure(call)).reason == "REQUEST_ID_TAKEN"
    assert (await listed(wire))["ports"].state == BOUND
    assert await used(wire, "port") == (0, 10)


async def test_a_dry_run_tells_and_changes_nothing(master: InProcess, tmp_path: Path) -> None:
    """Whether or not its request id was used before."""
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), PORTS, now=master.clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    binding = license_pb2.BindLicensesRequest(project=NAME, licenses=["ports"], device="hq-box", request_id="b")
    before = await everything(wire)
    for request_id in ("b", ""):
        trying = license_pb2.BindLicensesRequest(
            project=NAME, licenses=["ports"], device="hq-box", request_id=request_id, dry_run=True
        )
        assert (await wire.licenses.BindLicenses(trying)).results[0].moved.state == BOUND
        assert await everything(wire) == before
    await wire.licenses.BindLicenses(binding)
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 10))
    before = await everything(wire)
    for in_use, outcome in ((license_pb2.IN_USE_REFUSE, "refused"), (REVOKE, "moved"), (FORCE, "moved")):
        trying_to_release = license_pb2.ReleaseLicensesRequest(
            project=NAME, licenses=["ports"], in_use=in_use, request_id="b", dry_run=True
        )
        (result,) = (await wire.licenses.ReleaseLicenses(trying_to_release)).results
        assert result.WhichOneof("outcome") == outcome
        assert result.seats_revoked == (0 if outcome == "refused" else 10)
        assert await everything(wire) == before
    assert (await berlin.renew()).notices == []


async def test_a_repeated_force_tells_the_risk_again(master: InProcess, tmp_path: Path) -> None:
    """Also where the seats had been revoked before, so that force only stops counting them."""
    wire, clock = master.wire, master.clock
    await wire.apply(project({}, ttl_seconds=TTL))
    await imported(wire, Vendor(), PORTS, now=clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    await grant_all(await opened(wire, "berlin"), *seats("port", 4))
    clock.advance(TTL + 1)
    (revoked,) = await release(wire, "ports", in_use=REVOKE)
    assert (revoked.seats_revoked, revoked.seats_at_risk) == (4, 0)
    forcing = license_pb2.ReleaseLicensesRequest(project=NAME, licenses=["ports"], in_use=FORCE, request_id="f")
    answers = [(await wire.licenses.ReleaseLicenses(forcing)).results[0] for _ in range(2)]
    assert [(answer.seats_revoked, answer.seats_at_risk) for answer in answers] == [(0, 4)] * 2
    assert await used(wire, "port") == (0, 10)


async def test_an_event_is_named_for_what_happened(master: InProcess) -> None:
    """Where nothing moved it says that, what was asked, and why not; a retry is answered alike all the same."""
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), PORTS, now=master.clock.now)
    await bind(wire, "hq-box", "ports")
    asking = license_pb2.ApproveReleasesRequest(project=NAME, licenses=["ports"], request_id="a")
    await _twice(lambda: wire.licenses.ApproveReleases(asking), wire)
    listed_events = await wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, page_size=100))
    (noted,) = [event for event in listed_events.events if event.request_id == "a"]
    assert noted.kind == "licenses.move_refused"
    details = json.loads(noted.details)
    assert details["asked"] == "licenses.release_approved"
    (result,) = details["results"]
    assert (result["license"], result["refused"]["problem"]) == ("ports", "NO_RELEASE_UNDER_WAY")
    other = license_pb2.CancelReleasesRequest(project=NAME, licenses=["ports"], request_id="a")
    assert (await failure(wire.licenses.CancelReleases(other))).reason == "REQUEST_ID_TAKEN"


async def test_a_retry_is_answered_alike_whatever_became_of_its_license(master: InProcess) -> None:
    """It was bound, given up, converted since: the answer says what the request did, not how things stand."""
    wire, clock, vendor = master.wire, master.clock, Vendor()
    await wire.apply(project({}))
    await imported(wire, vendor, PORTS, now=clock.now)
    binding = license_pb2.BindLicensesRequest(project=NAME, licenses=["ports"], device="hq-box", request_id="b")
    first = await wire.licenses.BindLicenses(binding)
    await release(wire, "ports", device_dead=True, caller="anna")
    request = license_pb2.ApproveReleasesRequest(project=NAME, licenses=["ports"], request_id="a")
    await wire.licenses.ApproveReleases(request, metadata=(("caller", "ben"),))
    await imported(wire, vendor, {"new": item("new", "PBX-Port13", 10, replaces="ports")}, now=clock.now)
    assert (await wire.licenses.BindLicenses(binding)) == first


async def test_a_lost_answer_to_a_certificate_that_rebinds(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), PORTS, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    asked = moved(await release(wire, "ports", to_device="berlin-box"))
    certificate = key.certify(asked.release.request)
    await _twice(lambda: hand_in(wire, certificate), wire)
    status = (await listed(wire))["ports"]
    assert (status.device, status.state, status.binding) == ("berlin-box", BOUND, 2)


async def test_applies_and_moves_of_several_masters_do_not_wait_for_each_other_in_a_circle(
    postgresql_database_url: str, clock: Clock
) -> None:
    async with two_masters(postgresql_database_url, clock) as (first, other):
        await first.wire.apply(project({}))
        names = [f"l-{number}" for number in range(8)]
        await imported(first.wire, Vendor(), dict.fromkeys(names, ("PBX-Port12", 1)), now=clock.now)
        for round_ in range(4):
            applies = [first.wire.apply(project({"PBX-Port12": 10 * round_ + number + 1})) for number in range(4)]
            binds = [bind(other.wire, "hq-box", names[2 * round_ + number]) for number in range(2)]
            await asyncio.gather(*applies, *binds)  # a circle would end as UNAVAILABLE, STORAGE_LOCKED
        assert {license.state for license in (await listed(first.wire)).values() if license.license in names} == {BOUND}
        assert await mismatches(postgresql_database_url) == []


async def test_two_masters_move_one_license_once(postgresql_database_url: str, clock: Clock, tmp_path: Path) -> None:
    async with two_masters(postgresql_database_url, clock) as (first, other):
        await first.wire.apply(project({}))
        await imported(first.wire, Vendor(), PORTS, now=clock.now)
        keys = {device: await enrolled(first.wire, tmp_path, device) for device in ("hq-box", "berlin-box")}
        bound = await asyncio.gather(bind(first.wire, "hq-box", "ports"), bind(other.wire, "berlin-box", "ports"))
        assert sorted(result.WhichOneof("outcome") or "" for (result,) in bound) == ["moved", "refused"]
        device = (await listed(other.wire))["ports"].device
        asked = moved(await release(other.wire, "ports"))
        certificate = keys[device].certify(asked.release.request)
        done = await asyncio.gather(*(hand_in(master.wire, certificate) for master in (first, other) for _ in range(2)))
        assert {answer.license.state for answer in done} == {FREE}
        assert len(await all_events(first.wire, "license.released")) == 1
        request = license_pb2.BindLicensesRequest(
            project=NAME, licenses=["ports"], device="hq-box", request_id=str(uuid4())
        )
        answers = await asyncio.gather(
            *(_result(master.wire.licenses.BindLicenses(request)) for master in (first, other))
        )
        assert answers[0] == answers[1]
        assert (await listed(first.wire))["ports"].binding == 2


async def _result(call: Awaitable[license_pb2.BindLicensesResponse]) -> license_pb2.BindLicensesResponse:
    return await call


async def test_the_steps_of_a_refusal_are_told_to_a_retry_as_well(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), {"cheap": ("PBX-Port12%500", 10)}, now=master.clock.now)
    binding = license_pb2.BindLicensesRequest(project=NAME, licenses=["cheap"], device="hq-box", request_id="b")
    answer = await wire.licenses.BindLicenses(binding)
    assert answer.results[0].refused.ways[0].steps
    await _twice(lambda: wire.licenses.BindLicenses(binding), wire)
