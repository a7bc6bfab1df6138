"""`license-master agreement`, the questions: how things stand, what ends, what may run, the ledger, a calendar."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from licensemaster.v1 import agreement_order_pb2, agreement_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import LimitOption
from master.cli.operator.agreements.ordering import print_refusal, subject_text, subjects
from master.cli.output.enum_names import in_words
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import (
    add_row,
    in_brackets,
    moment,
    print_json,
    stdout_console,
    table,
    visible,
    write_out,
)

QUESTION_PANEL = "Ask"

app = typer.Typer()
_DAYS = "Days are those of the project's time zone; what ends on a day is over when that day begins."

DayOption = Annotated[str, typer.Option("--day", metavar="DAY", help="On this day, such as 2026-03-01; else today.")]
AsOfOption = Annotated[
    str, typer.Option("--as-of", metavar="TIME", help="By what was known then: 2026-03-01 or 2026-03-01T12:00:00Z.")
]
DaysOption = Annotated[int, typer.Option("--days", metavar="N", min=1, max=36_600, help="So many days.")]


@asks_master(app, "list", rich_help_panel=QUESTION_PANEL)
def list_agreements(master: Master, day: DayOption = "", as_of: AsOfOption = "") -> None:
    """Show what everything has: agreements, maintenance, trials, what ends when; and orders that await payment."""
    request = agreement_pb2.ListAgreementsRequest(project=master.project, day=day, as_of=_as_of(as_of))
    answer = master.listing(master.agreements.ListAgreements, request)
    if master.shows_json(answer):
        return
    shown = table("For", "What", "Policy", "State", "Until", "Then", "", note=_DAYS)
    for agreement in answer.agreements:
        about, what, more = subject_text(agreement.subject), _what(agreement), _more(agreement)
        for cover in agreement.covers or [agreement_pb2.AgreementCover()]:
            add_row(shown, about, what, *_cover_cells(cover), more)
            about = what = more = ""  # said once
    stdout_console().print(shown if answer.agreements else "the project has nothing that an agreement could be about")
    for awaited in answer.awaited:
        text = f"order {awaited.order} of {awaited.day} awaits its payment: {awaited.reason}"
        stdout_console().print(visible(text, "yellow"))


@asks_master(app, "endings", rich_help_panel=QUESTION_PANEL)
def list_endings(master: Master, day: DayOption = "", days: DaysOption = 90) -> None:
    """Show what ends in the next days, what stops working then, and what goes on."""
    answer = _endings(master, day, days)
    if master.shows_json(answer):
        return
    shown = table("Ends", "In days", "For", "What", "Stops", "Goes on", "Renew by", numbers=["In days"], note=_DAYS)
    for ending in answer.endings:
        style = "bold red" if ending.stops else "yellow" if ending.reminder_due else ""
        by = "renews itself" if ending.renews_itself else " or ".join(ending.renew_by)
        by = f"order {ending.awaited_order} awaits its payment" if ending.awaited_order else by
        ends, about = visible(ending.day, style), subject_text(ending.subject)
        add_row(shown, ends, ending.days_left, about, ending.title, ending.what_stops, ending.what_goes_on, by)
    nothing = f"nothing ends from {answer.from_day} to {answer.to_day}"
    stdout_console().print(shown if answer.endings else nothing)


@asks_master(app, "rights", rich_help_panel=QUESTION_PANEL)
def rights(master: Master, day: DayOption = "", as_of: AsOfOption = "") -> None:
    """Show what the project may run on a day; for a day ahead, if nothing more is ordered."""
    request = agreement_pb2.GetRightsRequest(project=master.project, day=day, as_of=_as_of(as_of))
    answer = master.listing(master.agreements.GetRights, request)
    if master.shows_json(answer):
        return
    shown = table("For", "What", "State", "In force", "Newest", "Support", "Why", title=f"On {answer.day}")
    for right in answer.rights:
        status = in_words(agreement_pb2.RightStatus.DESCRIPTOR, right.status)
        add_row(
            shown,
            subject_text(right.subject),
            right.title,
            visible(status, "" if right.status == agreement_pb2.RIGHT_STATUS_RUNS else "bold red"),
            _counts(right.counts),
            right.newest_release,
            "yes" if right.supported else "no",
            right.why + in_brackets(right.rules),
        )
    stdout_console().print(shown if answer.rights else "nothing")


@asks_master(app, "ledger", rich_help_panel=QUESTION_PANEL)
def ledger(
    master: Master,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]", help="Only about this.")] = None,
    as_of: AsOfOption = "",
    limit: LimitOption = 100,
) -> None:
    """Show everything that was ordered or happened, oldest first, and the credits."""
    if names is not None and len(names) > 1:
        raise CommandFailed("name one thing, or none for all of it")
    about = subjects(master, names)[0] if names else None
    request = agreement_pb2.ListEntriesRequest(project=master.project, as_of=_as_of(as_of), subject=about)
    answer = master.listing(master.agreements.ListEntries, request, limit)
    master.show_listing(answer, lambda: _entries_view(answer.entries), empty="nothing was ordered")
    if not master.as_json:
        stdout_console().print(visible(f"{answer.balance} credits in the balance"))


@asks_master(app, "calendar", rich_help_panel=QUESTION_PANEL, as_json=False)
def calendar(master: Master, day: DayOption = "", days: DaysOption = 1100) -> None:
    """Write everything that ends as a calendar (iCalendar) to standard output, with the reminders."""
    from master.cli.operator.agreements.calendar import as_icalendar

    name = master.project
    answer = _endings(master, day, days)
    write_out(as_icalendar(name.removeprefix("projects/"), answer.endings, datetime.now(UTC)))


@asks_master(app, "may-run", rich_help_panel=QUESTION_PANEL)
def may_run(
    master: Master,
    license_id: Annotated[str, typer.Argument(metavar="LICENSE", help="Bought as a product.")],
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="Such as 3.2.")],
    day: DayOption = "",
) -> None:
    """Ask whether a license may run a release. Exits with 1 where it may not."""
    name = master.named("licenses", license_id)
    request = agreement_pb2.CheckUpgradeRequest(server=name, to_release=release, day=day)
    answer = master.call(master.agreements.CheckUpgrade, request)
    end_check(answer, as_json=master.as_json)


def end_check(answer: agreement_pb2.CheckUpgradeResponse, *, as_json: bool) -> None:
    """Show whether an upgrade is allowed, and why; exit with 1 if the upgrade is refused."""
    if as_json:
        print_json(answer)
    elif answer.allowed:
        stdout_console().print(visible(f"allowed: {answer.why}{in_brackets(answer.rules)}", "green"))
    else:
        print_refusal(answer.refused)
    if not answer.allowed:
        raise typer.Exit(1)


@asks_master()
def show_credits(master: Master, as_of: AsOfOption = "") -> None:
    """Show the credits, and what was added and spent."""
    request = agreement_pb2.ListEntriesRequest(project=master.project, as_of=_as_of(as_of))
    answer = master.listing(master.agreements.ListEntries, request)
    entries = [entry for entry in answer.entries if entry.kind.startswith("credits_")]
    if master.shows_json(agreement_pb2.ListEntriesResponse(entries=entries, balance=answer.balance)):
        return
    shown = table("No", "Written", "Credits", "What", "Rules", "By", numbers=["No", "Credits"])
    for entry in entries:
        rules = " ".join(entry.rules)
        add_row(shown, entry.number, moment(entry.record_time), _credits(entry), _reason(entry), rules, entry.caller)
    stdout_console().print(shown if entries else "no credits were added or spent")
    stdout_console().print(visible(f"{answer.balance} credits in the balance", "bold"))


@asks_master()
def list_seats(master: Master, day: DayOption = "") -> None:
    """Show contracts, their seats, and who has them."""
    request = agreement_pb2.ListAgreementsRequest(
        project=master.project, day=day, kind=agreement_order_pb2.SUBJECT_KIND_CONTRACT
    )
    answer = master.listing(master.agreements.ListAgreements, request)
    if master.shows_json(answer):
        return
    shown = table("Contract", "User", "Uses")
    for agreement in answer.agreements:
        until = next((cover.end_day for cover in agreement.covers), "")
        premier = ", premier support" if agreement.premier else ""
        used = f"{len(agreement.seats)} assigned of {_counts(agreement.counts)}, until {until}{premier}"
        add_row(shown, visible(agreement.subject.id, "bold"), "", used)
        for seat in agreement.seats:
            add_row(shown, "", seat.user, " ".join(seat.uses))
    stdout_console().print(shown if answer.agreements else "the project has no contract")


def _endings(master: Master, day: str, days: int) -> agreement_pb2.ListEndingsResponse:
    request = agreement_pb2.ListEndingsRequest(project=master.project, from_day=day, days=days)
    return master.call(master.agreements.ListEndings, request)


def _entries_view(entries: Sequence[agreement_pb2.AgreementEntry]) -> Table:
    shown = table("No", "Written", "Day", "For", "What", "Rules", "By", numbers=["No"])
    for entry in entries:
        about, rules = subject_text(entry.subject), " ".join(entry.rules)
        add_row(shown, entry.number, moment(entry.record_time), entry.day, about, _reason(entry), rules, entry.caller)
    return shown


def _reason(entry: agreement_pb2.AgreementEntry) -> str:
    given = f" ({entry.given_reason})" if entry.given_reason else ""
    return f"{entry.reason}{given}" + ("; reversed" if entry.reversed else "")


def _credits(entry: agreement_pb2.AgreementEntry) -> str:
    """Return the credits that an entry adds to the balance: below zero if spent, 0 if the entry is reversed."""
    if entry.reversed:
        return "0"
    amount = json.loads(entry.details)["amount"]
    return f"-{amount}" if entry.kind == "credits_spent" else str(amount)


def _what(agreement: agreement_pb2.Agreement) -> str:
    counts = _counts(agreement.counts) if agreement.product else ""
    return f"{agreement.title}: {counts}" if counts else agreement.title


def _cover_cells(cover: agreement_pb2.AgreementCover) -> tuple[str, str, str, str]:
    if not cover.policy:
        return "none", "", "", ""
    then = "stops" if cover.stops_at_end else "goes on without"
    if cover.in_force:
        return cover.title, "in force", cover.end_day, then
    return cover.title, "ended" if cover.end_day else "never", cover.end_day, ""


def _more(agreement: agreement_pb2.Agreement) -> str:
    parts = [
        f"key {agreement.keys[-1].key}" if agreement.keys else "",
        f"renews by {agreement.auto_renewal}" if agreement.auto_renewal else "",
        f"runs {agreement.release}" if agreement.release else "",
        f"features {' '.join(agreement.features)}" if agreement.features else "",
        f"{len(agreement.seats)} seats assigned" if agreement.seats else "",
        "premier support" if agreement.premier else "",
    ]
    return ", ".join(part for part in parts if part)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {key}" for key, count in sorted(counts.items()))


def _as_of(text: str) -> Timestamp | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CommandFailed(
            f"--as-of {text!r} is no time", remedy="write it like 2026-03-01 or 2026-03-01T12:00:00Z"
        ) from error
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
