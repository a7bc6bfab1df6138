"""Plays a story: load, faults, an end to them, recovery, and the records compared; again until the time is up.

Decides: when it looks, how long recovery may take (I4), and what is counted. Never raises for what a story finds: that
stands in its outcome.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.slow.chaos.faults import During
from tests.slow.chaos.stories import Story
from tests.slow.chaos.world.databases import Server, Store, file_store
from tests.slow.chaos.world.world import World, world

RECOVERY_SECONDS_MAX = 60.0
RECONCILING_SECONDS_MAX = 40.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What stories are played on."""

    template: Path
    """The folder of an upgraded, empty SQLite file."""
    server: Server | None
    """For stories on PostgreSQL."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a story."""

    story: str
    database: str
    seed: int
    rounds: int = 0
    seconds: float = 0
    faults: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    seats: Counter[str] = field(default_factory=Counter)
    """What sites were told of their seats."""
    checks: int = 0
    """How often the database was compared with what the sites were told."""
    recovery_seconds: list[float] = field(default_factory=list)
    """From the end of the last fault to a master's answer, for each site and round."""
    reconciling_seconds: list[float] = field(default_factory=list)
    """From rest to records that are the same, for each round."""
    answer_seconds_max: float = 0
    silence_seconds_max: float = 0
    violations: list[str] = field(default_factory=list)
    log: str = ""
    """The masters'."""


async def play(story: Story, ground: Ground, folder: Path, *, database: str, seed: int, seconds: float) -> Outcome:
    """Play rounds until `seconds` are over, one at least, and none after a violation. The folder is empty."""
    outcome = Outcome(story=story.name, database=database, seed=seed)
    began = monotonic()
    name = f"{seed} {story.name} {database}"
    async with _store(ground, folder, database, seed=name) as store:
        masters = min(story.masters, store.masters_max)
        async with world(store, folder, masters=masters, lease=story.lease, seed=name, pause_seconds=0.15) as estate:
            while not estate.records.violations and (not outcome.rounds or monotonic() - began < seconds):
                await _round(story, estate, outcome)
                outcome.rounds += 1
            await _closed(estate)
        outcome.log = "".join(master.log for master in estate.masters)
    outcome.seconds = monotonic() - began
    records, tally = estate.records, estate.tally
    outcome.faults, outcome.calls, outcome.answers = estate.done, tally.calls, tally.answers
    outcome.seats, outcome.checks = records.happened, records.checks
    outcome.answer_seconds_max = tally.answer_seconds_max
    outcome.silence_seconds_max = tally.silence_seconds_max
    outcome.violations = records.violations
    return outcome


@asynccontextmanager
async def _store(ground: Ground, folder: Path, database: str, *, seed: str) -> AsyncIterator[Store]:
    if database == "sqlite":
        async with file_store(folder, ground.template) as file:
            yield file
    else:
        assert ground.server is not None
        async with ground.server.store(folder, seed=seed) as served:
            yield served


async def _round(story: Story, estate: World, outcome: Outcome) -> None:
    for site in estate.sites:
        site.live()
    for dashboard in estate.dashboards:
        dashboard.ask()
    if story.moves_licenses:
        estate.lender.move()
    looking = asyncio.create_task(_look(estate))
    try:
        await asyncio.gather(*(_happen(fault, estate) for fault in story.faults(estate.chance)))
        outcome.recovery_seconds += await _recovered(estate)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    for site in estate.sites:
        await site.rest()
    await estate.lender.rest()
    for dashboard in estate.dashboards:
        await dashboard.rest()
    outcome.reconciling_seconds.append(await _reconciled(estate))
    await estate.records.verify_audit(estate.reading)


async def _happen(given: During, estate: World) -> None:
    await asyncio.sleep(given.begin)
    began = monotonic()
    await given.fault.begin(estate)
    await asyncio.sleep(max(given.end - given.begin - (monotonic() - began), 0))
    await given.fault.end(estate)


async def _look(estate: World) -> None:
    while True:
        estate.records.check()
        await estate.records.compare(estate.reading)
        await asyncio.sleep(_LOOK_SECONDS)


async def _recovered(estate: World) -> list[float]:
    """I4: how long it took until each site had an answer of a master's to something asked after the faults."""
    ended = monotonic()
    answers = [site.next_answer(after=ended) for site in estate.sites]
    done, missing = await asyncio.wait(answers, timeout=RECOVERY_SECONDS_MAX)
    for site, answer in zip(estate.sites, answers, strict=True):
        if answer in missing:
            why = site.client.report()
            estate.records.violated(
                f"I4: {site.name} has no answer for {RECOVERY_SECONDS_MAX} s: {why.state} {why.why}"
            )
    return [answer.result() - ended for answer in done]


async def _reconciled(estate: World) -> float:
    """At rest the sites' records and the database's come to be the same."""
    began = monotonic()
    differences = ["the database does not answer"]
    while differences and monotonic() - began < RECONCILING_SECONDS_MAX:
        there = await estate.records.compare(estate.reading)
        if there is not None:
            differences = estate.records.differences(there)
        if differences:
            await asyncio.sleep(0.05)
    for difference in differences:
        estate.records.violated(f"I4: not reconciled after {RECONCILING_SECONDS_MAX} s: {difference}")
    return monotonic() - began


async def _closed(estate: World) -> None:
    """Every site leaves: nothing stays counted."""
    await estate.sleeper.stop()
    for site in estate.sites:
        await site.close()
    there = await estate.records.compare(estate.reading)
    if there and not estate.records.violations:
        estate.records.violated(f"I3: every site has left, and seats stay: {there}")
