"""Rule L2: a device that cannot sign any more, and what takes the place of its signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, lease_pb2, license_pb2
from tests.rpc.failures import NAME, everything, failure
from tests.support.licenses.leaving import (
    BOUND,
    CERTIFICATE,
    COOLING_OFF,
    FREE,
    LICENSES,
    RELEASING,
    altered,
    on_its_way,
)
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

COOLING_OFF_SECONDS = 604_800


# --- Devices that cannot sign any more --------------------------------------------------------------------------------


@pytest.mark.rule("L2")
async def test_a_dead_device_takes_two_operators_and_time(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
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
async def test_callers_without_a_name_are_one_operator(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=master.clock.now)
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
async def test_only_a_dead_device_is_given_up(master: InProcess, tmp_path: Path) -> None:
    leaving = await on_its_way(master, tmp_path)
    wire = leaving.wire
    for results in (await approve(wire, "ports", caller="ben"), await approve(wire, "no-such", caller="ben")):
        assert refusal(results).problem in (
            license_pb2.MOVE_PROBLEM_NO_RELEASE_UNDER_WAY,
            license_pb2.MOVE_PROBLEM_UNKNOWN_LICENSE,
        )
    refused = refusal(await release(wire, "ports", device_dead=True))
    assert refused.problem == license_pb2.MOVE_PROBLEM_RELEASE_UNDER_WAY
    await cancel(wire, "ports")
    failed = await failure(release(wire, "ports", device_dead=True, to_device="berlin-box"))
    assert [*failed.fields] == ["to_device"]
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
        documents.sign(CERTIFICATE, altered(said, device=berlin.device), berlin._key),
        documents.sign(CERTIFICATE, altered(said, nonce=b"x" * 16), hq._key),
        documents.sign(CERTIFICATE, altered(said, number=2), hq._key),
    ):
        assert (await failure(hand_in(wire, forged))).reason == "DOCUMENT_REPLAYED"
        assert await everything(wire) == before
    assert (await listed(wire))["ports"].state == COOLING_OFF
    assert (await hand_in(wire, genuine)).license.state == FREE
    assert moved(await bind(wire, "berlin-box", "ports")).state == BOUND


@pytest.mark.rule("L2")
async def test_a_device_said_to_be_dead_that_signs_needs_no_second_operator(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    await wire.apply(project({}))
    await imported(wire, Vendor(), LICENSES, now=clock.now)
    hq = await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    await release(wire, "ports", device_dead=True, caller="anna")
    pbx = await opened(wire, "hq")  # it is back, and is asked
    (notice,) = [each for each in (await pbx.renew()).notices if each.kind == lease_pb2.NOTICE_KIND_CERTIFY_RELEASE]
    done = await certify(wire, hq, notice.release_requests[0])
    assert (done.license.state, done.license.HasField("hold_end_time")) == (FREE, False)
