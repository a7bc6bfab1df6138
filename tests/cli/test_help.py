"""Help shows every character that was written: what rich takes for markup is escaped."""

from __future__ import annotations

from collections.abc import Iterator

import click
import typer
from rich.text import Text

from master.cli.main import app


def texts(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """All that the help of a command and of those below it shows, by where it stands."""
    yield path, command.help or ""
    for one in command.params:
        yield f"{path} {one.name}", getattr(one, "help", None) or ""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from texts(below, f"{path} {name}")


def test_no_help_text_is_eaten_as_markup() -> None:
    found = dict(texts(typer.main.get_command(app), "license-master"))
    assert len(found) > 300
    for where, text in found.items():
        assert Text.from_markup(text).plain == text.replace("\\[", "["), where
    assert "Items as [[licenses]] tables" in Text.from_markup(found["license-master vendor issue source"]).plain
