"""What the license service tells of moves: nothing signed of what did not happen, and how long silent PBXs count."""

from __future__ import annotations

from pathlib import Path

from licensemaster.v1 import license_pb2, status_pb2
from tests.rules.asking import grant_all
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import NAME, Vendor, bind, enrolled, imported, listed, release


async def test_a_dry_run_signs_nothing(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), {"ports": ("PBX-Port12", 10)}, now=master.clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    asked = license_pb2.BindLicensesRequest(project=NAME, licenses=["ports"], device="hq-box", dry_run=True)
    planned = (await wire.licenses.BindLicenses(asked)).results[0]
    assert planned.moved.state == license_pb2.LICENSE_STATE_BOUND
    assert not planned.HasField("binding")
    assert (await bind(wire, "hq-box", "ports"))[0].HasField("binding")
    leaving = license_pb2.ReleaseLicensesRequest(project=NAME, licenses=["ports"], dry_run=True)
    planned = (await wire.licenses.ReleaseLicenses(leaving)).results[0]
    assert planned.moved.state == license_pb2.LICENSE_STATE_RELEASING
    assert not planned.moved.release.HasField("request")
    assert (await release(wire, "ports"))[0].moved.release.HasField("request")


async def test_a_release_tells_until_when_what_cannot_be_reached_counts(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    await wire.apply(project({}))
    await imported(wire, Vendor(), {"ports": ("PBX-Port12", 10)}, now=clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 4))
    await release(wire, "ports", in_use=license_pb2.IN_USE_DRAIN)
    reachable = (await listed(wire))["ports"].release
    assert (reachable.seats_to_go, reachable.seats_unreachable) == (4, 0)
    assert not reachable.HasField("unreachable_end_time")
    clock.advance(3_600)
    silent = (await listed(wire))["ports"].release
    assert (silent.seats_to_go, silent.seats_unreachable) == (4, 4)
    leases = (await wire.status.ListLeases(status_pb2.ListLeasesRequest(project=NAME))).leases
    ends = next(lease.end_time for lease in leases if lease.pbx.endswith("/berlin"))
    assert silent.unreachable_end_time == ends
