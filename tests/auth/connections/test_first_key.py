"""Rule L2: a device's first key, which comes while it has licenses already, frees them on nobody's single word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import document_pb2, license_pb2
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.masters import InProcess, Wire
from tests.support.projects.signed_documents import (
    Vendor,
    bind,
    certify,
    hand_in,
    imported,
    listed,
    moved,
    refusal,
    release,
)
from tests.support.projects.signed_documents import approve as approve_as

BOX = "projects/acme/devices/berlin-box"
FREE, RELEASING = license_pb2.LICENSE_STATE_FREE, license_pb2.LICENSE_STATE_RELEASING
COOLING_OFF = license_pb2.LICENSE_STATE_COOLING_OFF
WEEK = 604_800


@asynccontextmanager
async def by(secured: InProcess, pki: Pki, uri: str) -> AsyncIterator[Wire]:
    async with shown_to(secured.wire.address, pki.certified_key(uri).credentials) as wire:
        yield wire


async def approve(secured: InProcess, pki: Pki, who: str) -> list[license_pb2.MoveResult]:
    async with by(secured, pki, f"operators/{who}") as wire:
        return await approve_as(wire, "ports", caller=who)


async def enrol(secured: InProcess, pki: Pki, folder: Path, *, bringer: str) -> DeviceKey:
    """The token is anna's; who brings the key is another matter."""
    request = license_pb2.CreateEnrollmentRequest(device=BOX)
    token = (await secured.wire.licenses.CreateEnrollment(request)).token
    key = DeviceKey.create(folder / "box", device=BOX)
    async with by(secured, pki, bringer) as wire:
        enrollment = license_pb2.EnrollDeviceRequest(enrollment=key.enrollment(token))
        key.accept_answer((await wire.licenses.EnrollDevice(enrollment)).answer)
    return key


@pytest.fixture
async def bound(secured: InProcess) -> Wire:
    """anna's connection; `ports` is on berlin's box, which has no key."""
    await imported(secured.wire, Vendor(), {"ports": ("PBX-Port12", 3)}, now=secured.clock.now)
    moved(await bind(secured.wire, "berlin-box", "ports"))
    return secured.wire


async def asked_of(key: DeviceKey, wire: Wire, to_device: str = "") -> document_pb2.SignedDocument:
    """A release of `ports` that the key's device is to certify."""
    if (here := (await listed(wire))["ports"]).HasField("signed_binding"):
        key.accept_binding(here.signed_binding)
    return moved(await release(wire, "ports", to_device=to_device)).release.request


@pytest.mark.rule("L2")
async def test_one_operator_alone_frees_nothing_with_a_key_of_his_own(
    secured: InProcess, pki: Pki, tmp_path: Path, bound: Wire
) -> None:
    key = await enrol(secured, pki, tmp_path, bringer="operators/carl")
    certificate = key.certify(await asked_of(key, bound))
    license = (await hand_in(bound, certificate)).license
    assert (license.state, license.release.certified, license.release.awaits_approval) == (RELEASING, True, True)
    same = license_pb2.MOVE_PROBLEM_SAME_OPERATOR
    for who in ("anna", "carl"):  # who asked for it and made the token, and who brought the key
        assert refusal(await approve(secured, pki, who)).problem == same, who
    assert moved(await approve(secured, pki, "otto")).state == COOLING_OFF
    assert (await failure(hand_in(bound, certificate))).reason == "DOCUMENT_REPLAYED", "it ends no waiting"
    assert refusal(await bind(bound, "paris-box", "ports")).problem == license_pb2.MOVE_PROBLEM_COOLING_OFF
    secured.clock.advance(WEEK)
    moved(await bind(bound, "paris-box", "ports"))


@pytest.mark.rule("L2", "L6")
@pytest.mark.parametrize("approved_first", [True, False])
async def test_neither_does_it_move_on_at_once(
    secured: InProcess, pki: Pki, tmp_path: Path, bound: Wire, approved_first: bool
) -> None:
    key = await enrol(secured, pki, tmp_path, bringer="operators/anna")
    request = await asked_of(key, bound, to_device="paris-box")
    if approved_first:
        assert moved(await approve(secured, pki, "otto")).state == RELEASING
        assert (await certify(bound, key, request)).license.state == COOLING_OFF
    else:
        assert (await certify(bound, key, request)).license.state == RELEASING
        assert moved(await approve(secured, pki, "otto")).state == COOLING_OFF
    assert not (await listed(bound))["ports"].device


@pytest.mark.rule("L2")
async def test_a_key_that_its_own_pbx_brings_counts_at_once(
    secured: InProcess, pki: Pki, tmp_path: Path, bound: Wire
) -> None:
    key = await enrol(secured, pki, tmp_path, bringer="projects/acme/pbxs/berlin")
    assert (await certify(bound, key, await asked_of(key, bound))).license.state == FREE


@pytest.mark.rule("L2")
async def test_a_key_counts_for_what_is_bound_after_it_came(
    secured: InProcess, pki: Pki, tmp_path: Path, bound: Wire
) -> None:
    key = await enrol(secured, pki, tmp_path, bringer="operators/anna")
    await imported(bound, Vendor(), {"more": ("PBX-Port12", 3)}, now=secured.clock.now)
    moved(await bind(bound, "berlin-box", "more"))
    key.accept_binding((await listed(bound))["more"].signed_binding)
    request = moved(await release(bound, "more")).release.request
    assert (await certify(bound, key, request)).license.state == FREE
    assert refusal(await approve(secured, pki, "otto")).problem == license_pb2.MOVE_PROBLEM_NO_RELEASE_UNDER_WAY
