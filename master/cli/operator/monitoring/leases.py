"""`license-master leases`: how the lease of each PBX stands, and the end of one by an operator's word."""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer

from licensemaster.v1 import lease_pb2, status_pb2
from master.cli.connection.connection import Connection
from master.cli.connection.options import (
    DEFAULT_SERVER,
    JsonOption,
    LimitOption,
    NeededReasonOption,
    PbxArgument,
    ProjectOption,
    ServerOption,
    YesOption,
)
from master.cli.operator.monitoring.listings import State, lease_state, leases_view
from master.cli.output.failure import CommandFailed
from master.cli.output.paging import print_listing
from master.cli.output.rendering import (
    distance,
    moment,
    print_json,
    short_name,
    stderr_console,
    stdout_console,
    visible,
)

app = typer.Typer(help="The lease of each PBX: list, end.", invoke_without_command=True)


@app.callback()
def leases(
    context: typer.Context,
    state: Annotated[State | None, typer.Option("--state", help="Only in this state.", show_default=False)] = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Show each PBX's lease: its state, when it was last heard of, how long it may carry on."""
    if context.invoked_subcommand is not None:
        return
    with Connection(server) as connection:
        request = status_pb2.ListLeasesRequest(
            project=connection.project_name(project),
            state=lease_state(state) if state else status_pb2.LEASE_STATE_UNSPECIFIED,
        )
        answer = connection.listing(connection.status.ListLeases, request, limit)
    print_listing(
        answer, lambda: leases_view(answer.leases, datetime.now(UTC)), as_json=as_json, empty="no leases match"
    )


@app.command("end")
def end(
    pbx: PbxArgument,
    reason: NeededReasonOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would come to.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """End the lease of a PBX that cannot do so itself: its seats are free for others at once.

    For a site that is closed, or a PBX that is scrapped. Says first how many seats it puts at risk: what the PBX may
    go on using until its signed lease ends, while others are granted it. There is no way back; a PBX that is alive is
    told, and may open a new lease.
    """
    with Connection(server) as connection:
        request = lease_pb2.EndLeaseRequest(
            pbx=f"{connection.project_name(project)}/pbxs/{pbx}",
            reason=reason,
            request_id=str(uuid.uuid4()),
            dry_run=True,
        )
        told = connection.call(connection.leases.EndLease, request)
        if not dry_run:
            if not yes:
                _confirm(pbx, told)
            request.dry_run = False
            told = connection.call(connection.leases.EndLease, request)
    if as_json:
        print_json(told)
        return
    for line in _lines(pbx, told, done=not dry_run):
        stdout_console().print(visible(line))


def _confirm(pbx: str, told: lease_pb2.EndLeaseResponse) -> None:
    console = stderr_console()
    for line in _lines(pbx, told, done=False):
        console.print(visible(line, "yellow"))
    if not sys.stdin.isatty():
        raise CommandFailed("nothing was changed: this has to be confirmed", remedy="run it again with --yes")
    if not typer.confirm(f"End the lease of {pbx}?", err=True):
        console.print("nothing was changed")
        raise typer.Exit(1)


def _lines(pbx: str, told: lease_pb2.EndLeaseResponse, *, done: bool) -> list[str]:
    """What ending a lease comes to, one sentence each."""
    came = "ended" if done else "would end"
    returned = "went back" if done else "would go back"
    who = f"{short_name(told.carried_by)}, which carries its seats," if told.carried_by else pbx
    found = [f"{came} the lease of {pbx} under epoch {told.epoch}; {told.seats_returned:,} seats {returned}"]
    if told.seats_at_risk:
        types = ", ".join(f"{holding.seats:,} {holding.license_type}" for holding in told.at_risk)
        found.append(
            f"at risk until {moment(told.risk_end_time)}: {told.seats_at_risk:,} seats ({types}) may stay in use and be"
            " granted to others as well"
        )
    if told.connected:
        found.append(f"{who} was connected: it is notified at once, and may open a new lease")
    else:
        found.append(f"{who} was last heard of {distance(told.renew_time, datetime.now(UTC))}")
    return found
