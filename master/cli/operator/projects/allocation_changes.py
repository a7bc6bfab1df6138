"""How an allocation is applied by commands, a whole file or a single change: shown, confirmed, sent, reported.

A command edits the allocation as it stands; `changing` adds the options, and carries it out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from licensemaster.v1 import allocation_pb2
from master.cli.connection.asking import Master, Options, asks_master, confirm
from master.cli.connection.options import ReasonOption, YesOption
from master.cli.connection.rpc_failure import RpcFailure
from master.cli.operator.monitoring.pool import outlooks_view
from master.cli.operator.projects.changes_view import joined_counts, print_changes
from master.cli.operator.projects.message_file import MessageFile, problems_error
from master.cli.output.rendering import stderr_console, stdout_console
from master.values import Value

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would change, who gains and who loses.")]
_OPTIONS: Options = {"dry_run": (DryRunOption, False), "yes": (YesOption, False), "reason": (ReasonOption, "")}


class Wanted(Value):
    """An allocation to be applied."""

    allocation: allocation_pb2.Allocation
    revision: int = 0
    """The revision of the project that the allocation was made from; 0 if it was made from none."""
    file: MessageFile[allocation_pb2.Allocation] | None = None
    """The file that the allocation was read from; None if it was read from none."""


class How(Value, kw_only=True):
    """The options with which an allocation is applied."""

    dry_run: bool
    yes: bool
    reason: str
    show_all: bool = False


def changing(app: typer.Typer, name: str, **shown: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function that edits the allocation as it stands.

    The function gets a `license_type` as the catalog key, however the type was typed.
    """

    def decorate(edit: Callable[..., None]) -> Callable[..., None]:
        def change(master: Master, **given: Any) -> None:
            how = How(**{option: given.pop(option) for option in _OPTIONS})
            stored = stored_allocation(master, given.get("license_type", ""))
            if "license_type" in given:
                given["license_type"] = stored.license_type
            edit(stored.allocation, **given)
            carry_out(master, Wanted(stored.allocation, stored.revision), how)

        asks_master(app, name, of=edit, more=_OPTIONS, **shown)(change)
        return edit

    return decorate


def stored_allocation(master: Master, license_type: str = "") -> allocation_pb2.GetAllocationResponse:
    """Return the allocation as it stands, and the catalog key of a license type."""
    request = allocation_pb2.GetAllocationRequest(project=master.project, license_type=license_type)
    return master.call(master.allocations.GetAllocation, request)


def carry_out(master: Master, wanted: Wanted, how: How) -> None:
    """Apply an allocation and show the changes. On a terminal without --yes, show who gains and loses, and ask."""
    planned = None
    if sys.stdin.isatty() and not how.yes and not how.dry_run:
        planned = send(master, wanted, dry_run=True)
        if planned.changes:
            _print(planned, stderr_console() if master.as_json else stdout_console(), show_all=how.show_all)
            confirm(f"Apply {joined_counts([(len(planned.changes), 'change')])}?")
    applied = send(master, wanted, dry_run=how.dry_run, reason=how.reason)
    if master.shows_json(applied):
        return
    if planned is None or not applied.changes or list(applied.changes) != list(planned.changes):
        _print(applied, stdout_console(), show_all=how.show_all)
    if applied.changes and not how.dry_run:
        made = joined_counts([(len(applied.changes), "change")])
        stdout_console().print(Text.assemble(("applied: ", "bold green"), f"{made}, revision {applied.revision}"))


def send(master: Master, wanted: Wanted, *, dry_run: bool, reason: str = "") -> allocation_pb2.ApplyAllocationResponse:
    """Hand the master an allocation.
    Raises CommandFailed if the master refuses the allocation; each problem has its line if it was read from a file."""
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
