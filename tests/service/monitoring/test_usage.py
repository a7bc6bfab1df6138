"""The usage history as it is written: peaks that were seen, refusals, and those that never turned into a grant."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from licensemaster.v1 import seat_pb2
from master.domain.monitoring.usage import DAY_SECONDS, PoolPeak, day_of
from master.service.monitoring import denial_buffer
from master.store.backends.database import Database, Tx
from master.store.backends.opening import open_database
from master.store.statements import usage as store
from tests.support.masters import Clock, InProcess, in_process_master, two_masters
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, imported

PBXS = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway"}
MINUTES = 60


@pytest.fixture
async def history(database_url: str) -> AsyncIterator[Database]:
    """The same database, to look into."""
    database = open_database(database_url)
    yield database
    await database.close()


async def _look(master: InProcess, *, seconds: float = 0) -> None:
    master.clock.advance(seconds)
    await master.running.usage.run_once()


async def _sites(history: Database, day: int = 0) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Peak, refused and denied by site and type."""

    def read(tx: Tx) -> list[store.SiteRow]:
        return store.sites_since(tx, 1, day=day, lately=day)

    return {(row.site, row.license_type): (row.peak, row.refused, row.denied) for row in await history.read(read)}


async def _denied(history: Database) -> list[tuple[str, str, str]]:
    rows = await history.read(lambda tx: store.denied_since(tx, 1, day=0, limit=100))
    return [(row.pbx, row.holder, row.reason) for row in rows]


async def _pools(history: Database) -> dict[tuple[str, str], list[PoolPeak]]:
    collected: dict[tuple[str, str], list[PoolPeak]] = {}
    for row in await history.read(lambda tx: store.pools_since(tx, 1, day=0)):
        collected.setdefault((row.device, row.license_type), []).append(row)
    return collected


async def test_peaks_by_site_and_day(any_master: InProcess, history: Database) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({"PBX-Port12": 10}, pbxs=PBXS, ttl_seconds=86_400, grace_seconds=864_000))
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    granted(await berlin.acquire(*seats("port", 6)))
    granted(await paris.acquire(*seats("port", 2)))
    await _look(any_master)
    await berlin.give_back(*seats("port", 5))
    await _look(any_master, seconds=60)
    assert await _sites(history) == {("site-berlin", "port"): (6, 0, 0), ("site-paris", "port"): (2, 0, 0)}
    first = day_of(clock.now)
    await _look(any_master, seconds=DAY_SECONDS)
    assert await _sites(history, first + 1) == {("site-berlin", "port"): (1, 0, 0), ("site-paris", "port"): (2, 0, 0)}
    (row, *_) = await history.read(lambda tx: store.sites_since(tx, 1, day=first, lately=first + 1))
    assert (row.peak, row.peak_lately, row.peak_at) == (6, 1, clock.now - DAY_SECONDS - 60)
    pools = (await _pools(history))["hq-box", "port"]
    assert [(pool.day, pool.peak, pool.unused) for pool in pools] == [(first, 8, 2), (first + 1, 3, 7)]


async def test_a_new_peak_between_two_looks_is_not_missed_by_its_pool(any_master: InProcess, history: Database) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 10}))
    await _look(any_master)
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 9)))
    await berlin.give_back(*seats("port", 9))
    await _look(any_master)
    (pool,) = (await _pools(history))["hq-box", "port"]
    assert (pool.peak, pool.unused) == (9, 1)


async def test_the_balance_is_all_unused(any_master: InProcess, history: Database) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 10, "PBX UC12": (3, "")}))
    await imported(any_master.wire, Vendor(), {"more": ("PBX UC12", 4)}, now=any_master.clock.now)
    await _look(any_master)
    (free,) = (await _pools(history))["", "uc"]
    assert (free.peak, free.unused) == (0, 7)


async def test_a_refusal_that_soon_turns_into_a_grant_is_no_denial(any_master: InProcess, history: Database) -> None:
    """anna got the seat and gave it back again, bert has it, carl was refused for good."""
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 1}, pbxs=PBXS, ttl_seconds=86_400))
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    granted(await paris.acquire(seat("port", "eve")))
    for _ in range(3):
        refused(await berlin.acquire(*(seat("port", name) for name in ("anna", "bert", "carl"))))
    await _look(any_master)
    await paris.give_back(seat("port", "eve"))
    granted(await berlin.acquire(seat("PBX-Port", "anna")))
    await berlin.give_back(seat("port", "anna"))
    granted(await berlin.acquire(seat("port", "bert")))
    await _look(any_master, seconds=14 * MINUTES)
    assert (await _sites(history))["site-berlin", "port"] == (1, 9, 0)
    assert await _denied(history) == []
    await _look(any_master, seconds=2 * MINUTES)
    assert (await _sites(history))["site-berlin", "port"] == (1, 9, 1)
    assert await _denied(history) == [("berlin", "carl", "POOL_EXHAUSTED")]


async def test_who_is_refused_all_day_is_denied_once(any_master: InProcess, history: Database) -> None:
    wire, clock = any_master.wire, any_master.clock
    clock.advance(DAY_SECONDS - clock.now % DAY_SECONDS)
    await wire.apply(project({"PBX-Port12": 1}, pbxs=PBXS, ttl_seconds=86_400))
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    granted(await paris.acquire(seat("port", "eve")))
    for _ in range(6):
        refused(await berlin.acquire(seat("port", "carl")))
        await _look(any_master, seconds=20 * MINUTES)
    assert (await _sites(history))["site-berlin", "port"] == (0, 6, 1)


async def test_what_another_master_grants_is_no_denial(postgresql_database_url: str, clock: Clock) -> None:
    """Two masters of one database; each judges, and it is counted once."""
    history = open_database(postgresql_database_url)
    async with two_masters(postgresql_database_url, clock) as (first, two):
        await first.wire.apply(project({"PBX-Port12": 1}, pbxs=PBXS, ttl_seconds=86_400))
        berlin, paris = await opened(first.wire, "berlin"), await opened(first.wire, "paris")
        granted(await paris.acquire(seat("port", "eve")))
        refused(await berlin.acquire(seat("port", "anna"), seat("port", "carl")))
        await _look(first)
        await paris.give_back(seat("port", "eve"))
        berlin.wire = two.wire
        granted(await berlin.acquire(seat("port", "anna")))
        refused(await berlin.acquire(seat("port", "carl")))
        await _look(two)
        await _look(two, seconds=16 * MINUTES)
        await _look(first)
        assert (await _sites(history))["site-berlin", "port"] == (1, 3, 1)
        assert await _denied(history) == [("berlin", "carl", "POOL_EXHAUSTED")]
    await history.close()


async def test_what_is_in_memory_is_written_at_the_end(database_url: str, history: Database, clock: Clock) -> None:
    async with in_process_master(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 1}))
        refused(await (await opened(master.wire, "berlin")).acquire(*seats("uc", 3)))
    assert (await _sites(history))["site-berlin", "uc"] == (0, 3, 0)


async def test_texts_of_callers_do_not_get_into_the_history(any_master: InProcess, history: Database) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(any_master.wire, "berlin")
    results: list[seat_pb2.SeatResult] = []
    for number in range(5):
        results += await berlin.acquire(seat(f"type-{number}", "anna"))
    refused(results)
    await _look(any_master, seconds=3600)
    assert await _sites(history) == {}
    assert await _denied(history) == []


async def test_old_days_are_let_go_and_names_before_them(database_url: str, history: Database, clock: Clock) -> None:
    settings = {"usage_days_max": 40, "denied_names_days_max": 2, "denied_after_seconds": 60}
    async with in_process_master(database_url, clock, **settings) as master:
        await master.wire.apply(project({"PBX-Port12": 1}, ttl_seconds=86_400, grace_seconds=2_592_000))
        berlin = await opened(master.wire, "berlin")
        granted((await berlin.acquire(*seats("port", 2)))[:1])
        await _look(master)
        await _look(master, seconds=120)
        assert len(await _denied(history)) == 1
        await _look(master, seconds=3 * DAY_SECONDS)
        assert await _denied(history) == []
        first = day_of(clock.now) - 3
        assert (await _sites(history, first))["site-berlin", "port"] == (1, 1, 1)
        await _look(master, seconds=40 * DAY_SECONDS)
        assert [pool.day for pool in (await _pools(history))["hq-box", "port"]] == [first + 3, first + 43]


async def test_one_pbx_leaves_places_to_others_and_a_bounded_number_of_names(
    any_master: InProcess, history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denial_buffer, "_HOLDERS_MAX", 100)
    monkeypatch.setattr(store, "_HOLDERS_OF_PBX_MAX", 60)
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 1}, pbxs=PBXS, ttl_seconds=86_400))
    mad, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    granted(await mad.acquire(seat("port", "first")))
    with structlog.testing.capture_logs() as logs:
        for minute in range(0, 80, 20):  # each time other holders, once the former ones are judged
            refused(await mad.acquire(*(seat("port", f"mad-{minute}-{number}") for number in range(200))))
            refused(await paris.acquire(seat("port", f"paris-{minute}")))
            await _look(any_master, seconds=20 * MINUTES)
    await _look(any_master, seconds=20 * MINUTES)
    names = [pbx for pbx, _, _ in await _denied(history)]
    assert (names.count("berlin"), names.count("paris")) == (60, 4)
    assert [line["unnoted"] for line in logs if "unnoted" in line] == [150, 190, 200, 200]
    assert await _sites(history) == {("site-berlin", "port"): (1, 800, 60), ("site-paris", "port"): (0, 4, 4)}
