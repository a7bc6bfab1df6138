"""The parts of a pool add up, and say what is reserved and what floats; sites have, want and would get their shares."""

from __future__ import annotations

from licensemaster.v1 import allocation_pb2, status_pb2
from master.metrics import EstateCollector
from tests.rules.asking import status
from tests.support.databases.truth import adds_up
from tests.support.masters import InProcess, Wire
from tests.support.pbxs.pbx import granted, opened, refused, seats
from tests.support.projects.allocations import Group, Policy, Rule, lay_down
from tests.support.projects.estates import project

SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway", "oslo": "slave 12 gateway"}


async def _ports(wire: Wire) -> status_pb2.Pool:
    (pool,) = (await status(wire)).pools
    assert adds_up(pool)
    return pool


async def test_what_is_reserved_is_no_part_of_what_is_free(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    assert not (await status(wire)).shares
    await lay_down(wire, Rule(name="keep", site="site-berlin", reserve={"port": 4}))
    pool = await _ports(wire)
    assert (pool.reserved_used, pool.floating_used, pool.reserved_idle, pool.free) == (0, 0, 4, 6)
    berlin, rome = await opened(wire, "berlin"), await opened(wire, "rome")
    granted(await rome.acquire(*seats("port", 2)))
    granted(await berlin.acquire(*seats("port", 3)))
    pool = await _ports(wire)
    assert (pool.used, pool.reserved_used, pool.floating_used, pool.reserved_idle, pool.free) == (5, 3, 2, 1, 4)
    granted(await berlin.acquire(*seats("port", 2, "desk")))
    pool = await _ports(wire)
    assert (pool.used, pool.reserved_used, pool.floating_used, pool.reserved_idle, pool.free) == (7, 4, 3, 0, 3)
    explained = await wire.status.ExplainSeats(
        status_pb2.ExplainSeatsRequest(pbx="projects/acme/pbxs/rome", seats=seats("port", 1, "new"))
    )
    assert "PBX-Port is debited from hq-box: 7 of 10 in use, 3 free" in explained.reasoning


async def test_a_reserve_that_others_use_is_kept_free_as_far_as_anything_is(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    rome = await opened(wire, "rome")
    granted(await rome.acquire(*seats("port", 8)))
    await lay_down(
        wire,
        Group(name="north", sites=["site-oslo", "site-berlin"]),
        Rule(name="north", group="north", reserve={"port": 6}),
        Rule(name="oslo", site="site-oslo", reserve={"port": 2}),
    )
    pool = await _ports(wire)
    assert (pool.used, pool.reserved_used, pool.reserved_idle, pool.free) == (8, 0, 2, 0)
    explained = await wire.status.ExplainSeats(
        status_pb2.ExplainSeatsRequest(pbx="projects/acme/pbxs/rome", seats=seats("port", 1, "new"))
    )
    assert "PBX-Port is debited from hq-box: 8 of 10 in use, 2 reserved for others, 0 free" in explained.reasoning


async def test_what_is_kept_after_an_outage_is_a_part_of_its_own(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 10}, pbxs=SITES, ttl_seconds=60, grace_seconds=60))
    await lay_down(wire, Policy(license_type="port", first_claim_seconds=3600))
    rome = await opened(wire, "rome")
    granted(await rome.acquire(*seats("port", 3)))
    master.clock.advance(600)
    await master.running.expiry.run_once()
    pool = await _ports(wire)
    assert (pool.used, pool.first_claims, pool.promised, pool.free) == (0, 3, 0, 7)
    (share,) = (await status(wire)).shares
    assert (share.site, share.has, share.used, share.first_claims) == ("site-rome", 3, 0, 3)


async def test_sites_have_want_and_would_get(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    await lay_down(
        wire,
        Rule(name="oslo", site="site-oslo", maximum={"port": 2}),
        Rule(name="keep", site="site-berlin", reserve={"port": 4}),
    )
    rome, oslo = await opened(wire, "rome"), await opened(wire, "oslo")
    granted(await rome.acquire(*seats("port", 4)))
    granted(await oslo.acquire(*seats("port", 2)))
    shares = {share.site: share for share in (await status(wire)).shares}
    assert {site: (share.has, share.wants, share.gets, share.reserve) for site, share in shares.items()} == {
        "site-berlin": (0, 0, 0, 4),
        "site-oslo": (2, 2, 2, 0),
        "site-rome": (4, 4, 4, 0),
    }


async def test_what_is_waited_for_stands_beside_the_parts(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 4}, pbxs=SITES))
    queue = allocation_pb2.QueuePolicy(length_max=10)
    await lay_down(wire, Policy(license_type="port", queue=queue), Rule(site="site-oslo", weight={"port": 3}))
    rome, oslo = await opened(wire, "rome"), await opened(wire, "oslo")
    granted(await rome.acquire(*seats("port", 4)))
    refused(await oslo.acquire(*seats("port", 3, "desk"), wait=True))
    pool = await _ports(wire)
    assert (pool.used, pool.free, pool.waiting) == (4, 0, 3)
    shares = {share.site: (share.has, share.wants, share.gets) for share in (await status(wire)).shares}
    assert shares == {"site-rome": (4, 4, 1), "site-oslo": (0, 3, 3)}


async def test_metrics_add_up_too(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 10, "PBX UC12": 3}, pbxs=SITES))
    await lay_down(wire, Rule(name="keep", site="site-berlin", reserve={"port": 4}))
    berlin, rome = await opened(wire, "berlin"), await opened(wire, "rome")
    granted(await rome.acquire(*seats("port", 5)))
    granted(await berlin.acquire(*seats("port", 2)))
    estates = await master.running.status.overviews()
    values: dict[str, dict[str, float]] = {"port": {}, "uc": {}}
    for metric in EstateCollector(lambda: estates).collect():
        for sample in metric.samples:
            if sample.name.startswith("license_master_pool_"):
                values[sample.labels["type"]][sample.name.removeprefix("license_master_pool_")] = sample.value
    for pool in values.values():
        assert pool["used"] >= pool["reserved_used"]
        parts = ("used", "held_idle", "borrowed", "first_claims", "promised", "leaving", "withheld")
        assert sum(pool[part] for part in (*parts, "reserved_idle", "free")) == pool["capacity"] + pool["overdrawn"]
    assert (values["port"]["reserved_used"], values["port"]["reserved_idle"], values["port"]["free"]) == (2, 2, 1)
