"""The largest that anybody asks for in earnest: ten thousand sites applied, a hundred thousand seats planned.

None waits for it: leases are renewed meanwhile. How long it takes is in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import perf_counter

from licensemaster.v1 import lease_pb2, plan_pb2, project_pb2
from tests.rpc.failures import failure
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, opened, seats
from tests.support.projects.estates import project
from tests.support.projects.plans import plan, upgrade

SITES, SEATS, SEATS_AT_ONCE = 10_000, 100_000, 10_000


def _sites(count: int) -> project_pb2.Project:
    """A license master, and so many sites, each with a PBX that has a license of its own."""
    estate = project({"PBX-Port12": SEATS}, pbxs={})
    for number in range(count):
        estate.sites.add(name=f"site-{number}", display_name=f"Site {number}")
        estate.devices.add(name=f"box-{number}", platform="gateway", model="IP411")
        estate.pbxs.add(
            name=f"pbx-{number}",
            site=f"site-{number}",
            device=f"box-{number}",
            role=project_pb2.PBX_ROLE_SLAVE,
            software_version="12r1",
        )
        estate.licenses.add(id=f"ports-{number}", type="PBX-Port12", quantity=10, device=f"box-{number}")
    return estate


async def _renewing(pbx: BarePbx, until: Awaitable[object], what: str) -> None:
    """Renew again and again until something is done, and print how long that and the slowest renewal took."""
    began, slowest, renewals = perf_counter(), 0.0, 0
    doing = asyncio.ensure_future(until)
    while not doing.done():
        at = perf_counter()
        await pbx.renew()
        slowest, renewals = max(slowest, perf_counter() - at), renewals + 1
        await asyncio.sleep(0.05)
    await doing
    print(f"{what}: {perf_counter() - began:.1f} s; the slowest of {renewals} renewals {slowest:.2f} s")


async def test_ten_thousand_sites_are_applied_while_leases_are_renewed(any_master: InProcess) -> None:
    wire, estate = any_master.wire, _sites(SITES)
    other = project({"PBX-Port12": 10})
    other.name = "other"
    await wire.apply(other)
    pbx = BarePbx(wire, "berlin")
    pbx.name = "projects/other/pbxs/berlin"
    await pbx.open()
    planning = asyncio.ensure_future(wire.apply(estate, dry_run=True))
    await _renewing(pbx, planning, "dry run")
    applying = asyncio.ensure_future(wire.apply(estate))
    await _renewing(pbx, applying, "apply")
    assert applying.result() == planning.result()
    assert len(applying.result().changes) == 4 * (SITES + 1) + 1
    estate.pbxs[1].software_version = "12r2"
    again = asyncio.ensure_future(wire.apply(estate))
    await _renewing(pbx, again, "apply of one change")
    assert [change.name for change in again.result().changes] == ["pbx-0"]
    bare_pbx = await opened(wire, f"pbx-{SITES - 1}")
    assert await bare_pbx.acquire(*seats("port", 10))
    removing = asyncio.ensure_future(wire.apply(_sites(10)))
    refused = await failure(removing)
    assert "it holds 10 seats" in str(refused.fields)
    await bare_pbx.close()
    removing = asyncio.ensure_future(wire.apply(_sites(10)))
    await _renewing(pbx, removing, "apply that removes them")
    stored = await wire.projects.GetProject(project_pb2.GetProjectRequest(name="projects/acme"))
    assert len(stored.project.sites) == 11


async def test_a_hundred_thousand_seats_are_planned_while_leases_are_renewed(any_master: InProcess) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": SEATS}, pbxs={"berlin": "slave 12 gateway", "paris": "slave 12 gateway"}))
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    for at in range(0, SEATS, SEATS_AT_ONCE):
        request = lease_pb2.AcquireSeatsRequest(
            pbx=berlin.name, epoch=berlin.epoch, seats=seats("port", SEATS_AT_ONCE, f"phone-{at}")
        )
        await wire.leases.AcquireSeats(request)
    planning: asyncio.Future[plan_pb2.PlanChangesResponse] = asyncio.ensure_future(plan(wire, upgrade("13")))
    await _renewing(paris, planning, "plan")
    ending = lease_pb2.EndLeaseRequest(pbx=berlin.name, reason="test", dry_run=True)
    would = asyncio.ensure_future(wire.leases.EndLease(ending))
    await _renewing(paris, would, "dry run of ending a lease")
    assert would.result().seats_returned == SEATS
