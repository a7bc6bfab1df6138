"""`license-master allocation`: how shared pools are divided between sites when they are short."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from licensemaster.v1.allocation_pb2 import Allocation
from licensemaster.values import bare
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import ReasonOption, TypeArgument, YesOption
from master.cli.operator.projects.allocation_changes import (
    DryRunOption,
    How,
    Wanted,
    carry_out,
    changing,
    send,
    stored_allocation,
)
from master.cli.operator.projects.allocation_edits import (
    GROUP,
    Scope,
    give,
    serve_emergencies,
    set_limit,
    set_part,
    take_back,
)
from master.cli.operator.projects.changes_view import joined_counts
from master.cli.operator.projects.message_file import ALLOCATION, read_file
from master.cli.operator.projects.message_toml import message_toml
from master.cli.output.rendering import print_warnings, stdout_console, visible, write_out
from master.shipped import shipped

app = typer.Typer(help="Who gets the last seats: apply, check, show, example, and single rules.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An allocation file, TOML; - for standard input.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every change and every site, however many.")]
NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", min=-100, max=1_000_000)]


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is no moment; write it like 2026-11-25 or 2026-11-25T14:30+01:00"
        ) from error


def _moment(option: str, what: str) -> Any:
    helps = f'{what}: "2026-11-25", "2026-11-25T14:30" (in your time zone) or with an offset.'
    return typer.Option(option, metavar="MOMENT", help=helps, parser=_parsed)


def _whom(whom: str) -> str:
    if bare(whom) == GROUP:
        raise typer.BadParameter(f"{whom!r} names no group; write it like {GROUP}NAME")
    return whom


WhomArgument = Annotated[
    str, typer.Argument(metavar="SITE", help=f"The site, or {GROUP}NAME for a group of sites.", callback=_whom)
]


def _up_to(most: int, metavar: str) -> Any:
    return typer.Argument(metavar=metavar, min=0, max=most)


def _kept(option: str, what: str) -> Any:
    return typer.Option(option, metavar="NUMBER", min=0, max=1_000_000, help=f"{what}; as it was where not given.")


@asks_master(app, "apply")
def apply(
    master: Master,
    file: FileArgument,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    show_all: AllOption = False,
) -> None:
    """Have FILE say how shared pools are divided, after showing who gains and who loses by it.

    Seats that are held are not taken away. Asks before it changes anything where a person looks on.
    """
    read = read_file(file, ALLOCATION)
    how = How(dry_run=dry_run, yes=yes, reason=reason, show_all=show_all)
    carry_out(master, Wanted(read.message, file=read), how)


@asks_master(app, "check", as_json=False)
def check(
    master: Master,
    file: FileArgument,
    offline: Annotated[bool, typer.Option("--offline", help="Check the form alone; ask no master.")] = False,
) -> None:
    """Check FILE, and ask the master whether it would take it; changes nothing."""
    read = read_file(file, ALLOCATION)
    allocation = read.message
    parts = [(len(allocation.groups), "group"), (len(allocation.rules), "rule"), (len(allocation.types), "type")]
    holds = joined_counts([part for part in parts if part[0]] or [(0, "rule")])
    if offline:
        stdout_console().print(visible(f"{file}: well-formed; {holds}"))
        return
    planned = send(master, Wanted(allocation, file=read), dry_run=True)
    print_warnings(planned.warnings, stdout_console())
    changes = joined_counts([(len(planned.changes), "change")])
    stdout_console().print(visible(f"{file}: good; {holds}; applying it makes {changes}"))


@asks_master(app, "show")
def show(master: Master) -> None:
    """Print the allocation as the file that it could be applied from."""
    response = stored_allocation(master)
    if not master.shows_json(response):
        stored = response.allocation
        is_empty = not (stored.groups or stored.rules or stored.types)
        write_out("# No rules: first come, first served.\n" if is_empty else message_toml(stored))


@app.command("example")
def example() -> None:
    """Print an example of an allocation file to begin with."""
    write_out((shipped("examples") / "allocation" / "allocation.toml").read_text(encoding="utf-8"))


# --- Single changes of what stands ------------------------------------------------------------------------------------


@changing(app, "reserve")
def reserve(
    allocation: Allocation,
    whom: WhomArgument,
    license_type: TypeArgument,
    number: NumberArgument,
    since: Annotated[datetime | None, _moment("--from", "From when on")] = None,
    until: Annotated[datetime | None, _moment("--until", "Until when")] = None,
) -> None:
    """Keep NUMBER seats of TYPE for SITE: nobody else gets them."""
    give(allocation, Scope(whom=whom, start=since, end=until), "reserve", license_type, number)


@changing(app, "maximum")
def maximum(allocation: Allocation, whom: WhomArgument, license_type: TypeArgument, number: NumberArgument) -> None:
    """Let SITE have NUMBER seats of TYPE at most."""
    give(allocation, Scope(whom=whom), "maximum", license_type, number)


@changing(app, "weight")
def weight(allocation: Allocation, whom: WhomArgument, license_type: TypeArgument, number: NumberArgument) -> None:
    """Give SITE a share of what is short of TYPE in proportion to NUMBER; others have 1."""
    give(allocation, Scope(whom=whom), "weight", license_type, number)


@changing(app, "priority", context_settings={"ignore_unknown_options": True})
def priority(allocation: Allocation, whom: WhomArgument, license_type: TypeArgument, number: NumberArgument) -> None:
    """Have SITE served before all of lower priority where TYPE is short; others have 0."""
    give(allocation, Scope(whom=whom), "priority", license_type, number)


@changing(app, "emergencies")
def emergencies(
    allocation: Allocation,
    whom: WhomArgument,
    no_longer: Annotated[bool, typer.Option("--no-longer", help="It does not any more.")] = False,
) -> None:
    """Say that SITE serves emergencies: where a pool becomes too small, it gives up seats after all others."""
    serve_emergencies(allocation, Scope(whom=whom), serves=not no_longer)


@changing(app, "queue")
def queue(
    allocation: Allocation,
    license_type: TypeArgument,
    length: Annotated[int, _up_to(10_000, "LENGTH")],
    express: Annotated[int | None, _kept("--express", "Calls for so few seats go before larger ones")] = None,
    patience: Annotated[int | None, _kept("--patience", "After so many seconds one goes before all others")] = None,
) -> None:
    """Let LENGTH seats of TYPE be waited for at once, in the whole project; 0 for none: nobody waits any longer."""
    numbers = {"length_max": length, "express_seats_max": express, "patience_seconds": patience}
    set_part(allocation, license_type, "queue", **numbers)


@changing(app, "overdraft")
def overdraft(
    allocation: Allocation,
    license_type: TypeArgument,
    number: Annotated[int, _up_to(100_000, "NUMBER")],
    budget: Annotated[int | None, _kept("--budget", "Seat hours that there are to spend")] = None,
    refill: Annotated[int | None, _kept("--refill", "Seat hours that come back in a day without any overdraft")] = None,
) -> None:
    """Let NUMBER seats of TYPE be granted above what is installed, while the budget lasts; 0 for none."""
    numbers = {"seats": number, "budget_seat_hours": budget, "refill_seat_hours_per_day": refill}
    set_part(allocation, license_type, "overdraft", **numbers)


@changing(app, "loans")
def loans(allocation: Allocation, license_type: TypeArgument, days: Annotated[int, _up_to(366, "DAYS")]) -> None:
    """Let a PBX borrow seats of TYPE for DAYS days at most; 0: no more are lent. What is lent stays until its end."""
    set_limit(allocation, license_type, "loan_days_max", days)


@changing(app, "first-claim")
def first_claim(
    allocation: Allocation, license_type: TypeArgument, seconds: Annotated[int, _up_to(86_400, "SECONDS")]
) -> None:
    """Keep seats of TYPE for SECONDS for a PBX whose lease ran out: it finds them again after an outage; 0 for none."""
    set_limit(allocation, license_type, "first_claim_seconds", seconds)


@changing(app, "blocks")
def blocks(allocation: Allocation, license_type: TypeArgument, number: Annotated[int, _up_to(1_000, "NUMBER")]) -> None:
    """Let a PBX hold NUMBER seats of TYPE ahead of need, which it uses without asking; 0 for none."""
    set_limit(allocation, license_type, "block_seats_max", number)


@changing(app, "remove")
def remove(
    allocation: Allocation, rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's name.")]
) -> None:
    """Take RULE back."""
    take_back(allocation, rule)
