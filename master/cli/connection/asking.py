"""Commands that ask a master: the options that say which one, of which project, and how the answer is shown."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from google.protobuf.message import Message
from rich.console import RenderableType

from master.cli.connection.connection import Connection
from master.cli.connection.options import DEFAULT_SERVER, JsonOption, ProjectOption, ServerOption
from master.cli.output.failure import CommandFailed
from master.cli.output.paging import rows_of
from master.cli.output.rendering import print_json, stderr_console, stdout_console, visible

Options = Mapping[str, tuple[Any, Any]]
"""Options by the name of their parameter, each with its declaration and its default."""
_OPTIONS: Options = {
    "as_json": (JsonOption, False),
    "project": (ProjectOption, None),
    "server": (ServerOption, DEFAULT_SERVER),
}


class Master(Connection):
    """The master that a command asks, and how its answer is to be shown."""

    def __init__(self, server: str, *, project: str | None = None, as_json: bool = False) -> None:
        super().__init__(server)
        self._project = project
        self.as_json = as_json

    @functools.cached_property
    def project(self) -> str:
        """The project to ask about, as projects/{project}; raises CommandFailed where no single project is meant."""
        return self.project_name(self._project)

    def named(self, kind: str, name: str) -> str:
        """Return the full name of what has a name in the project, such as of the kind "pbxs"; a full name as it is."""
        return name if name.startswith("projects/") else f"{self.project}/{kind}/{name}"

    def short(self, kind: str, name: str) -> str:
        """Return the name within the project of what is named in full there; another name as it is."""
        return name.removeprefix(f"{self.project}/{kind}/")

    def shows_json(self, answer: Message) -> bool:
        """Print an answer as JSON if `--json` was given. Tell whether `--json` was given."""
        if self.as_json:
            print_json(answer)
        return self.as_json

    def show(self, answer: Message, view: Callable[[], RenderableType]) -> None:
        """Print an answer as JSON if `--json` was given, else as `view` shows the answer."""
        if not self.shows_json(answer):
            stdout_console().print(view())

    def show_listing(self, answer: Message, view: Callable[[], RenderableType], *, empty: str) -> None:
        """Print a listing: as JSON if `--json` was given, else as `view` shows it; if empty, print `empty`.

        Says on standard error if the master has more rows.
        """
        if self.shows_json(answer):
            return
        if rows := rows_of(answer):
            stdout_console().print(view())
            if getattr(answer, "next_page_token", ""):
                stderr_console().print(f"the first {len(rows):,}; --limit 0 shows all")
        else:
            stderr_console().print(empty)


def asks_master(
    app: typer.Typer | None = None,
    name: str | None = None,
    *,
    project: bool = True,
    as_json: bool = True,
    of: Callable[..., object] | None = None,
    more: Options | None = None,
    **shown: Any,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function whose first parameter is the master, and add the options that name the master.

    The command is put into the group `app`, if one is given, as `name` or else under the function's own name.
    `project` and `as_json` say whether the command has `--project` and `--json`. If `of` is given, help shows the
    name, docstring and parameters of `of`, without its first parameter; the options `more` come behind these.
    """
    has = {"as_json": as_json, "project": project, "server": True}
    options = {name: option for name, option in _OPTIONS.items() if has[name]}

    def decorate(ask: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(of or ask, eval_str=True).parameters.values()

        @functools.wraps(of or ask)
        def command(**given: Any) -> None:
            with Master(**{name: given.pop(name) for name in options}) as master:
                ask(master, **given)

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in {**(more or {}), **options}.items()
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        if app is not None:
            app.command(name, **shown)(command)
        return command

    return decorate


def confirm(
    question: str,
    lines: Sequence[str] = (),
    *,
    why: str = "this has to be confirmed",
    remedy: str = "run it again with --yes",
) -> None:
    """Print the lines that say what a change means, and ask the question; end the command if the answer is no.
    Raises CommandFailed if nobody can answer, as the input is no terminal."""
    console = stderr_console()
    for line in lines:
        console.print(visible(line, "yellow"))
    if not sys.stdin.isatty():
        raise CommandFailed(f"nothing was changed: {why}", remedy=remedy)
    try:
        confirmed = typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input: no yes
        confirmed = False
    if not confirmed:
        console.print("nothing was changed")
        raise typer.Exit(1)
