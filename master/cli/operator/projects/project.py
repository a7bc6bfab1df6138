"""`license-master project`: the estate as a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from licensemaster.v1 import project_pb2
from licensemaster.values.similar import closest
from master.cli.connection.asking import Master, asks_master, confirm
from master.cli.connection.connection import Connection
from master.cli.connection.options import DEFAULT_SERVER, LimitOption, ReasonOption, ServerOption, YesOption
from master.cli.connection.rpc_failure import RpcFailure
from master.cli.operator.projects.changes_view import joined_counts, print_changes
from master.cli.operator.projects.message_file import PROJECT, MessageFile, problems_error, read_file
from master.cli.operator.projects.message_toml import message_toml
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import (
    add_row,
    moment,
    print_json,
    print_warnings,
    stderr_console,
    stdout_console,
    table,
    visible,
    write_out,
)
from master.shipped import shipped

app = typer.Typer(help="The estate as a file: apply, check, show, list, delete.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A project file, TOML; - for standard input.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every change, however many.")]


@asks_master(app, "apply", project=False)
def apply(
    master: Master,
    file: FileArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    show_all: AllOption = False,
) -> None:
    """Make the master's project equal to FILE, after showing what that changes.

    Asks before it changes anything where a person looks on; where nobody does, what removes something needs --yes.
    """
    read = read_file(file, PROJECT)
    applied = planned = _apply(master, read, dry_run=True, reason=reason)
    applies = bool(planned.changes) and not dry_run
    removes = [change for change in planned.changes if change.action == project_pb2.CHANGE_ACTION_REMOVE]
    asks = applies and not yes and (sys.stdin.isatty() or bool(removes))
    if asks or not master.as_json:
        print_changes(planned, stderr_console() if master.as_json else stdout_console(), show_all=show_all)
    if asks:
        confirm(
            f"Apply {joined_counts([(len(planned.changes), 'change')])}?",
            why=f"this removes {joined_counts([(len(removes), 'thing')])}, which has to be confirmed",
            remedy="look at what goes (marked -), and run it again with --yes",
        )
    if applies:
        applied = _apply(master, read, dry_run=False, reason=reason)
    if master.as_json:
        print_json(applied)
    elif applied is not planned:
        _report(planned, applied, read.message.name)


@app.command("check")
def check(
    file: FileArgument,
    offline: Annotated[bool, typer.Option("--offline", help="Check the form alone; ask no master.")] = False,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Check FILE, and ask the master whether it would take it; changes nothing."""
    read = read_file(file, PROJECT)
    console = stdout_console()
    project = read.message
    held = joined_counts(
        [(len(project.sites), "site"), (len(project.pbxs), "PBX"), (len(project.licenses), "license item")]
    )
    if offline:
        console.print(visible(f"{file}: well-formed; {held}"))
        return
    with Connection(server) as connection:
        planned = _apply(connection, read, dry_run=True)
    print_warnings(planned.warnings, console)
    changes = joined_counts([(len(planned.changes), "change")])
    console.print(visible(f"{file}: good; {held}; applying it makes {changes}"))


@asks_master(app, "show")
def show(
    master: Master,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    as_toml: Annotated[bool, typer.Option("--toml", help="As a project file, which is the default.")] = False,
) -> None:
    """Print a project as the project file that it was last made from."""
    if as_toml and master.as_json:
        raise typer.BadParameter("--toml and --json exclude each other")
    request = project_pb2.GetProjectRequest(name=master.project_name(name) if name else master.project)
    response = master.call(master.projects.GetProject, request)
    if master.shows_json(response):
        return
    heading = f"# Revision {response.revision}, applied {moment(response.apply_time)}.\n\n"
    write_out(heading + message_toml(response.project))


@asks_master(app, "list", project=False)
def list_projects(master: Master, limit: LimitOption = 0) -> None:
    """List the master's projects."""
    answer = master.listing(master.projects.ListProjects, project_pb2.ListProjectsRequest(), limit)
    names = "\n".join(name.removeprefix("projects/") for name in answer.names)
    empty = "no project yet; apply one with `license-master project apply FILE`"
    master.show_listing(answer, lambda: visible(names), empty=empty)


@app.command("example")
def example(name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which one.")] = "") -> None:
    """Print an example of a project file to begin with, or list the examples."""
    files = {path.stem: path for path in sorted(shipped("examples").glob("*.toml"))}
    if not name:
        shown = table("Example", "About")
        for stem, path in files.items():
            about = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            add_row(shown, visible(stem, "bold"), about)
        stdout_console().print(shown)
        return
    if name not in files:
        raise CommandFailed(
            f"there is no example {name!r}{closest(name, files)}", remedy="`license-master project example` lists them"
        )
    write_out(files[name].read_text(encoding="utf-8"))


@asks_master(app, "delete", project=False)
def delete(
    master: Master,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project's name.")],
    reason: ReasonOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go, or what is in the way.")] = False,
    yes: YesOption = False,
) -> None:
    """Delete a project, as one that was applied under a mistyped name.

    Refused while anything of it is leased or bound: says what. Its audit and its agreement ledger stay under its name.
    """
    request = project_pb2.DeleteProjectRequest(name=master.project_name(name), reason=reason, dry_run=True)
    response = master.call(master.projects.DeleteProject, request)
    if not dry_run:
        if not yes:
            confirm(f"Delete {name}?", [_deleted(name, response, "would delete")])
        request.dry_run = False
        response = master.call(master.projects.DeleteProject, request)
    master.show(response, lambda: visible(_deleted(name, response, "deleted" if not dry_run else "would delete")))


def _deleted(name: str, response: project_pb2.DeleteProjectResponse, done: str) -> str:
    gone = [
        (response.pbxs, "PBX"),
        (response.devices, "device"),
        (response.licenses, "license item"),
        (response.webhooks, "webhook"),
    ]
    stay = [(response.events, "event")] + (
        [(response.ledger_entries, "ledger entry")] if response.ledger_entries else []
    )
    return f"{done} {name}: {joined_counts(gone)}; {joined_counts(stay)} of its audit stay under its name"


@asks_master(app, "end-learning")
def end_learning(master: Master, reason: ReasonOption) -> None:
    """End the learning after a restore before its time: what was not proven may be lent again, and so twice."""
    name = master.project
    request = project_pb2.EndLearningRequest(project=name, reason=reason)
    ended = master.call(master.projects.EndLearning, request)
    if master.shows_json(ended):
        return
    risk = f"{ended.pbxs_silent:,} PBXs have not opened their lease anew, and may use {ended.seats_at_risk:,} seats"
    stdout_console().print(visible(f"{name}: learning has ended; {risk}"))


def _apply(
    connection: Connection, read: MessageFile[project_pb2.Project], *, dry_run: bool, reason: str = ""
) -> project_pb2.ApplyProjectResponse:
    request = project_pb2.ApplyProjectRequest(project=read.message, dry_run=dry_run, reason=reason)
    try:
        return connection.call(connection.projects.ApplyProject, request)
    except RpcFailure as failure:
        if not failure.violations:
            raise
        problems = [read.violation(v.field, v.description) for v in failure.violations]
        raise problems_error(read.source, problems) from failure


def _report(planned: project_pb2.ApplyProjectResponse, applied: project_pb2.ApplyProjectResponse, project: str) -> None:
    console = stdout_console()
    if list(applied.changes) != list(planned.changes):
        console.print(Text("somebody else changed the project in between; this is what was applied:", style="yellow"))
        print_changes(applied, console)
    made = joined_counts([(len(applied.changes), "change")])
    console.print(
        Text.assemble(("applied: ", "bold green"), visible(f"{project}, {made}, revision {applied.revision}"))
    )
