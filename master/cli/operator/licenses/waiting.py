"""`license-master waiting`: who waits for seats, and having somebody wait no longer."""

from __future__ import annotations

from datetime import UTC, datetime

import typer
from rich.table import Table

from licensemaster.v1 import allocation_pb2
from master.cli.connection.asking import Master, asks_master, confirm
from master.cli.connection.options import OfTypeOption, PbxArgument, ReasonOption, YesOption
from master.cli.output.rendering import add_row, distance, moment, short_name, stdout_console, table, visible

app = typer.Typer(help="Who waits for seats: list, drop.", invoke_without_command=True)


@app.callback()
@asks_master()
def waiting(master: Master, context: typer.Context, license_type: OfTypeOption = "") -> None:
    """Show who waits for what, since when, and in which order their turns come."""
    if context.invoked_subcommand is not None:
        return
    request = allocation_pb2.ListWaitingRequest(project=master.project, license_type=license_type)
    answer = master.call(master.allocations.ListWaiting, request)
    master.show_listing(answer, lambda: _table(answer), empty="nobody waits")


@asks_master(app, "drop")
def drop(
    master: Master, pbx: PbxArgument, reason: ReasonOption, license_type: OfTypeOption = "", yes: YesOption = False
) -> None:
    """Have a PBX wait no longer, for one type or for all.

    It hears of it. There is no way back to its places: where it asks again, it waits at the end of the line.
    """
    if not yes:
        confirm(f"Have {pbx} wait no longer?", ["its places are lost; where it asks again, it waits at the end"])
    request = allocation_pb2.DropWaitingRequest(pbx=master.named("pbxs", pbx), license_type=license_type, reason=reason)
    response = master.call(master.allocations.DropWaiting, request)
    if not master.shows_json(response):
        stdout_console().print(visible(f"{pbx}: {response.seats:,} seats are waited for no longer"))


def _table(answer: allocation_pb2.ListWaitingResponse) -> Table:
    shown = table("place", "type", "PBX", "site", "holder", "since", "connected", numbers=("place",))
    now = datetime.now(UTC)
    for waiting_seat in answer.waiting:
        since = f"{moment(waiting_seat.ask_time)} ({distance(waiting_seat.ask_time, now)})"
        seat, connected = waiting_seat.seat, "yes" if waiting_seat.connected else "no"
        pbx = short_name(waiting_seat.pbx)
        add_row(shown, waiting_seat.place, seat.license_type, pbx, waiting_seat.site, seat.holder, since, connected)
    if answer.total > len(answer.waiting):
        shown.caption = f"and {answer.total - len(answer.waiting):,} more"
    return shown
