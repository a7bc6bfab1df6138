"""Options that several commands share, so that each has one name, one default and one sentence of help."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from master.variables import PREFIX, PROJECT, SERVER

DEFAULT_SERVER = "127.0.0.1:7600"


def _server(value: str) -> str:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})", value)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise typer.BadParameter(f"{value!r} is not HOST:PORT, e.g. {DEFAULT_SERVER}")
    return value


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What a command shows a master, and whom it believes: files in PEM, all three or none for plain text."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


tls_options: ContextVar[TlsOptions] = ContextVar("tls_options", default=TlsOptions())  # noqa: B039  # frozen
"""What was named before the command; all that speak to a master ask for it."""


def _tls_file(name: str, helps: str) -> Any:
    return typer.Option(
        f"--tls-{name}",
        envvar=f"{PREFIX}TLS_{name.upper()}_FILE",  # the settings of a master: its probes show its own
        metavar="FILE",
        help=helps,
        show_default=False,
        rich_help_panel="To a master that asks for certificates (all three)",
    )


TlsCaOption = Annotated[Path | None, _tls_file("ca", "The authority that signed the master's certificate.")]
TlsCertificateOption = Annotated[Path | None, _tls_file("certificate", "The certificate to show.")]
TlsKeyOption = Annotated[Path | None, _tls_file("key", "Its key.")]
ServerOption = Annotated[
    str,
    typer.Option("--server", envvar=SERVER, metavar="HOST:PORT", help="The master to ask.", callback=_server),
]
ProjectOption = Annotated[
    str | None,
    typer.Option("--project", envvar=PROJECT, metavar="NAME", help="Default: the only one that the master has."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="At most this many rows; 0 for all.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit.")]
LicensesArgument = Annotated[
    list[str], typer.Argument(metavar="LICENSE...", help="Ids, as `license list` shows them.", show_default=False)
]
