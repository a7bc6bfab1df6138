"""Rule L5: what is released takes along what depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import seat_pb2
from tests.rules.asking import CHANNEL, PBX, Reason, grant_all, held, holdings, refuse, used
from tests.support.licenses.used_licenses import FREE, REVOKE, estate_of, names, released, seats_told
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened, seat
from tests.support.projects.signed_documents import certify, release


@pytest.mark.rule("L5", "H2", "H3", "H4")
async def test_a_revoked_whole_takes_its_parts_along(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    key = await estate_of(master, tmp_path, {"ucs": ("PBX UC12", 3)})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *(seat(kind, "anna") for kind in ("uc", "mypbx", "video")))
    (result,) = await release(wire, "ucs", in_use=REVOKE)
    assert result.seats_revoked == 1
    taken = await seats_told(berlin)
    assert names(taken) == {("uc", "anna"), ("mypbx", "anna"), ("video", "anna")}
    await certify(wire, key, result.moved.release.request)
    await berlin.give_back(*taken)
    assert (await released(master, "ucs")).state == FREE
    assert await holdings(wire) == []


@pytest.mark.rule("L5", "H4", "H5")
async def test_a_revoked_mypbx_takes_video_along(master: InProcess, tmp_path: Path) -> None:
    """The PBX may not keep Video alone; what it must not return yet stays revoked."""
    wire = master.wire
    key = await estate_of(master, tmp_path, {"mypbxs": ("PBX-myPBX12", 3)}, {"PBX Video12": 3})
    berlin = await opened(wire, "berlin")
    mypbx, video = seat("mypbx", "anna"), seat("video", "anna")
    await grant_all(berlin, mypbx, video)
    (result,) = await release(wire, "mypbxs", in_use=REVOKE)
    await certify(wire, key, result.moved.release.request)
    assert names(await seats_told(berlin)) == {("mypbx", "anna"), ("video", "anna")}

    (kept,) = await berlin.give_back(mypbx)
    assert kept.HasField("refused")  # H5: Video needs it
    assert names(await seats_told(berlin)) == {("mypbx", "anna"), ("video", "anna")}
    synced = await berlin.sync(video)
    assert [kept_seat.seat.license_type for kept_seat in synced.kept] == ["mypbx"]
    assert names(await seats_told(berlin)) == {("mypbx", "anna"), ("video", "anna")}
    assert (await refuse(berlin, mypbx)).reason == Reason.REFUSAL_REASON_REVOKED

    await berlin.give_back(mypbx, video)
    assert await seats_told(berlin) == []
    assert (await released(master, "mypbxs")).state == FREE
    assert await used(wire, "video") == (0, 3)


@pytest.mark.rule("L5", "K2")
async def test_a_revoked_recorder_takes_its_users_along(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    key = await estate_of(master, tmp_path, {"basic": ("PBX-Recording12", 1)}, {"PBX-Reporting12": 5})
    hq = await opened(wire, "hq")
    line = seat("reporting", "trunk-1", kind=seat_pb2.HOLDER_KIND_TRUNK)
    await grant_all(hq, seat("recording_basic", "recorder", kind=PBX), seat("reporting", "anna"), line)
    await grant_all(hq, seat("recording_user", "anna", line="trunk-1"))
    (result,) = await release(wire, "basic", in_use=REVOKE)
    taken = await seats_told(hq)
    assert names(taken) == {("recording_basic", "recorder"), ("recording_user", "anna")}
    await certify(wire, key, result.moved.release.request)
    await hq.give_back(*taken)
    assert (await released(master, "basic")).state == FREE
    assert await held(wire, hq) == {("reporting", "anna"), ("reporting", "trunk-1")}


@pytest.mark.rule("L5", "J2")
async def test_a_revoked_port_leaves_the_channel_that_is_in_use(master: InProcess, tmp_path: Path) -> None:
    """What a floating seat needed is asked when it is acquired, not afterwards."""
    wire = master.wire
    await estate_of(master, tmp_path, {"ports": ("PBX-Port12", 1)}, {"PBX-WebRTC12": 1, "PBX-myPBX12": 1})
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, seat("port", "anna"), seat("mypbx", "anna"))
    await grant_all(berlin, seat("webrtc", "call-1", kind=CHANNEL, user="anna"))
    await release(wire, "ports", in_use=REVOKE)
    assert names(await seats_told(berlin)) == {("port", "anna")}
