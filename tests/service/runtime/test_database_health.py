"""Whether the database answers is asked anew for each doubt."""

from __future__ import annotations

import asyncio
import threading
import time

from master.metrics import Metrics
from master.service.runtime.database_health import Clocks, DatabaseHealth, HealthTimes
from master.store.backends.clock import write_nothing
from master.store.backends.database import Tx
from master.store.backends.opening import open_database
from tests.support.limits import HANG_SECONDS


async def test_a_doubt_that_comes_while_the_database_is_asked_is_not_answered_by_that(sqlite_database_url: str) -> None:
    """What failed may have failed after the answer."""
    database, may_go_on = open_database(sqlite_database_url), threading.Event()

    def slow(tx: Tx) -> None:
        may_go_on.wait(HANG_SECONDS)
        write_nothing(tx)

    async def tell(_: bool) -> None:
        """Nobody is told."""

    health = DatabaseHealth(
        database=database,
        clocks=Clocks(steady=time.monotonic, wall=time.time),
        lease_clock=None,
        metrics=Metrics(),
        times=HealthTimes(
            interval_seconds=HANG_SECONDS, answer_seconds_max=HANG_SECONDS, clock_offset_max_seconds=HANG_SECONDS
        ),
        tell=tell,
    )
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
