"""Whether the database answers is asked anew for each doubt."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from structlog.testing import capture_logs

from master.metrics import Metrics
from master.service.runtime.database_health import Clocks, DatabaseHealth, HealthTimes, started_lease_clock
from master.service.runtime.lease_clock import LeaseClock
from master.store.backends.clock import write_nothing
from master.store.backends.database import Database, Tx
from master.store.backends.opening import open_database
from tests.support.limits import HANG_SECONDS


def _health(database: Database, clocks: Clocks, *, lease_clock: LeaseClock | None) -> DatabaseHealth:
    """Asks when it is told to; a clock may be off by `HANG_SECONDS`."""

    async def tell(_: bool) -> None:
        """Nobody is told."""

    return DatabaseHealth(
        database=database,
        clocks=clocks,
        lease_clock=lease_clock,
        metrics=Metrics(),
        times=HealthTimes(
            interval_seconds=HANG_SECONDS, answer_seconds_max=HANG_SECONDS, clock_offset_max_seconds=HANG_SECONDS
        ),
        tell=tell,
    )


async def test_a_doubt_that_comes_while_the_database_is_asked_is_not_answered_by_that(sqlite_database_url: str) -> None:
    """What failed may have failed after the answer."""
    database, may_go_on = open_database(sqlite_database_url), threading.Event()

    def slow(tx: Tx) -> None:
        may_go_on.wait(HANG_SECONDS)
        write_nothing(tx)

    health = _health(database, Clocks(steady=time.monotonic, wall=time.time), lease_clock=None)
    busy = asyncio.create_task(database.transact(slow))
    health.doubt("a commit failed")
    asking = asyncio.create_task(health.run_once())
    await asyncio.sleep(0)
    health.doubt("another one failed")
    may_go_on.set()
    await asyncio.gather(busy, asking)
    assert health._doubted.is_set(), "it is asked again at once"
    await health.run_once()
    assert not health._doubted.is_set()
    await database.close()


@pytest.mark.parametrize("sign", [1, -1])
async def test_a_clock_that_stays_about_the_limit_is_told_of_once(sqlite_database_url: str, sign: int) -> None:
    database, off = open_database(sqlite_database_url), 0.0
    clocks = Clocks(steady=time.monotonic, wall=lambda: time.time() + sign * off)
    health = _health(database, clocks, lease_clock=await started_lease_clock(database, clocks))
    with capture_logs() as logs:
        for share in (0.5, 1.2, 0.8, 1.2, 0.8, 0.2, 0.8):
            off = share * HANG_SECONDS
            await health.run_once()
    told = [line["event"].partition(";")[0] for line in logs]
    assert told == [
        f"this machine's clock {how}" for how in ("is off the database's", "agrees with the database's again")
    ]
    await database.close()
