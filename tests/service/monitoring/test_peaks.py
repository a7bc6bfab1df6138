"""A pool keeps the most that was ever debited from it, and when."""

from __future__ import annotations

from licensemaster.v1 import status_pb2
from tests.rules.asking import status
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project


async def ports(master: InProcess) -> status_pb2.Pool:
    return next(pool for pool in (await status(master.wire)).pools if pool.license_type == "port")


async def test_the_peak_stays_when_seats_come_back(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 10}))
    berlin = await opened(any_master.wire, "berlin")
    unused = await ports(any_master)
    assert (unused.peak, unused.HasField("peak_time")) == (0, False)

    granted(await berlin.acquire(*seats("port", 5)))
    first = any_master.clock.now
    any_master.clock.advance(10)
    await berlin.give_back(*seats("port", 3))
    any_master.clock.advance(10)
    granted(await berlin.acquire(*seats("port", 5)))  # as many as before: the peak is the first time
    pool = await ports(any_master)
    assert (pool.used, pool.peak, pool.peak_time.seconds) == (5, 5, int(first))

    any_master.clock.advance(10)
    granted(await berlin.acquire(*seats("port", 7)))
    await berlin.close()
    pool = await ports(any_master)
    assert (pool.used, pool.peak, pool.peak_time.seconds) == (0, 7, int(first + 30))


async def test_a_pool_that_changes_its_size_keeps_its_peak(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 10}))
    berlin = await opened(any_master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 8)))
    await berlin.sync()
    await any_master.wire.apply(project({"PBX-Port12": 3}))
    pool = await ports(any_master)
    assert (pool.capacity, pool.used, pool.peak) == (3, 0, 8)
