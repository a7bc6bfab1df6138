"""`license-master docs`: the documentation that belongs to this version, where there is no browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from licensemaster.values.similar import closest
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import add_row, stdout_console, table, visible, write_out
from master.shipped import shipped


def docs(
    page: Annotated[str, typer.Argument(metavar="[PAGE]", help="A page's name.")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="As the Markdown that it is.")] = False,
) -> None:
    """Show a page of the documentation, or list the pages."""
    pages = {path.stem: path for path in sorted(shipped("docs").glob("*.md"))}
    if not page:
        shown = table("Page", "About")
        for name, path in pages.items():
            add_row(shown, visible(name, "bold"), _title(path))
        stdout_console().print(shown)
        return
    name = page.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise CommandFailed(
            f"there is no page {page!r}{closest(name, pages)}", remedy="`license-master docs` lists the pages"
        )
    text = pages[name].read_text(encoding="utf-8")
    console = stdout_console()
    if plain or not console.is_terminal:
        write_out(text)
    elif len(text.splitlines()) > console.height:
        with console.pager(styles=True):
            _print(console, text)
    else:
        _print(console, text)


def _print(console: Console, text: str) -> None:
    console.print(Markdown(text))


def _title(path: Path) -> str:
    match = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else ""
