"""`license-master explain`: would this PBX get this seat, and if not, why not?"""

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from licensemaster.v1 import seat_pb2, status_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import PbxArgument, TypeArgument
from master.cli.operator.monitoring.seat_result_view import holder_text, result_view
from master.cli.output.enum_names import in_words
from master.cli.output.rendering import distance, joined, short_name, stdout_console, visible

Kind = Literal[
    "user", "executive", "trunk", "gateway", "group", "waiting-queue", "login", "channel", "interface", "pbx"
]
"""Holder kinds as they are typed."""


def holder_kind(kind: Kind) -> seat_pb2.HolderKind.ValueType:
    """Return the API's value for a holder kind as typed."""
    return seat_pb2.HolderKind.Value(f"HOLDER_KIND_{kind.replace('-', '_').upper()}")


@asks_master()
def explain(
    master: Master,
    pbx: PbxArgument,
    license_type: TypeArgument,
    holder: Annotated[str, typer.Argument(metavar="HOLDER", help="Who would hold the seat.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What kind of thing the holder is.")] = "user",
    user: Annotated[str, typer.Option("--user", help="The user that a channel or login is opened for.")] = "",
    line: Annotated[str, typer.Option("--line", help="The outside line of a recorded user.")] = "",
    app_version: Annotated[str, typer.Option("--app-version", help="The application's own version.")] = "",
    software: Annotated[str, typer.Option("--software", help="Ask as if the PBX ran this version.")] = "",
) -> None:
    """Ask whether PBX would get a seat of TYPE for HOLDER, and why. Changes nothing.

    Exits with 1 where the seat would be refused.
    """
    seat = seat_pb2.Seat(
        license_type=license_type,
        holder_kind=holder_kind(kind),
        holder=holder,
        user=user,
        line=line,
        application_version=app_version,
    )
    name = master.named("pbxs", pbx)
    request = status_pb2.ExplainSeatsRequest(pbx=name, seats=[seat], software_version=software)
    response = master.call(master.status.ExplainSeats, request)
    if not master.shows_json(response):
        print_explanation(seat, name, response, stdout_console(), datetime.now(UTC))
    if any(result.HasField("refused") for result in response.results):
        raise typer.Exit(1)


def print_explanation(
    seat: seat_pb2.Seat, pbx: str, response: status_pb2.ExplainSeatsResponse, console: Console, now: datetime
) -> None:
    """Print the answer, the state of the PBX's lease, and the reasoning behind the decision."""
    for result in response.results:
        console.print(result_view(f"{seat.license_type} for {holder_text(seat)} at {short_name(pbx)}", result))
    lease = response.lease
    state = in_words(status_pb2.LeaseState.DESCRIPTOR, lease.state)
    until = f"ends {distance(lease.end_time, now)}" if lease.HasField("end_time") else ""
    running = f"running {lease.software_version}" if lease.software_version else ""
    console.print(Text.assemble(("Lease  ", "dim"), visible(joined([state, running, until]))))
    if lease.state not in (status_pb2.LEASE_STATE_ACTIVE, status_pb2.LEASE_STATE_OVERDUE):
        console.print(visible("       seats are granted only under an active or overdue lease", "yellow"))
    for index, sentence in enumerate(response.reasoning):
        console.print(Text.assemble(("       " if index else "Why    ", "dim"), visible(sentence)))
