"""`license-master status` and `pools`: the estate at a glance."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import status_pb2
from licensemaster.values.similar import Known
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import OfDeviceOption, OfTypeOption
from master.cli.operator.monitoring.listings import LEASE_STYLES
from master.cli.output.enum_names import in_words
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import (
    add_row,
    first_few,
    json_object,
    moment,
    print_json_line,
    print_json_object,
    section,
    short_name,
    stderr_console,
    stdout_console,
    table,
    visible,
)

BAR_WIDTH = 20
ROWS_SHOWN_MAX = 15
SITE_COLUMNS_MAX = 6
NEARLY_FULL = 0.9
_PARTS_BETWEEN = (
    *("held_idle", "borrowed", "first_claims", "promised", "leaving", "withheld", "reserved_idle", "waiting"),
)

AllOption = Annotated[bool, typer.Option("--all", help="Every pool, limit and site, however many.")]


@asks_master()
def status(
    master: Master,
    watch: Annotated[
        float | None, typer.Option("--watch", metavar="SECONDS", min=0.2, max=86_400, help="Ask again and again.")
    ] = None,
    show_all: AllOption = False,
) -> None:
    """Show pools, version limits, leases and seats by site on one screen."""
    request = status_pb2.GetStatusRequest(project=master.project)
    if watch is not None:
        _watch(master, request, watch, show_all=show_all)
        return
    response = master.call(master.status.GetStatus, request)
    master.show(response, lambda: status_view(response, show_all=show_all))


@asks_master()
def pools(master: Master, license_type: OfTypeOption = "", device: OfDeviceOption = "") -> None:
    """Show what is installed, used, kept, being released and free, by license type and device."""
    request = status_pb2.GetStatusRequest(project=master.project)
    response = master.call(master.status.GetStatus, request)
    chosen = [
        pool
        for pool in response.pools
        if (not device or pool.device == device) and (not license_type or is_of(pool, license_type))
    ]
    if master.as_json:
        print_json_object({"pools": [json_object(pool) for pool in chosen]})
    elif chosen:
        stdout_console().print(pools_view(chosen))
    else:
        devices = Known("device with licenses", (pool.device for pool in response.pools))
        types = Known("license type with a pool", (pool.license_type for pool in response.pools))
        unknown = [devices.lacks(device)] if device and device not in devices else []
        if license_type and not any(is_of(pool, license_type) for pool in response.pools):
            unknown.append(types.lacks(license_type))
        stderr_console().print(visible(": ".join(["no pools match", *unknown])))


def status_view(response: status_pb2.GetStatusResponse, *, show_all: bool = False) -> RenderableType:
    limit = None if show_all else ROWS_SHOWN_MAX
    heading = Text.assemble(
        visible(short_name(response.project), "bold"),
        f"   revision {response.revision}   master {response.master_version}",
    )
    parts: list[RenderableType] = [heading, leases_line(response.lease_counts)]
    if response.HasField("learning"):
        parts += learning_lines(response.learning)
    parts += standby_lines(response.standby_pairs)
    if response.pools:
        parts += section(sorted(response.pools, key=_urgency), pools_view, limit, "pools")
    else:
        parts += ["", Text("no licenses are bound to any device", style="yellow")]
    parts += section(response.version_limits, limits_view, limit, "installations")
    sites = list(_by_site(response.usage).items())
    parts += section(sites, lambda shown: sites_view(response, dict(shown)), limit, "sites")
    return Group(*parts)


def leases_line(counts: Iterable[status_pb2.LeaseCount]) -> Text:
    """Return the number of PBXs in each lease state, in one line."""
    line = Text()
    for count in counts:
        if count.pbxs:
            words = in_words(status_pb2.LeaseState.DESCRIPTOR, count.state)
            words = "without a lease" if count.state == status_pb2.LEASE_STATE_NONE else words
            line.append("● ", style=LEASE_STYLES.get(count.state, "")).append(f"{count.pbxs:,} {words}   ")
    return line if line else Text("no PBXs", style="dim")


def learning_lines(learning: status_pb2.Learning) -> list[Text]:
    """Return lines that say until when the master learns after a restore, and what has not been proven or placed."""
    seats = f"{learning.seats_proven:,} proven, {learning.seats_known:,} in the backup"
    how_far = f"{seats}, {learning.pbxs_silent:,} PBXs silent"
    until = f"learning until {moment(learning.end_time)} ({learning.why}): {how_far}"
    lines = [Text.assemble(("● ", "yellow"), visible(until))]
    if learning.seats_unplaced:
        text = (
            f"{learning.seats_unplaced:,} seats were proven and refused: the restored database has no licenses for them"
        )
        lines.append(Text.assemble(("● ", "red"), visible(text)))
    return lines


def standby_lines(pairs: Iterable[status_pb2.StandbyReadiness]) -> list[Text]:
    """Return a line for each standby that carries seats or could not take over; `standby check` says why."""
    lines = []
    for pair in pairs:
        names = f"{short_name(pair.standby)} "
        if pair.carrying:
            lines.append(
                Text.assemble(("● ", "yellow"), visible(f"{names}carries the seats of "), short_name(pair.primary))
            )
        elif not pair.ready:
            why = f": {pair.problems[0]}" if pair.problems else ""
            text = f"{names}could not take over for {short_name(pair.primary)}{why}"
            lines.append(Text.assemble(("● ", "bold red"), visible(text)))
    return lines


def pools_view(pools: Sequence[status_pb2.Pool]) -> Table:
    """Show pools with bars; the columns between used and free, and the overdrawn seats, only where they are not all
    0.
    """
    between = [part for part in _PARTS_BETWEEN if any(getattr(pool, part) for pool in pools)]
    above = ["Overdrawn"] if any(pool.overdraft.seats for pool in pools) else []
    headings = ["Used", *(in_column(part) for part in between), "Free", "Of", *above, "Peak"]
    shown = table("Pool", "Device", "", *headings, "", numbers=headings)
    for pool in pools:
        style = _fill_style(pool)
        add_row(
            shown,
            visible(pool.display_name or pool.license_type, "" if pool.central else "dim"),
            visible(pool.device, "dim"),
            ProgressBar(
                total=max(pool.capacity, 1),
                completed=_taken(pool),
                width=BAR_WIDTH,
                complete_style=style,
                finished_style=style,
            ),
            pool.used,
            *(getattr(pool, part) or "" for part in between),
            Text(f"{pool.free:,}", style=style),
            pool.capacity,
            *(Text(f"{pool.overdraft.seats:,}", style="bold red") if pool.overdraft.seats else "" for _ in above),
            pool.peak,
            _pool_note(pool),
        )
    return shown


def limits_view(limits: Iterable[status_pb2.VersionLimit]) -> Table:
    """Show the version that each installation may run, the licenses that limit the version, and the PBXs above it."""
    shown = table("Version limit", "Runs up to", "Held by", "Above it")
    for limit in limits:
        held = first_few([f"{ref.quantity:,} {ref.type}" for ref in limit.licenses], 3)
        above = first_few([short_name(pbx) for pbx in limit.pbxs_above], 5)
        version = f"V{limit.version}" if limit.version else "no limit"
        add_row(shown, limit.device, visible(version, "bold"), held, visible(above, "bold red"))
    return shown


def sites_view(response: status_pb2.GetStatusResponse, sites: dict[str, dict[str, int]]) -> Table:
    """Show seats by site, with a column for each of the license types used most."""
    names = {pool.license_type: pool.display_name for pool in response.pools}
    totals: dict[str, int] = {}
    for usage in response.usage:
        totals[usage.license_type] = totals.get(usage.license_type, 0) + usage.seats
    by_total = sorted(totals, key=lambda key: (-totals[key], key))
    columns, rest = by_total[:SITE_COLUMNS_MAX], by_total[SITE_COLUMNS_MAX:]
    headings = [(names.get(key) or key).removeprefix("PBX-").removeprefix("PBX ") for key in columns]
    headings += ["Others"] if rest else []
    shown = table("Seats by site", *headings, numbers=headings)
    for site, seats in sites.items():
        cells = [seats.get(key, 0) for key in columns]
        cells += [sum(seats.get(key, 0) for key in rest)] if rest else []
        add_row(shown, site, *(cell or "" for cell in cells))
    return shown


def _by_site(usage: Iterable[status_pb2.SiteUsage]) -> dict[str, dict[str, int]]:
    """Return seats by site and license type; the site with most seats first."""
    sites: dict[str, dict[str, int]] = {}
    for row in usage:
        sites.setdefault(row.site, {})[row.license_type] = row.seats
    return dict(sorted(sites.items(), key=lambda site_seats: (-sum(site_seats[1].values()), site_seats[0])))


def _urgency(pool: status_pb2.Pool) -> tuple[bool, bool, int]:
    """Return a sort key: used-up pools first, then the license master's, large before small; it rarely changes."""
    used_up = 0 < pool.capacity <= _taken(pool)
    return not used_up, not pool.central, -pool.capacity


def _pool_note(pool: status_pb2.Pool) -> Text:
    if not pool.feature_on:
        return Text("feature off", style="bold red")
    return Text("" if pool.central else "own box", style="dim")


def _fill_style(pool: status_pb2.Pool) -> str:
    if _taken(pool) >= pool.capacity:
        return "red"
    return "yellow" if _taken(pool) >= NEARLY_FULL * pool.capacity else "green"


def _taken(pool: status_pb2.Pool) -> int:
    """Return the seats of a pool that nobody else can have."""
    counted = pool.used + pool.held_idle + pool.borrowed + pool.first_claims + pool.promised
    return counted + pool.leaving


def is_of(pool: status_pb2.Pool, license_type: str) -> bool:
    """Tell whether a pool is of a license type, in whatever spelling."""
    return _squeezed(license_type) in {_squeezed(pool.license_type), _squeezed(pool.display_name)}


def in_column(part: str) -> str:
    """Return the heading of the column for a part of a pool, as "Held idle"."""
    return part.replace("_", " ").capitalize()


def _squeezed(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum()).removeprefix("pbx")


def _watch(master: Master, request: status_pb2.GetStatusRequest, seconds: float, *, show_all: bool) -> None:
    """Ask for the status every `seconds` until Ctrl-C, and show the answers. An outage is shown and waited out."""
    console = stdout_console()
    with suppress(KeyboardInterrupt):
        if master.as_json or not console.is_terminal:
            while True:
                if master.as_json:
                    print_json_line(master.call(master.status.GetStatus, request))
                else:
                    console.print(_frame(master, request, show_all=show_all), "")
                time.sleep(seconds)
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                live.update(_frame(master, request, show_all=show_all), refresh=True)
                time.sleep(seconds)


def _frame(master: Master, request: status_pb2.GetStatusRequest, *, show_all: bool) -> RenderableType:
    try:
        return status_view(master.call(master.status.GetStatus, request), show_all=show_all)
    except CommandFailed as failure:
        return Group(*failure.parts())
