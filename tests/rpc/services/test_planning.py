"""Plans change nothing, let others work meanwhile, and name what is wrong with a question."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from licensemaster.v1 import plan_pb2
from master.store.backends.database import Tx
from master.store.backends.opening import open_database
from master.store.tables.names import TABLES
from tests.rpc.failures import failure
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project
from tests.support.projects.plans import central, plan, pool, rebind, release, site, upgrade

Request = plan_pb2.PlanChangesRequest


async def everything_stored(database_url: str) -> dict[str, list[str]]:
    """Every row of every table."""

    def look(tx: Tx) -> dict[str, list[str]]:
        return {table: sorted(repr(tuple(row)) for row in tx.rows(f"SELECT * FROM {table}")) for table in TABLES}

    database = open_database(database_url)
    try:
        return await database.read(look)
    finally:
        await database.close()


async def test_a_plan_changes_nothing(any_master: InProcess, database_url: str) -> None:
    estate = {"PBX-Port12": 20, "PBX-Port13": (5, "berlin-box"), "PBX UC12": (3, ""), "PBX-Standby12": 20}
    await any_master.wire.apply(project(estate))  # type: ignore[arg-type]
    berlin, hq = await opened(any_master.wire, "berlin"), await opened(any_master.wire, "hq")
    granted(await berlin.acquire(*seats("port", 5)))
    granted(await hq.acquire(*seats("port", 12)))
    before = await everything_stored(database_url)
    assert {name for name, rows in before.items() if rows} >= {"pool", "seat", "lease", "event", "license"}
    for changes in (
        [upgrade("13")],
        [release("license-1", "license-2"), upgrade("13", "site-hq")],
        [rebind("license-1", to="berlin-box")],
        [rebind("license-3", to="hq-box"), central("berlin")],
        [site("paris", port=100, uc=5)],
    ):
        await plan(any_master.wire, *changes)
    assert await everything_stored(database_url) == before


async def test_others_are_served_while_a_large_estate_is_planned(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 12_000, "PBX-Port10": 3_000}))
    berlin, hq = await opened(any_master.wire, "berlin", "10"), await opened(any_master.wire, "hq", "10")
    granted(await berlin.acquire(*seats("port", 9_000)))
    planning = asyncio.ensure_future(plan(any_master.wire, upgrade("12"), site("paris", port=30_000)))
    served = 0
    while not planning.done():
        await hq.renew()
        served += not planning.done()
    response = await planning
    assert served > 0
    assert (pool(response, "port").used, pool(response, "port").wanted) == (9_000, 39_000)


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        (plan_pb2.PlannedChange(), "changes[0]", "must be one of upgrade, release, rebind, go_central, add_site"),
        (upgrade(""), "changes[0].upgrade.version", "'' is not a software version; write it like 12, 12r1"),
        (upgrade("12", "attic"), "changes[0].upgrade.site", "'attic' is no site with a PBX; there are site-berlin"),
        (release(), "changes[0].release.licenses", "0 are named; name 1 to 1,000"),
        (release("license-1", "gone"), "changes[0].release.licenses[1]", "'gone' is no license of project acme"),
        (release("a\0b"), "changes[0].release.licenses[0]", "must be 1 to 128 printable characters"),
        (rebind("license-1", to="attic"), "changes[0].rebind.device", "'attic' is no device of project acme; name one"),
        (rebind("license-1", to="spare"), "changes[0].rebind.device", "spare runs no PBX that licenses on it could"),
        (rebind("license-1", to=""), "changes[0].rebind.device", "must be 1 to 128 printable characters"),
        (central("rome"), "changes[0].go_central.pbx", "'rome' is no PBX of project acme"),
        (site("site-hq", port=1), "changes[0].add_site.name", "'site-hq' is taken by a site, PBX or device"),
        (site("spare", port=1), "changes[0].add_site.name", "'spare' is taken"),
        (site("x" * 64, port=1), "changes[0].add_site.name", "must be 1 to 63 characters"),
        (site("paris"), "changes[0].add_site.demand", "0 are named; name 1 to 100"),
        (site("paris", prot=1), "changes[0].add_site.demand['prot']", "'prot' is no license type; use one of"),
        (site("paris", ipva=1), "changes[0].add_site.demand['ipva']", "seats come along with others"),
        (site("paris", port=0), "changes[0].add_site.demand", "must be 1 to 100,000 seats in all"),
        (site("paris", port=100_001), "changes[0].add_site.demand", "must be 1 to 100,000 seats in all"),
        (site("paris", port=1, Port=1), "changes[0].add_site.demand['Port']", "named twice"),
        (site("paris", platform="cloud", port=1), "changes[0].add_site.platform", "'cloud' is no platform; use one of"),
        (site("paris", software="new", port=1), "changes[0].add_site.software_version", "is not a software version"),
    ],
)
async def test_what_is_wrong_is_named(master: InProcess, change: plan_pb2.PlannedChange, field: str, said: str) -> None:
    estate = project({"PBX-Port12": 20})
    estate.devices.add(name="spare", platform="gateway")
    await master.wire.apply(estate)
    seen = await failure(plan(master.wire, change))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert said in seen.fields[field]


async def test_how_many_changes_and_of_which_project(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 20}))
    for count in (0, 101):
        seen = await failure(plan(master.wire, *[upgrade("12")] * count))
        assert seen.fields == {"changes": f"{count} are named; name 1 to 100"}
    seen = await failure(master.wire.plans.PlanChanges(Request(project="projects/gone", changes=[upgrade("12")])))
    assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PROJECT")
    seen = await failure(master.wire.plans.PlanChanges(Request(project="gone", changes=[upgrade("12")])))
    assert (seen.code, list(seen.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["project"])
