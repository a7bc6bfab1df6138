"""The root of the command line: a table of its commands, each loaded when it is asked for.

A command starts in a fraction of the time that it takes to load all of them; only the list of all (`--help`) does that.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from master.cli.master_command import give_every_command_its_way

TABLE: Final = {
    "serve": "serve:serve",
    "settings": "settings:app",
    "health": "health:health",
    "db": "db:app",
    "project": "project:app",
    "plan": "plan:app",
    "catalog": "catalog:app",
    "status": "status:status",
    "pools": "status:pools",
    "seats": "listings:seats",
    "leases": "leases:app",
    "events": "listings:events",
    "audit": "audit:app",
    "explain": "explain:explain",
    "report": "report:report",
    "standby": "standby:app",
    "license": "license:app",
    "device": "device:app",
    "agreement": "agreement:app",
    "credits": "agreement:credits_app",
    "contract": "contract:app",
    "vendor": "vendor:app",
    "pki": "pki:app",
    "webhook": "webhook:app",
    "profile": "profile:app",
    "docs": "docs:docs",
    "demo": "demo:demo",
}
"""Every command, and where it is below `master.cli`: a function, or a group of commands."""


class RootGroup(TyperGroup):
    """Has the commands of the table."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the table."""
        return list(self.commands)


class _Loaded(MutableMapping[str, Any]):
    """The commands by name, loaded when they are first asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, TABLE[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLE)

    def __len__(self) -> int:
        return len(TABLE)


def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"master.cli.{module}"), attribute)
    holder = typer.Typer(callback=lambda: None, add_completion=False)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    give_every_command_its_way(holder)
    return get_command(holder).commands[name]  # type: ignore[attr-defined]
