"""Options that several commands share, so that each has one name, one default and one sentence of help."""

import re
from typing import Annotated

import typer

DEFAULT_SERVER = "127.0.0.1:7600"


def _server(value: str) -> str:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})", value)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise typer.BadParameter(f"{value!r} is not HOST:PORT, e.g. {DEFAULT_SERVER}")
    return value


ServerOption = Annotated[
    str,
    typer.Option(
        "--server", envvar="LICENSE_MASTER_SERVER", metavar="HOST:PORT", help="The master to ask.", callback=_server
    ),
]
ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project", envvar="LICENSE_MASTER_PROJECT", metavar="NAME", help="Default: the only one that the master has."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="At most this many rows; 0 for all.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit.")]
LicensesArgument = Annotated[
    list[str], typer.Argument(metavar="LICENSE...", help="Ids, as `license list` shows them.", show_default=False)
]
