"""`license-master demo`: see it work, within a minute."""

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from licensemaster.v1 import project_pb2
from master.cli.operator.projects.message_file import PROJECT, read_file
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import stdout_console
from master.shipped import shipped


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards, and print its addresses.")] = False,
    kamailio: Annotated[
        bool, typer.Option("--kamailio", help="With a real PBX: Kamailio, its agent, and phones that SIPp plays.")
    ] = False,
) -> None:
    """Play a live estate: a master, three sites, an outage, a dead site. Ends by itself within a minute."""
    project = read_file(shipped("examples") / "demo.toml", PROJECT).message
    if kamailio and keep:
        raise CommandFailed("--keep and --kamailio do not go together")
    try:
        went_right = asyncio.run(_with_kamailio(project) if kamailio else _simulated(project, keep=keep))
    except asyncio.CancelledError:
        return
    if not went_right:
        raise CommandFailed("the demo did not end as it should; the summary says how")


def _simulated(project: project_pb2.Project, *, keep: bool) -> Coroutine[Any, Any, bool]:
    from master.demo.script import play

    return play(stdout_console(), project, keep=keep)


def _with_kamailio(project: project_pb2.Project) -> Coroutine[Any, Any, bool]:
    """Return the demo with Kamailio, ready to run; raises CommandFailed if a program that the demo needs is missing."""
    from master.demo.kamailio import play_kamailio
    from simulator.sip.programs import NEEDED, missing_programs

    missing = [f"{name}: Debian's {NEEDED[name]}" for name in missing_programs()]
    if find_spec("license_agent") is None:
        missing.append("license-agent: the distribution license-master-agent, into this Python")
    if missing:
        raise CommandFailed("the demo with Kamailio needs what is not installed", lines=missing)
    return play_kamailio(stdout_console(), project)
