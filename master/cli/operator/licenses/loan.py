"""`license-master loan`: seats that PBXs borrow for days: open, list, return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import loan_pb2
from master.cli.connection.asking import Master, asks_master, confirm
from master.cli.connection.options import PbxArgument, ReasonOption, TypeArgument, YesOption
from master.cli.operator.monitoring.pool import outlooks_view
from master.cli.output.rendering import add_row, distance, moment, short_name, stdout_console, table, visible

app = typer.Typer(help="Seats that a PBX borrows for days: open, list, return.", no_args_is_help=True)


@asks_master(app, "open")
def open_loan(
    master: Master,
    pbx: PbxArgument,
    license_type: TypeArgument,
    seats: Annotated[int, typer.Argument(metavar="SEATS", min=1, max=1_000_000, help="How many in all.")],
    days: Annotated[int, typer.Option("--days", min=1, max=36_600, help="For how many days from now.")],
    reason: ReasonOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show whether it would be lent, and which sites could get fewer.")
    ] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Every site, however many.")] = False,
) -> None:
    """Lend a PBX seats for days, or extend what it has borrowed: more of them, or for longer.

    They are counted for it until their day whether it reaches a master or not, and nobody else gets them. It is handed
    the signed loan with its next renewal. `license-master loan return` is the way back.
    """
    name, end_time = master.named("pbxs", pbx), Timestamp()
    end_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    if dry_run:
        asked = loan_pb2.PreviewLoanRequest(
            pbx=name, license_type=license_type, seats=seats, end_time=end_time, reason=reason
        )
        preview = master.call(master.loans.PreviewLoan, asked)
        if not master.shows_json(preview):
            stdout_console().print(_opened(pbx, preview.loan, "would have borrowed"))
            stdout_console().print(outlooks_view(preview.outlooks, show_all=show_all))
        return
    request = loan_pb2.BorrowSeatsRequest(
        pbx=name, license_type=license_type, seats=seats, end_time=end_time, reason=reason
    )
    response = master.call(master.loans.BorrowSeats, request)
    if not master.shows_json(response):
        stdout_console().print(_opened(pbx, response.loan, "has borrowed"))


@asks_master(app, "list")
def list_loans(master: Master) -> None:
    """Show what is borrowed, by whom, until when, and how much of it its PBX holds now."""
    answer = master.call(master.loans.ListLoans, loan_pb2.ListLoansRequest(project=master.project))
    master.show_listing(answer, lambda: _table(answer), empty="nothing is borrowed")


@asks_master(app, "return")
def return_loan(
    master: Master,
    pbx: PbxArgument,
    license_type: TypeArgument,
    reason: ReasonOption,
    keep: Annotated[int, typer.Option("--keep", min=0, max=1_000_000, help="How many stay borrowed.")] = 0,
    yes: YesOption = False,
) -> None:
    """Take back what a PBX has borrowed, all or part, before its day.

    For a PBX that cannot return it itself. It hears of it with its next renewal; one out of reach may go on using what
    it borrowed until its day, while others are granted the seats.
    """
    if not yes:
        risk = (
            f"{pbx} may go on using it until it reaches a master, or until its day, while others are granted the seats"
        )
        confirm(f"Take back what {pbx} has borrowed?", [risk])
    request = loan_pb2.ReturnLoanRequest(
        pbx=master.named("pbxs", pbx), license_type=license_type, seats_kept=keep, reason=reason
    )
    response = master.call(master.loans.ReturnLoan, request)
    if master.shows_json(response):
        return
    left = f"{response.loan.seats:,} {license_type}" if response.HasField("loan") else "nothing"
    lines = [f"{pbx}: {left} stays borrowed"]
    if response.seats_at_risk:
        until, risk = moment(response.risk_end_time), f"{response.seats_at_risk:,} seats"
        lines.append(f"at risk until {until}: {risk} may stay in use and be granted to others as well")
    for line in lines:
        stdout_console().print(visible(line))


def _opened(pbx: str, loan: loan_pb2.Loan, has: str) -> Text:
    return visible(f"{pbx} {has} {loan.seats:,} {loan.license_type} until {moment(loan.end_time)}")


def _table(answer: loan_pb2.ListLoansResponse) -> Table:
    shown = table("PBX", "type", "borrowed", "held now", "ends", numbers=("borrowed", "held now"))
    now = datetime.now(UTC)
    for loan in answer.loans:
        ends = f"{moment(loan.end_time)} ({distance(loan.end_time, now)})"
        add_row(shown, short_name(loan.pbx), loan.license_type, loan.seats, loan.seats_held, ends)
    return shown
