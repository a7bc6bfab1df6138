"""`license-master demo`: see it work, within a minute."""

import asyncio
from typing import Annotated

import typer

from master.cli.operator.projects.project_file import read_project_file
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import stdout_console
from master.shipped import shipped


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards, and print its addresses.")] = False,
) -> None:
    """Play a live estate: a master, three sites, an outage, a dead site. Ends by itself within a minute."""
    from master.demo.script import play

    project = read_project_file(shipped("examples") / "demo.toml").project
    try:
        went_right = asyncio.run(play(stdout_console(), project, keep=keep))
    except asyncio.CancelledError:
        return
    if not went_right:
        raise CommandFailed("the demo did not end as it should; the summary says how")
