"""The root of the command line: a table of its commands, each loaded when it is asked for.

A command starts in a fraction of the time that it takes to load all of them.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from master.cli.connection.master_command import add_connection_options

TABLE: Final = {
    "serve": "master.cli.server.serve:serve",
    "settings": "master.cli.server.settings:app",
    "health": "master.cli.connection.health:health",
    "db": "master.cli.server.db:app",
    "project": "master.cli.operator.projects.project:app",
    "allocation": "master.cli.operator.projects.allocation:app",
    "plan": "master.cli.operator.projects.plan:app",
    "catalog": "master.cli.server.catalog:app",
    "status": "master.cli.operator.monitoring.status:status",
    "pools": "master.cli.operator.monitoring.status:pools",
    "pool": "master.cli.operator.monitoring.pool:app",
    "seats": "master.cli.operator.monitoring.listings:seats",
    "leases": "master.cli.operator.monitoring.leases:app",
    "events": "master.cli.operator.monitoring.listings:events",
    "audit": "master.cli.operator.monitoring.audit:app",
    "explain": "master.cli.operator.monitoring.explain:explain",
    "report": "master.cli.operator.monitoring.report:report",
    "standby": "master.cli.operator.monitoring.standby:app",
    "license": "master.cli.operator.licenses.license:app",
    "loan": "master.cli.operator.licenses.loan:app",
    "waiting": "master.cli.operator.licenses.waiting:app",
    "device": "master.cli.device.device:app",
    "agreement": "master.cli.operator.agreements.agreement:app",
    "credits": "master.cli.operator.agreements.agreement:credits_app",
    "contract": "master.cli.operator.agreements.contract:app",
    "vendor": "vendor_tools.commands:app",
    "pki": "master.cli.pki.pki:app",
    "webhook": "master.cli.operator.monitoring.webhook:app",
    "profile": "master.cli.connection.profile:app",
    "docs": "master.cli.server.docs:docs",
    "demo": "master.cli.server.demo:demo",
}
"""Every command, and where it is: a function, or a group of commands."""

HELP: Final = {
    "serve": "Serve leases until stopped; SIGTERM lets running calls finish.",
    "settings": "What can be set of a master, and what is set here.",
    "health": "Ask a master whether it takes calls: exit code 0 if it does, else 1.",
    "db": "The database.",
    "project": "The estate as a file: apply, check, show, list, delete.",
    "allocation": "Who gets the last seats: apply, check, show, example, and single rules.",
    "plan": "What would happen if: nothing is changed. Exits with 1 where it is not possible.",
    "catalog": "License types.",
    "status": "Show pools, version limits, leases and seats by site on one screen.",
    "pools": "Show what is installed, used, kept, being released and free, by license type and device.",
    "pool": "One pool: its parts, and what each site has, wants and would get.",
    "seats": "Show who holds what, one row for each seat.",
    "leases": "The lease of each PBX: list, end.",
    "events": "Show what happened, newest first.",
    "audit": "The audit: export it, verify it.",
    "explain": "Ask whether PBX would get a seat of TYPE for HOLDER, and why. Changes nothing.",
    "report": "Show peaks, denials, silent sites, licenses unused, and when pools run out at their trend.",
    "standby": "Standby PBXs: readiness and proof (rules F1 to F6).",
    "license": "Licenses: import, bind, release, rebind.",
    "loan": "Seats that a PBX borrows for days: open, list, return.",
    "waiting": "Who waits for seats: list, drop.",
    "device": "Devices and the keys they sign with.",
    "agreement": "Service agreements, maintenance, trials, yearly seats: what a license may do.",
    "credits": "Credits, which service agreements are paid with.",
    "contract": "Contracts for yearly seats, and who has them.",
    "vendor": "Vendors' keys and license files.",
    "pki": "Certificates: a small authority, for those who have none.",
    "webhook": "Receivers of messages about what is wrong, by signed HTTP.",
    "profile": "Names for a master, a project and a certificate, for --profile.",
    "docs": "Show a page of the documentation, or list the pages.",
    "demo": "Play a live estate: a master, three sites, an outage, a dead site. Ends by itself within a minute.",
}
"""Help of each command in the list of all commands, as in the command's own help: the list loads no command."""


class RootGroup(TyperGroup):
    """The root group, with the commands of the table."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded(TABLE)
        self._lists = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command to run or, while all commands are listed, only its name and help."""
        if self._lists:
            return TyperCommand(cmd_name, help=HELP[cmd_name])
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List all commands with their help, and load none."""
        with self._listing():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what Tab offers, and load no command."""
        with self._listing():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _listing(self) -> Iterator[None]:
        self._lists = True
        try:
            yield
        finally:
            self._lists = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the table."""
        return list(self.commands)


class _Loaded(UserDict[str, Any]):
    """The commands by name, made of the places in the table: each is loaded when it is first asked for."""

    def __getitem__(self, name: str) -> Any:
        return _load(name, super().__getitem__(name))


@cache
def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    loaded = getattr(import_module(module), attribute)
    wrapper = typer.Typer(callback=lambda: None, add_completion=False)
    if isinstance(loaded, typer.Typer):
        wrapper.add_typer(loaded, name=name)
    else:
        wrapper.command(name)(loaded)
    add_connection_options(wrapper)
    return get_command(wrapper).commands[name]  # type: ignore[attr-defined]
