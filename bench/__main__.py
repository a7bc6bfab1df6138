"""`python -m bench [--quick] [SCENARIO ...]`: measure, print a table, write build/bench.json; draw what grows."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.figures import Figure, Plan, Scenario
from bench.pictures import Panel, draw
from bench.scenarios.agent import agent
from bench.scenarios.calls import batches, lone_calls, singles
from bench.scenarios.estates import estates
from bench.scenarios.footprint import footprint
from bench.scenarios.growth import growth
from bench.scenarios.held_seats import many_seats, renewing
from bench.scenarios.queue import queue
from bench.scenarios.sharing.allocation import allocation
from bench.scenarios.sharing.blocks import blocks
from bench.scenarios.sip import sip
from bench.scenarios.standby import standby
from bench.scenarios.storms import storms
from bench.scenarios.takeover import takeover
from bench.scenarios.yardsticks import yardsticks

SCENARIOS: dict[str, Scenario] = {
    "yardsticks": yardsticks,
    "storms": storms,
    "singles": singles,
    "lone_calls": lone_calls,
    "batches": batches,
    "renewing": renewing,
    "many_seats": many_seats,
    "footprint": footprint,
    "estates": estates,
    "takeover": takeover,
    "standby": standby,
    "queue": queue,
    "agent": agent,
    "sip": sip,
    "allocation": allocation,
    "blocks": blocks,
    "growth": growth,
}

_FULL = Plan(rounds=5, calls=16_000, renew_seconds=60, big=1_000_000)
_QUICK = Plan(rounds=1, calls=2_000, renew_seconds=5, big=50_000)
_OUTPUT = Path("build/bench.json")
_PICTURE = Path("build/growth.svg")


def main() -> None:
    """Measure what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all where none is named"
    )
    parser.add_argument("--picture", type=Path, default=_PICTURE, help="where curves are drawn (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    parser.add_argument("--rounds", type=int, help="how often each figure is measured, of which the median is told")
    chosen = parser.parse_args()
    if unknown := set(chosen.scenarios) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    console = Console()
    plan = _QUICK if chosen.quick else _FULL
    plan = replace(plan, rounds=chosen.rounds or plan.rounds)
    figures: list[Figure] = []
    for name in chosen.scenarios or SCENARIOS:
        with console.status(name) as status:
            figures += uvloop.run(SCENARIOS[name](plan, lambda text: status.update(f"{name}: {text}")))  # noqa: B023
        console.print(f"{name}: done")
    console.print(_table(figures))
    _OUTPUT.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.platform()}
    written = {"time": datetime.now(UTC).isoformat(), "rounds": plan.rounds, "machine": machine}
    _OUTPUT.write_text(json.dumps(written | {"figures": [figure.as_json() for figure in figures]}, indent=2) + "\n")
    console.print(f"written to {_OUTPUT}")
    if panels := _panels(figures):
        draw(panels, chosen.picture)
        console.print(f"drawn in {chosen.picture}")


def _panels(figures: list[Figure]) -> list[Panel]:
    """The curves among the figures."""
    curves: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.curve:
            curves.setdefault(figure.curve, []).append(figure)
    return [
        Panel(curve, points[0].unit, [f"{point.at:,}" for point in points], {curve: [point.value for point in points]})
        for curve, points in curves.items()
    ]


def _table(figures: list[Figure]) -> Table:
    table = Table("what", "value", "unit", "ratio", "against", "target")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        table.add_row(figure.name, f"{figure.value:,.2f}", figure.unit, ratio, figure.against, figure.target)
    return table


if __name__ == "__main__":
    main()
