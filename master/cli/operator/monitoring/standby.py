"""`license-master standby`: whether standbys could take over, and the proof of it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import standby_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.output.rendering import add_row, distance, in_brackets, short_name, table, visible

app = typer.Typer(help="Standby PBXs: readiness and proof (rules F1 to F6).", no_args_is_help=True)


@asks_master(app)
def check(
    master: Master, pair: Annotated[str, typer.Option("--pair", metavar="NAME", help="Only the pair of this PBX.")] = ""
) -> None:
    """Show how ready each pair is, with what is missing. Exits with 1 where one is not ready."""
    request = standby_pb2.CheckStandbyRequest(project=master.project, pbx=master.short("pbxs", pair))
    response = master.call(master.standby.CheckStandby, request)
    master.show(response, lambda: check_view(response, datetime.now(UTC)))
    if not all(pair.ready for pair in response.pairs):
        raise typer.Exit(1)


@asks_master(app)
def drill(
    master: Master, standby: Annotated[str, typer.Argument(metavar="STANDBY", help="The standby PBX's name.")]
) -> None:
    """Take over, reconcile, hand back and compare, all rolled back. Exits with 1 where a step fails."""
    name = master.named("pbxs", standby)
    request = standby_pb2.DrillStandbyRequest(standby=name)
    response = master.call(master.standby.DrillStandby, request)
    master.show(response, lambda: drill_view(response))
    if not response.passed:
        raise typer.Exit(1)


def check_view(response: standby_pb2.CheckStandbyResponse, now: datetime) -> RenderableType:
    """Show the Standby licenses, the standby pairs, and what stands in the way of a takeover."""
    parts: list[RenderableType] = [licenses_line(response.licenses)]
    if not response.pairs:
        return Group(*parts, Text("no standby pair is configured", style="yellow"))
    parts += ["", pairs_view(response.pairs, now)]
    for pair in response.pairs:
        for problem in pair.problems:
            style = "red" if problem.blocking else "yellow"
            text = visible(problem.message + in_brackets(problem.rules))
            parts.append(Text.assemble(("● ", style), visible(f"{short_name(pair.standby)}: ", "bold"), text))
    return Group(*parts)


def licenses_line(licenses: standby_pb2.StandbyLicenses) -> Text:
    """Return in one line whether standby is on, and the licenses that decide so (F2)."""
    if not licenses.license_type:
        return Text("standby needs no license here")
    state = ("on", "bold green") if licenses.on else ("off", "bold red")
    text = f": {licenses.installed:,} {licenses.license_type} licenses on {licenses.device}, {licenses.needed:,} needed"
    return Text.assemble("standby is ", state, visible(text))


def pairs_view(pairs: Iterable[standby_pb2.StandbyPair], now: datetime) -> Table:
    shown = table(
        "Standby", "Standby for", "", "Seats", "Covered offline", "Until", "Standby heard", "Primary heard",
        numbers=["Seats", "Covered offline"],
    )  # fmt: skip
    for pair in pairs:
        add_row(
            shown,
            visible(short_name(pair.standby), "bold"),
            short_name(pair.primary),
            _verdict(pair),
            sum(seat.held for seat in pair.seats),
            sum(min(seat.covered, seat.held) for seat in pair.seats),
            distance(pair.standby_lease_end_time, now),
            distance(pair.standby_contact_time, now) or "never",
            distance(pair.primary_contact_time, now) or "never",
        )
    return shown


def drill_view(response: standby_pb2.DrillStandbyResponse) -> RenderableType:
    """Show the steps of a takeover drill, and whether the standby could take over."""
    shown = table("Step", "", "What was seen")
    for step in response.steps:
        mark = Text("passed", style="green") if step.passed else Text("failed", style="bold red")
        add_row(shown, step.name, mark, step.message)
    pair = f"{short_name(response.pair.standby)} for {short_name(response.pair.primary)}"
    verdict = ("could take over", "bold green") if response.passed else ("could not take over", "bold red")
    return Group(shown, "", Text.assemble(visible(f"{pair}: "), verdict, "; nothing was changed"))


def _verdict(pair: standby_pb2.StandbyPair) -> Text:
    if pair.carrying:
        return Text("carrying", style="bold yellow")
    return Text("ready", style="green") if pair.ready else Text("not ready", style="bold red")
