"""Help shows every character that was written: what rich takes for markup is escaped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import click
import typer
from rich.text import Text

from master.cli.command_table import HELP
from master.cli.main import app
from tests.cli.command import COMMAND, Done, run, surroundings


def texts(command: Any, context: click.Context, path: str) -> Iterator[tuple[str, str]]:
    """All that the help of a command and of those below it shows, by where it stands."""
    yield path, command.help or ""
    for param in command.params:
        yield f"{path} {param.name}", getattr(param, "help", None) or ""
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from texts(command.get_command(context, name), context, f"{path} {name}")


def test_no_help_text_is_eaten_as_markup() -> None:
    root: Any = typer.main.get_command(app)
    collected = dict(texts(root, root.make_context("license-master", ["docs"]), "license-master"))
    assert len(collected) > 300
    for where, text in collected.items():
        assert Text.from_markup(text).plain == text.replace("\\[", "["), where
    assert "Items as [[licenses]] tables" in Text.from_markup(collected["license-master vendor issue source"]).plain


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    root: Any = typer.main.get_command(app)
    context = root.make_context("license-master", ["docs"])
    loaded = {name: root.get_command(context, name).help for name in root.list_commands(context)}
    assert {name: " ".join(text.partition("\n\n")[0].split()) for name, text in loaded.items()} == HELP


def test_every_number_that_is_asked_for_has_bounds() -> None:
    """Beyond those it fits into no message. How many rows are shown is said to nobody."""

    def numbers(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        for param in command.params:
            if param.type.name in ("int", "int range", "float", "float range") and param.name != "limit":
                yield f"{path} {param.name}", param.type
        for name, below in getattr(command, "commands", {}).items():
            yield from numbers(below, f"{path} {name}")

    root: Any = typer.main.get_command(app)
    context = root.make_context("license-master", ["docs"])
    found = [
        number for name in root.list_commands(context) for number in numbers(root.get_command(context, name), name)
    ]
    assert len(found) > 30
    assert [where for where, kind in found if None in (getattr(kind, "min", None), getattr(kind, "max", None))] == []


async def test_commands_of_these_tests_are_what_is_installed() -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND, "project", "apply", "--help", stdout=asyncio.subprocess.PIPE, env=surroundings()
    )
    out, _ = await process.communicate()
    assert await run("project", "apply", "--help") == Done(0, out.decode(), "")
