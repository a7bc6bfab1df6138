"""`license-master seats` and `events`: one row for each, with filters, page after page; and the table of leases."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import lease_pb2, status_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import LimitOption, OfLicenseOption, OfPbxOption, OfSiteOption, OfTypeOption
from master.cli.operator.monitoring.past_moment import SINCE_HELP, past_moment
from master.cli.operator.monitoring.seat_result_view import basis_text, holder_text
from master.cli.output.enum_names import in_words
from master.cli.output.rendering import add_row, distance, joined, moment, short_name, table, visible

LEASE_STYLES = {
    status_pb2.LEASE_STATE_NONE: "dim",
    status_pb2.LEASE_STATE_ACTIVE: "green",
    status_pb2.LEASE_STATE_OVERDUE: "yellow",
    status_pb2.LEASE_STATE_EXPIRED: "red",
    status_pb2.LEASE_STATE_CLOSED: "dim",
}

DETAIL_LENGTH_MAX = 60
_NAMING = ("license", "id", "name", "holder")
"""Keys whose value says what an object of an event's details is about."""


State = Literal["none", "active", "overdue", "expired", "closed"]
"""Lease states as they are typed."""


def lease_state(state: State) -> status_pb2.LeaseState.ValueType:
    """Return the API's value for a lease state as typed."""
    return status_pb2.LeaseState.Value(f"LEASE_STATE_{state.upper()}")


def state_text(state: status_pb2.LeaseState.ValueType) -> Text:
    """Return a lease state in words, in the colour of the state."""
    return Text(in_words(status_pb2.LeaseState.DESCRIPTOR, state), style=LEASE_STYLES.get(state, ""))


@asks_master()
def seats(
    master: Master,
    pbx: OfPbxOption = "",
    license_type: OfTypeOption = "",
    site: OfSiteOption = "",
    holder: Annotated[str, typer.Option("--holder", metavar="NAME", help="Only of this holder.")] = "",
    limit: LimitOption = 100,
) -> None:
    """Show who holds what, one row for each seat."""
    request = status_pb2.ListSeatsRequest(
        project=master.project,
        pbx=master.short("pbxs", pbx),
        license_type=license_type,
        site=site,
        holder=holder,
    )
    answer = master.listing(master.status.ListSeats, request, limit)
    master.show_listing(answer, lambda: seats_view(answer.seats, datetime.now(UTC)), empty="no seats are held")


@asks_master()
def events(
    master: Master,
    pbx: OfPbxOption = "",
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help='Only of this kind: "seats.acquired".')] = "",
    license_id: OfLicenseOption = "",
    caller: Annotated[
        str, typer.Option("--caller", metavar="TEXT", help="Only what somebody did whose name contains this.")
    ] = "",
    since: Annotated[
        datetime | None, typer.Option("--since", metavar="WHEN", parser=past_moment, help=SINCE_HELP)
    ] = None,
    limit: LimitOption = 50,
) -> None:
    """Show what happened, newest first."""
    since_time = None
    if since is not None:
        since_time = Timestamp()
        since_time.FromDatetime(since)
    request = status_pb2.ListEventsRequest(
        project=master.project,
        pbx=master.short("pbxs", pbx),
        kind=kind,
        license=master.short("licenses", license_id),
        caller=caller,
        since_time=since_time,
    )
    answer = master.listing(master.status.ListEvents, request, limit)
    master.show_listing(answer, lambda: events_view(answer.events), empty="no events match")


def _carried(row: status_pb2.LeaseStatus) -> str:
    return f"carried by {short_name(row.carried_by)}" if row.carried_by else ""


def seats_view(rows: Sequence[status_pb2.HeldSeat], now: datetime) -> Table:
    shown = table("PBX", "Site", "Type", "Holder", "Cost", "Device", "Held for")
    for row in rows:
        add_row(
            shown,
            short_name(row.pbx),
            row.site,
            row.seat.license_type,
            holder_text(row.seat),
            basis_text(row.basis, row.included_in),
            row.device,
            distance(row.acquire_time, now).removesuffix(" ago"),
        )
    return shown


def leases_view(rows: Sequence[status_pb2.LeaseStatus], now: datetime) -> Table:
    headings = ("PBX", "Site", "State", "Epoch", "Runs", "Heard of", "May go on", "Seats", "Notices")
    shown = table(*headings, numbers=["Epoch", "Seats"])
    for row in rows:
        add_row(
            shown,
            short_name(row.pbx),
            row.site,
            state_text(row.state),
            row.epoch,
            row.software_version,
            distance(row.renew_time, now),
            _until(row, now),
            row.seats,
            visible(joined((_carried(row), *(notice_text(notice) for notice in row.notices))), "yellow"),
        )
    return shown


def notice_text(notice: lease_pb2.Notice) -> str:
    """Return the sentence of a notice, or the kind of a notice without a sentence."""
    return notice.message or in_words(lease_pb2.NoticeKind.DESCRIPTOR, notice.kind)


def events_view(rows: Sequence[status_pb2.Event]) -> Table:
    with_reason = any(row.reason for row in rows)
    shown = table("When", "What", "PBX", "Caller", *(["Reason"] if with_reason else []), "Details")
    for row in rows:
        reason = [row.reason] if with_reason else []
        who = row.caller.partition(" (")[0]  # its address is in the JSON
        add_row(shown, moment(row.time), row.kind, short_name(row.pbx), who, *reason, details_text(row.details))
    return shown


def details_text(details: str) -> str:
    """Return an event's details in one line: of long lists only the first values, and how many more follow."""
    try:
        parsed = json.loads(details or "{}")
    except ValueError:
        return details
    if not isinstance(parsed, dict):
        return details
    return joined(f"{key} {_brief(value)}" for key, value in parsed.items() if value not in ("", None, [], {}))


def _brief(value: object) -> str:
    """Return a value of an event's details in one line; of many, the first by name and how many more follow."""
    if isinstance(value, dict):
        named = next((value[key] for key in _NAMING if value.get(key)), None)
        return str(named) if named is not None else _cut([f"{key} {_brief(part)}" for key, part in value.items()])
    if isinstance(value, list):
        return _cut([_brief(each) for each in value])
    return str(value)


def _cut(texts: Sequence[str]) -> str:
    shown: list[str] = []
    for text in texts:
        if shown and len(", ".join([*shown, text])) > DETAIL_LENGTH_MAX:
            return f"{', '.join(shown)} and {len(texts) - len(shown):,} more"
        shown.append(text)
    return ", ".join(shown)


def _until(row: status_pb2.LeaseStatus, now: datetime) -> str:
    running = row.state in (status_pb2.LEASE_STATE_ACTIVE, status_pb2.LEASE_STATE_OVERDUE)
    away = distance(row.end_time, now)
    if not away:
        return ""
    return away.replace("in ", "for ", 1) if running and away.startswith("in ") else f"ended {away}"
