"""`license-master pool`: what becomes of the licenses of one type, and which site has, wants and would get how many."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from licensemaster.v1 import allocation_pb2, seat_pb2, status_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import OfDeviceOption, TypeArgument
from master.cli.operator.monitoring.status import ROWS_SHOWN_MAX, in_column, is_of
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import (
    add_row,
    json_object,
    moment,
    print_json_object,
    section,
    stdout_console,
    table,
    visible,
)

BAR_WIDTH = 60
PARTS = {
    "reserved_used": "blue",
    "floating_used": "green",
    "held_idle": "cyan",
    "borrowed": "magenta",
    "first_claims": "yellow",
    "promised": "bright_yellow",
    "leaving": "red",
    "withheld": "bright_red",
    "reserved_idle": "bright_blue",
    "free": "dim",
}
"""The parts of a pool in the order of the bar, and their styles."""
_MARKS = dict(zip(PARTS, "RFiblpx!r.", strict=True))
"""Characters that stand for the parts in the bar, so that the bar can be read without colours too."""

app = typer.Typer(help="One pool: its parts, and what each site has, wants and would get.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """One pool: its parts, and what each site has, wants and would get."""


@asks_master(app, "show")
def show(
    master: Master,
    license_type: TypeArgument,
    device: OfDeviceOption = "",
    show_all: Annotated[bool, typer.Option("--all", help="Every site, however many.")] = False,
) -> None:
    """Show the parts of the pool of TYPE, and what each site has, wants and would get of it."""
    response = master.call(master.status.GetStatus, status_pb2.GetStatusRequest(project=master.project))
    pools = [
        pool
        for pool in response.pools
        if is_of(pool, license_type) and (pool.device == device if device else pool.central)
    ]
    if not pools:
        where = f"on {device}" if device else "on the license master's device"
        raise CommandFailed(
            f"no licenses of {license_type!r} are installed {where}", remedy="`license-master pools` lists all"
        )
    [pool] = pools
    shares = [share for share in response.shares if pool.central and share.license_type == pool.license_type]
    if master.as_json:
        print_json_object({"pool": json_object(pool), "shares": [json_object(share) for share in shares]})
    else:
        stdout_console().print(pool_view(pool, shares, limit=None if show_all else ROWS_SHOWN_MAX))


def pool_view(pool: status_pb2.Pool, shares: Sequence[status_pb2.SiteShare], *, limit: int | None) -> RenderableType:
    """Show the parts of a pool as a bar and in seats, then at most `limit` sites, those that lack most first."""
    heading = Text.assemble(
        visible(pool.display_name or pool.license_type, "bold"), f" on {pool.device}: {pool.capacity:,} installed"
    )
    shown = table("", "Part", "Seats", numbers=["Seats"])
    for part, style in PARTS.items():
        if seats := getattr(pool, part):
            add_row(shown, Text(_MARKS[part], style=style), in_column(part), seats)
    lines: list[RenderableType] = [heading, _bar(pool), shown]
    if pool.HasField("overdraft"):
        lines.append(_overdraft_line(pool.overdraft))
    if pool.waiting:
        lines.append(Text(f"{pool.waiting:,} seats are waited for", style="yellow"))
    lacking = sorted(shares, key=lambda share: (share.has - share.gets, share.site))
    return Group(*lines, *section(lacking, shares_view, limit, "sites"))


def shares_view(shares: Sequence[status_pb2.SiteShare]) -> RenderableType:
    """Show the seats that each site has, wants and would get; other columns only where they are not all 0."""
    more = [
        part
        for part in ("reserve", "held_idle", "borrowed", "first_claims")
        if any(getattr(share, part) for share in shares)
    ]
    headings = ["Has", "Wants", "Gets", *map(in_column, more)]
    shown = table("Site", *headings, numbers=headings)
    for share in shares:
        style = "bold yellow" if share.gets > share.has else ""
        add_row(
            shown,
            share.site,
            share.has,
            share.wants,
            Text(f"{share.gets:,}", style=style),
            *(getattr(share, part) or "" for part in more),
        )
    return shown


def outlooks_view(outlooks: Sequence[allocation_pb2.SiteOutlook], *, show_all: bool) -> RenderableType:
    """Show the seats of each site before and after a change of the allocation; sites that lose most come first."""

    def rows(shown_outlooks: Sequence[allocation_pb2.SiteOutlook]) -> RenderableType:
        headings = ("Has", "Could get", "Then", "", "Fair share")
        shown = table("Site", "Type", *headings, numbers=headings)
        for outlook in shown_outlooks:
            gain = outlook.left_after - outlook.left_before
            add_row(
                shown,
                outlook.site,
                outlook.license_type,
                _becomes(outlook.has, outlook.has_after),
                outlook.left_before,
                outlook.left_after,
                Text(f"{gain:+,}" if gain else "", style="green" if gain > 0 else "red"),
                _becomes(outlook.gets_before, outlook.gets_after),
            )
        return shown

    return Group(*section(outlooks, rows, None if show_all else ROWS_SHOWN_MAX, "sites"))


def _becomes(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _overdraft_line(overdraft: seat_pb2.Overdraft) -> Text:
    """Return how many seats are granted above what is installed, and the budget that is left, in seat hours."""
    left = f"{overdraft.budget_left_seat_hours:,.1f} seat hours are left"
    if not overdraft.seats:
        return Text(f"none is overdrawn, up to {overdraft.seats_max:,} may be: {left}", style="dim")
    spent = f", spent {moment(overdraft.spent_time)}" if overdraft.HasField("spent_time") else ""
    most = f"{overdraft.seats:,} of these are overdrawn, up to {overdraft.seats_max:,} may be"
    return Text(f"{most}: {left}{spent}", style="bold red")


def _bar(pool: status_pb2.Pool) -> Text:
    """Draw the parts of a pool side by side, each as long as its share of the seats, with one mark at least."""
    seats = {part: getattr(pool, part) for part in PARTS if getattr(pool, part)}
    total = sum(seats.values())
    bar = Text("[")
    for part, count in seats.items():
        bar.append(_MARKS[part] * max(round(BAR_WIDTH * count / total), 1), style=PARTS[part])
    return bar.append("]")
