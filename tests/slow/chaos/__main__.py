"""`python -m tests.slow.chaos [--seconds N] [--seed N] [--json] [STORY ...]`: play stories at length, print a table.

Ends with 1 where an invariant was broken. Writes build/chaos.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
import tempfile
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from master.store.upkeep import schema
from tests.slow.chaos.meddling import NoCompilerError, library
from tests.slow.chaos.play import Ground, Outcome, play
from tests.slow.chaos.stories import STORIES, Story
from tests.slow.chaos.world.databases import own_server
from tests.support.masters import sqlite_url

_OUTPUT = Path("build/chaos.json")
_LOGS = Path("build/chaos-logs")
_KEPT = [field.name for field in fields(Outcome) if field.name != "log"]


def main() -> None:
    """Play what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.slow.chaos", description=__doc__)
    parser.add_argument("stories", nargs="*", metavar="STORY", help=f"of {', '.join(STORIES)}; all where none is named")
    parser.add_argument("--seconds", type=float, default=60, help="for each story on each database; 60")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plays the same faults; 1")
    parser.add_argument("--json", action="store_true", help="the figures on standard output instead of the table")
    chosen = parser.parse_args()
    logging.getLogger("slave_client").setLevel(logging.CRITICAL)  # what goes wrong is told by the records
    if unknown := set(chosen.stories) - STORIES.keys():
        parser.error(f"no such story: {', '.join(sorted(unknown))}")
    try:
        library()
    except NoCompilerError as missing:
        parser.error(str(missing))
    console = Console(stderr=chosen.json)
    stories = [STORIES[name] for name in chosen.stories or STORIES]
    outcomes = _played(stories, console, seed=chosen.seed, seconds=chosen.seconds)
    written = json.dumps(_written(outcomes, seconds=chosen.seconds), indent=2)
    _OUTPUT.parent.mkdir(exist_ok=True)
    _OUTPUT.write_text(written + "\n")
    if chosen.json:
        print(written)
    else:
        console.print(_table(outcomes))
    for outcome in outcomes:
        for violation in outcome.violations:
            console.print(f"[red]{outcome.story} on {outcome.database}, seed {outcome.seed}:[/] {violation}")
    console.print(f"written to {_OUTPUT}")
    sys.exit(any(outcome.violations for outcome in outcomes))


def _played(stories: list[Story], console: Console, *, seed: int, seconds: float) -> list[Outcome]:
    outcomes = []
    with own_server() as server, tempfile.TemporaryDirectory(prefix="lm-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        template = folder / "template"
        template.mkdir()
        schema.upgrade(sqlite_url(template), schema.IfAbsent.CREATE)
        ground = Ground(template=template, server=server)
        for story in stories:
            for database in story.databases:
                with console.status(f"{story.name} on {database}: {story.about}"):
                    outcome = _one(story, ground, folder, database=database, seed=seed, seconds=seconds)
                outcomes.append(outcome)
                counted = f"{outcome.faults.total()} faults, {outcome.calls.total()} calls"
                answer = f"{outcome.seconds:.0f} s, {outcome.rounds} rounds, {counted}"
                console.print(f"{story.name} on {database}: {answer}, {len(outcome.violations)} violations")
    return outcomes


def _one(story: Story, ground: Ground, folder: Path, *, database: str, seed: int, seconds: float) -> Outcome:
    here = folder / f"{story.name}-{database}"
    here.mkdir()
    outcome = asyncio.run(play(story, ground, here, database=database, seed=seed, seconds=seconds))
    _LOGS.mkdir(parents=True, exist_ok=True)
    (_LOGS / f"{story.name}-{database}.log").write_text(outcome.log)
    return outcome


def _written(outcomes: list[Outcome], *, seconds: float) -> dict[str, object]:
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.platform()}
    stories = [{key: getattr(outcome, key) for key in _KEPT} for outcome in outcomes]
    return {"time": datetime.now(UTC).isoformat(), "seconds": seconds, "machine": machine, "stories": stories}


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("story", "database", "rounds", "faults", "calls", "granted", "checks", "broken")
    for name in ("recovery p50", "recovery max", "syncing max", "answer max", "silence max"):
        table.add_column(f"{name}, s", justify="right")
    for outcome in outcomes:
        recoveries = outcome.recovery_seconds or [float("nan")]
        seconds = (
            *(median(recoveries), max(recoveries), max(outcome.reconciling_seconds or [float("nan")])),
            *(outcome.answer_seconds_max, outcome.silence_seconds_max),
        )
        counts = (
            outcome.rounds,
            outcome.faults.total(),
            outcome.calls.total(),
            outcome.seats["granted by master"],
            outcome.checks,
        )
        broken = f"[red]{len(outcome.violations)}[/]" if outcome.violations else "0"
        table.add_row(
            outcome.story, outcome.database, *(f"{n:,}" for n in counts), broken, *(f"{s:.2f}" for s in seconds)
        )
    return table


if __name__ == "__main__":
    main()
