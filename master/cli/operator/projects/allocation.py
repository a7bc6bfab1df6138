"""`license-master allocation`: how shared pools are divided between sites when they are short."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from licensemaster.v1 import allocation_pb2
from master.cli.connection.asking import Master, asks_master, confirm
from master.cli.connection.options import ReasonOption, TypeArgument, YesOption
from master.cli.connection.rpc_failure import RpcFailure
from master.cli.operator.monitoring.pool import outlooks_view
from master.cli.operator.projects.allocation_edits import (
    GROUP,
    Amount,
    Scope,
    give,
    let_overdraw,
    let_wait,
    serve_emergencies,
    take_back,
)
from master.cli.operator.projects.changes_view import joined_counts, print_changes
from master.cli.operator.projects.message_file import ALLOCATION, MessageFile, problems_error, read_file
from master.cli.operator.projects.message_toml import message_toml
from master.cli.output.rendering import (
    print_json,
    print_warnings,
    stderr_console,
    stdout_console,
    visible,
    write_out,
)
from master.shipped import shipped

app = typer.Typer(help="Who gets the last seats: apply, check, show, example, and single rules.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An allocation file, in TOML.", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="Every change and every site, however many.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would change, who gains and who loses.")]
WhomArgument = Annotated[
    str, typer.Argument(metavar="SITE", help=f"The site, or {GROUP}NAME for a group of sites.", show_default=False)
]
NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", min=-100, max=1_000_000, show_default=False)]


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is no moment; write it like 2026-11-25 or 2026-11-25T14:30+01:00"
        ) from error


def _moment(option: str, what: str) -> Any:
    helps = f'{what}: "2026-11-25", "2026-11-25T14:30" (in your time zone) or with an offset.'
    return typer.Option(option, metavar="MOMENT", help=helps, show_default=False, parser=_parsed)


def _kept(option: str, what: str) -> Any:
    return typer.Option(option, metavar="NUMBER", min=0, help=f"{what}; as it was where not given.", show_default=False)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An allocation to be applied."""

    allocation: allocation_pb2.Allocation
    revision: int = 0
    """The project's revision that it was made from; 0 where it was made from none."""
    file: MessageFile[allocation_pb2.Allocation] | None = None
    """What it was read from."""


@dataclass(frozen=True, slots=True)
class _How:
    """How it is to be carried out."""

    dry_run: bool
    yes: bool
    reason: str
    show_all: bool = False


@app.command("apply")
@asks_master()
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
    _carry_out(master, _Wanted(read.message, file=read), _How(dry_run, yes, reason, show_all))


@app.command("check")
@asks_master(as_json=False)
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
    planned = _send(master, _Wanted(allocation, file=read), dry_run=True)
    print_warnings(planned.warnings, stdout_console())
    changes = joined_counts([(len(planned.changes), "change")])
    stdout_console().print(visible(f"{file}: good; {holds}; applying it makes {changes}"))


@app.command("show")
@asks_master()
def show(master: Master) -> None:
    """Print the allocation as the file that it could be applied from."""
    response = _stored(master)
    if not master.shows_json(response):
        stored = response.allocation
        is_empty = not (stored.groups or stored.rules or stored.types)
        write_out("# No rules: first come, first served.\n" if is_empty else message_toml(stored))


@app.command("example")
def example() -> None:
    """Print an example of an allocation file to begin with."""
    write_out((shipped("examples") / "allocation" / "allocation.toml").read_text(encoding="utf-8"))


@app.command("reserve")
@asks_master()
def reserve(
    master: Master,
    whom: WhomArgument,
    license_type: TypeArgument,
    number: NumberArgument,
    since: Annotated[datetime | None, _moment("--from", "From when on")] = None,
    until: Annotated[datetime | None, _moment("--until", "Until when")] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Keep NUMBER seats of TYPE for SITE: nobody else gets them."""
    scope = Scope(whom=whom, start=since, end=until)
    _give(master, scope, "reserve", license_type, number, _How(dry_run, yes, reason))


@app.command("maximum")
@asks_master()
def maximum(
    master: Master,
    whom: WhomArgument,
    license_type: TypeArgument,
    number: NumberArgument,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Let SITE have NUMBER seats of TYPE at most."""
    _give(master, Scope(whom=whom), "maximum", license_type, number, _How(dry_run, yes, reason))


@app.command("weight")
@asks_master()
def weight(
    master: Master,
    whom: WhomArgument,
    license_type: TypeArgument,
    number: NumberArgument,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Give SITE a share of what is short of TYPE in proportion to NUMBER; others have 1."""
    _give(master, Scope(whom=whom), "weight", license_type, number, _How(dry_run, yes, reason))


@app.command("priority", context_settings={"ignore_unknown_options": True})
@asks_master()
def priority(
    master: Master,
    whom: WhomArgument,
    license_type: TypeArgument,
    number: NumberArgument,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Have SITE served before all of lower priority where TYPE is short; others have 0."""
    _give(master, Scope(whom=whom), "priority", license_type, number, _How(dry_run, yes, reason))


@app.command("emergencies")
@asks_master()
def emergencies(
    master: Master,
    whom: WhomArgument,
    no_longer: Annotated[bool, typer.Option("--no-longer", help="It does not any more.")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Say that SITE serves emergencies: where a pool becomes too small, it gives up seats after all others."""
    stored = _stored(master)
    serve_emergencies(stored.allocation, Scope(whom=whom), serves=not no_longer)
    _carry_out(master, _Wanted(stored.allocation, stored.revision), _How(dry_run, yes, reason))


@app.command("queue")
@asks_master()
def queue(
    master: Master,
    license_type: TypeArgument,
    length: Annotated[int, typer.Argument(metavar="LENGTH", min=0, max=10_000, show_default=False)],
    express: Annotated[int | None, _kept("--express", "Calls for so few seats go before larger ones")] = None,
    patience: Annotated[int | None, _kept("--patience", "After so many seconds one goes before all others")] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Let LENGTH seats of TYPE be waited for at once, in the whole project; 0 for none: nobody waits any longer."""
    stored = _stored(master, license_type)
    let_wait(stored.allocation, stored.license_type, length, express=express, patience_seconds=patience)
    _carry_out(master, _Wanted(stored.allocation, stored.revision), _How(dry_run, yes, reason))


@app.command("overdraft")
@asks_master()
def overdraft(
    master: Master,
    license_type: TypeArgument,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, max=100_000, show_default=False)],
    budget: Annotated[int | None, _kept("--budget", "Seat hours that there are to spend")] = None,
    refill: Annotated[int | None, _kept("--refill", "Seat hours that come back in a day without any overdraft")] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Let NUMBER seats of TYPE be granted above what is installed, while the budget lasts; 0 for none."""
    stored = _stored(master, license_type)
    let_overdraw(stored.allocation, stored.license_type, number, budget=budget, refill=refill)
    _carry_out(master, _Wanted(stored.allocation, stored.revision), _How(dry_run, yes, reason))


@app.command("remove")
@asks_master()
def remove(
    master: Master,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's name.", show_default=False)],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Take RULE back."""
    stored = _stored(master)
    take_back(stored.allocation, rule)
    _carry_out(master, _Wanted(stored.allocation, stored.revision), _How(dry_run, yes, reason))


def _give(master: Master, scope: Scope, amount: Amount, license_type: str, number: int, how: _How) -> None:
    stored = _stored(master, license_type)
    give(stored.allocation, scope, amount, stored.license_type, number)
    _carry_out(master, _Wanted(stored.allocation, stored.revision), how)


def _carry_out(master: Master, wanted: _Wanted, how: _How) -> None:
    """Show who gains and who loses, and apply it; asks before it changes anything where a person looks on."""
    planned = _send(master, wanted, dry_run=True, reason=how.reason)
    asks = bool(planned.changes) and not how.dry_run and not how.yes and sys.stdin.isatty()
    if asks:
        _print(planned, stderr_console() if master.as_json else stdout_console(), show_all=how.show_all)
        confirm(f"Apply {joined_counts([(len(planned.changes), 'change')])}?")
    only_told = how.dry_run or not planned.changes
    applied = planned if only_told else _send(master, wanted, dry_run=False, reason=how.reason)
    if master.as_json:
        print_json(applied)
        return
    if not asks or list(applied.changes) != list(planned.changes):
        _print(applied, stdout_console(), show_all=how.show_all)
    if not only_told:
        _report(applied)


def _stored(master: Master, license_type: str = "") -> allocation_pb2.GetAllocationResponse:
    """The allocation as it stands, and the catalog key of a type."""
    request = allocation_pb2.GetAllocationRequest(project=master.project, license_type=license_type)
    return master.call(master.allocations.GetAllocation, request)


def _send(
    master: Master, wanted: _Wanted, *, dry_run: bool, reason: str = ""
) -> allocation_pb2.ApplyAllocationResponse:
    request = allocation_pb2.ApplyAllocationRequest(
        project=master.project,
        allocation=wanted.allocation,
        dry_run=dry_run,
        reason=reason,
        expected_revision=wanted.revision,
    )
    try:
        return master.call(master.allocations.ApplyAllocation, request)
    except RpcFailure as failure:
        if not failure.violations:
            raise
        if wanted.file is None:
            said = [f"{wrong.field}: {wrong.description}" for wrong in failure.violations]
            raise problems_error("the allocation", said) from failure
        problems = [wanted.file.violation(wrong.field, wrong.description) for wrong in failure.violations]
        raise problems_error(wanted.file.source, problems) from failure


def _print(response: allocation_pb2.ApplyAllocationResponse, console: Console, *, show_all: bool) -> None:
    print_changes(response, console, show_all=show_all)
    if response.outlooks:
        console.print(outlooks_view(response.outlooks, show_all=show_all))


def _report(applied: allocation_pb2.ApplyAllocationResponse) -> None:
    made = joined_counts([(len(applied.changes), "change")])
    stdout_console().print(Text.assemble(("applied: ", "bold green"), f"{made}, revision {applied.revision}"))
