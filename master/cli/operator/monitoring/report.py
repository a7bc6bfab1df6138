"""`license-master report`: what the usage history says, as tables, as CSV for spreadsheets, as JSON for programs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

import typer
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import report_pb2, seat_pb2, status_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.output.csv_table import csv_table
from master.cli.output.enum_names import in_words, short_name_of
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import (
    add_row,
    distance,
    moment,
    print_json,
    short_name,
    stdout_console,
    table,
    visible,
    write_out,
)

COLUMNS = (
    "section", "site", "device", "pbx", "license_type", "peak_seven_days", "peak", "peak_time", "refused", "denied",
    "capacity", "used", "unused", "outlook", "run_out_date", "state", "contact_time", "seats", "holder", "reason",
    "refuse_time", "rule", "waited", "granted", "gave_up", "wait_seconds_median", "wait_seconds_max",
    "overdrawn_seconds", "overdrawn_seat_hours", "overdrawn_peak", "budget_left_seat_hours",
)  # fmt: skip


@asks_master()
def report(
    master: Master,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Days to look back, today included.")] = 30,
    as_format: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to write it.")] = "table",
    holders: Annotated[bool, typer.Option("--holders", help="Name the holders that were denied.")] = False,
) -> None:
    """Show peaks, denials, silent sites, licenses unused, and when pools run out at their trend."""
    if master.as_json and as_format == "csv":
        raise CommandFailed("--json and --format csv ask for two things; give one of them")
    request = report_pb2.GetUsageReportRequest(project=master.project, days=days, include_holders=holders)
    response = master.call(master.reports.GetUsageReport, request)
    if master.as_json or as_format == "json":
        print_json(response)
    elif as_format == "csv":
        write_out(csv_table(COLUMNS, csv_rows(response)))
    else:
        stdout_console().print(report_view(response, holders=holders))


def report_view(response: report_pb2.GetUsageReportResponse, *, holders: bool) -> RenderableType:
    """Show the sections of a usage report, one below the other; who was denied only if `holders` is set."""
    now = response.report_time.ToDatetime(tzinfo=UTC)
    days = f"{response.days_known:,} of {response.days:,} days are known"
    parts: list[RenderableType] = [
        visible(f"{short_name(response.project)}, the last {response.days:,} days; {days}", "bold")
    ]
    parts += ["", _pools(response.pools, response.days), "", _sites(response.sites, response.days)]
    parts += ["", _rules(response.rules, response.days)] if response.rules else []
    parts += ["", _policies(response.policies)] if response.policies else []
    parts += ["", _silent(response.silent, now) if response.silent else Text("no PBX is silent", style="green")]
    if holders:
        parts += ["", _denied(response.denied) if response.denied else Text("nobody was denied", style="green")]
    return Group(*parts)


def _pools(pools: Sequence[report_pb2.PoolHistory], days: int) -> Table:
    shown = table(
        "License", "On", "Licenses", "Used", "Peak 7 d", f"Peak {days} d", "Unused", "Runs out",
        title="Pools", numbers=["Licenses", "Used", "Peak 7 d", f"Peak {days} d", "Unused"],
    )  # fmt: skip
    for pool in pools:
        add_row(
            shown,
            visible(pool.display_name, "bold"),
            pool.device or "free in the balance",
            pool.capacity,
            pool.used,
            pool.peak_seven_days,
            pool.peak,
            pool.unused,
            _outlook(pool),
        )
    return shown


def _outlook(pool: report_pb2.PoolHistory) -> Text:
    if pool.outlook == report_pb2.OUTLOOK_RUNS_OUT:
        return visible(f"{_date(pool)}, at {pool.seats_per_day:+.2g} a day", "yellow")
    style = "bold red" if pool.outlook == report_pb2.OUTLOOK_USED_UP else "dim"
    return Text(in_words(report_pb2.Outlook.DESCRIPTOR, pool.outlook), style=style)


def _date(pool: report_pb2.PoolHistory) -> str:
    """Return the day on which a pool runs out, in UTC as in the history; empty if no such day is foreseen."""
    return pool.run_out_time.ToDatetime(tzinfo=UTC).strftime("%Y-%m-%d") if pool.HasField("run_out_time") else ""


def _sites(sites: Sequence[report_pb2.SiteHistory], days: int) -> Table:
    shown = table(
        "Site", "License", "Peak 7 d", f"Peak {days} d", "On", "Refused", "Denied",
        title="Sites", numbers=["Peak 7 d", f"Peak {days} d", "Refused", "Denied"],
    )  # fmt: skip
    for site in sites:
        denied = Text(f"{site.denied:,}", style="bold red" if site.denied else "")
        add_row(
            shown,
            visible(site.site, "bold"),
            site.display_name,
            site.peak_seven_days,
            site.peak,
            moment(site.peak_time),
            site.refused,
            denied,
        )
    return shown


def _rules(rules: Sequence[report_pb2.RuleHistory], days: int) -> Table:
    """Show what rules gained (seats that owners of reserves had) and cost (seats that nobody had, or was refused)."""
    numbers = [f"Had {days} d", "Never had", "Refused others"]
    shown = table("Rule", "License", *numbers, title="Allocation rules", numbers=numbers)
    for rule in rules:
        add_row(shown, visible(rule.rule, "bold"), rule.display_name, rule.used, rule.unused, rule.refused)
    return shown


def _policies(policies: Sequence[report_pb2.PolicyHistory]) -> Table:
    """Show what queues and overdrafts gained (seats that were handed on) and cost (time waited, and budget)."""
    numbers = ["Waited", "Granted", "Gave up", "Median", "Longest", "Overdrawn", "At most", "Seat hours", "Left"]
    shown = table("License", *numbers, title="Queues and overdrafts", numbers=numbers)
    for policy in policies:
        add_row(
            shown,
            visible(policy.display_name, "bold"),
            policy.waited,
            policy.granted,
            policy.gave_up,
            f"{policy.wait_seconds_median:,.0f} s",
            f"{policy.wait_seconds_max:,.0f} s",
            f"{policy.overdrawn_seconds / 3600:,.1f} h",
            policy.overdrawn_peak,
            f"{policy.overdrawn_seat_hours:,.1f}",
            f"{policy.budget_left_seat_hours:,.1f}" if policy.HasField("budget_left_seat_hours") else "",
        )
    return shown


def _silent(pbxs: Sequence[report_pb2.SilentPbx], now: datetime) -> Table:
    shown = table("Site", "PBX", "Lease", "Last heard of", "Seats", title="Silent", numbers=["Seats"])
    for pbx in pbxs:
        state = in_words(status_pb2.LeaseState.DESCRIPTOR, pbx.state)
        heard = distance(pbx.contact_time, now) or "never"
        add_row(shown, visible(pbx.site, "bold"), short_name(pbx.pbx), state, heard, pbx.seats)
    return shown


def _denied(holders: Sequence[report_pb2.DeniedHolder]) -> Table:
    shown = table("When", "Site", "PBX", "License", "Holder", "Reason", title="Denied")
    for holder in holders:
        kind = in_words(seat_pb2.HolderKind.DESCRIPTOR, holder.holder_kind)
        reason = in_words(seat_pb2.RefusalReason.DESCRIPTOR, holder.reason)
        add_row(
            shown,
            moment(holder.refuse_time),
            holder.site,
            short_name(holder.pbx),
            holder.license_type,
            f"{kind} {holder.holder}",
            reason,
        )
    return shown


def csv_rows(response: report_pb2.GetUsageReportResponse) -> Iterator[dict[str, str | int]]:
    """Yield a row for each line of each section, with the fields of the line that are columns. Times are UTC."""
    sections: dict[str, Sequence[Message]] = {
        "pool": response.pools,
        "site": response.sites,
        "rule": response.rules,
        "policy": response.policies,
        "silent": response.silent,
        "denied": response.denied,
    }
    for section, lines in sections.items():
        for line in lines:
            fields = cast(Descriptor, line.DESCRIPTOR).fields
            cells = {field.name: _cell(line, field) for field in fields if field.name in COLUMNS}
            if isinstance(line, report_pb2.PoolHistory):
                cells |= {"section": section if line.device else "balance", "run_out_date": _date(line)}
            yield {"section": section, **cells}


def _cell(line: Message, field: FieldDescriptor) -> str | int:
    value = getattr(line, field.name)
    if field.has_presence and not line.HasField(field.name):
        return ""
    if field.enum_type is not None:
        return short_name_of(field.enum_type, value)
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, str):
        return short_name(value) if field.name == "pbx" else value
    return f"{value:.3f}" if field.name.endswith("_hours") else round(value)
