"""`python -m tests.slow.fairness [FILE]`: play all scenarios, and draw what each site had and wanted by the minute."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench.pictures import Panel, draw
from master.store.upkeep import schema
from tests.slow.fairness.scenarios import ALL
from tests.slow.fairness.world import Scenario, play
from tests.support.masters import sqlite_url

_PICTURE = Path("docs/pictures/fairness.svg")


def main() -> None:
    """Play and draw."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else _PICTURE
    console, panels = Console(stderr=True), list[Panel]()
    for name, scenario in ALL.items():
        with console.status(name):
            panels.append(_panel(scenario))
        console.print(f"{name}: played")
    draw(panels, file)
    console.print(f"drawn in {file}")


def _panel(scenario: Scenario) -> Panel:
    with tempfile.TemporaryDirectory() as folder:
        url = sqlite_url(Path(folder))
        schema.upgrade(url, schema.IfAbsent.CREATE)
        history = asyncio.run(play(scenario, url))
    labels = [f"{minute} min" if minute % 10 == 0 else "" for minute in range(scenario.minutes)]
    return Panel(scenario.title, f"seats of {scenario.capacity}", labels, history.had)


main()
