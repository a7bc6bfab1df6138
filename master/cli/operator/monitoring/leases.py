"""`license-master leases`: how the lease of each PBX stands, and the end of one by an operator's word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from licensemaster.v1 import lease_pb2, status_pb2
from master.cli.connection.asking import Master, asks_master, confirm
from master.cli.connection.options import LimitOption, PbxArgument, ReasonOption, YesOption
from master.cli.operator.monitoring.listings import State, lease_state, leases_view
from master.cli.output.rendering import distance, moment, short_name, stdout_console, visible

app = typer.Typer(help="The lease of each PBX: list, end.", invoke_without_command=True)


@app.callback()
@asks_master()
def leases(
    master: Master,
    context: typer.Context,
    state: Annotated[State | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: LimitOption = 100,
) -> None:
    """Show each PBX's lease: its state, when it was last heard of, how long it may carry on."""
    if context.invoked_subcommand is not None:
        return
    request = status_pb2.ListLeasesRequest(
        project=master.project, state=lease_state(state) if state else status_pb2.LEASE_STATE_UNSPECIFIED
    )
    answer = master.listing(master.status.ListLeases, request, limit)
    master.show_listing(answer, lambda: leases_view(answer.leases, datetime.now(UTC)), empty="no leases match")


@asks_master(app, "end")
def end(
    master: Master,
    pbx: PbxArgument,
    reason: ReasonOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would come to.")] = False,
    yes: YesOption = False,
) -> None:
    """End the lease of a PBX that cannot do so itself: its seats are free for others at once.

    For a site that is closed, or a PBX that is scrapped. Says first how many seats it puts at risk: what the PBX may
    go on using until its signed lease ends, while others are granted it. There is no way back; a PBX that is alive is
    told, and may open a new lease.
    """
    request = lease_pb2.EndLeaseRequest(pbx=master.named("pbxs", pbx), reason=reason, dry_run=True)
    response = master.call(master.leases.EndLease, request)
    if not dry_run:
        if not yes:
            confirm(f"End the lease of {pbx}?", _lines(pbx, response, done=False))
        request.dry_run = False
        response = master.call(master.leases.EndLease, request)
    if master.shows_json(response):
        return
    for line in _lines(pbx, response, done=not dry_run):
        stdout_console().print(visible(line))


def _lines(pbx: str, response: lease_pb2.EndLeaseResponse, *, done: bool) -> list[str]:
    """Return what ending a lease does or would do, one sentence each: seats returned, seats at risk, the connection."""
    came = "ended" if done else "would end"
    returned = "went back" if done else "would go back"
    who = f"{short_name(response.carried_by)}, which carries its seats," if response.carried_by else pbx
    lines = [f"{came} the lease of {pbx} under epoch {response.epoch}; {response.seats_returned:,} seats {returned}"]
    if response.seats_at_risk:
        types = ", ".join(f"{holding.seats:,} {holding.license_type}" for holding in response.at_risk)
        lines.append(
            f"at risk until {moment(response.risk_end_time)}: {response.seats_at_risk:,} seats ({types}) may stay in"
            " use and be granted to others as well"
        )
    if response.connected:
        lines.append(f"{who} was connected: it is notified at once, and may open a new lease")
    else:
        lines.append(f"{who} was last heard of {distance(response.renew_time, datetime.now(UTC))}")
    return lines
