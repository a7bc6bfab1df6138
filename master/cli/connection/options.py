"""Options that several commands share, so that each has one name, one default and one sentence of help."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from licensemaster.values import BadValueError, address, bare, resource, setting
from master.cli.connection.completion import (
    Completer,
    complete_device,
    complete_license,
    complete_pbx,
    complete_project,
    complete_site,
    complete_type,
)
from master.cli.connection.profiles import profiles_file, read_profiles, sources
from master.cli.connection.tls import tls_options
from master.cli.output.failure import CommandFailed
from master.values import replace
from master.variables import PROFILE, PROJECT, SERVER, TLS_CA, TLS_CERTIFICATE, TLS_KEY

DEFAULT_SERVER = "127.0.0.1:7600"
EMPTY = "it is empty; is a variable of the shell not set?"
WAIT_SECONDS_MAX = 31_536_000
"""Longest time that a command may be told to wait, in seconds: a year."""


def typed_options(context: typer.Context) -> dict[str, Any]:
    """Return the options of the connection that were typed, by name, before the command or behind it."""
    typed: dict[str, Any] = context.find_root().meta.setdefault(__name__, {})
    return typed


def _given(context: typer.Context, param: typer.CallbackParam, value: str) -> str:
    source = context.get_parameter_source(str(param.name))
    if source is not None and source.name == "COMMANDLINE" and not bare(value) and not context.resilient_parsing:
        raise typer.BadParameter(EMPTY)
    return value


def _chosen(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Return the value that counts for an option of the connection; `master_command` says in which order."""
    name, typed = str(param.name), typed_options(context)
    source = context.get_parameter_source(name)
    came_from = source.name if source is not None else "DEFAULT"
    named_by = str(param.envvar) if came_from == "ENVIRONMENT" else ""
    if came_from == "COMMANDLINE":
        _given(context, param, str(value))
        typed[name] = value
    if context.parent is None:  # before the command: what counts is asked for by the command itself
        return value
    if name in typed:
        value, named_by = typed[name], ""
    elif name != "profile" and ("profile" in typed or came_from == "DEFAULT"):
        with suppress(CommandFailed) if context.resilient_parsing else nullcontext():  # Tab raises nothing
            profiles = read_profiles()
            chosen = bare(typed.get("profile") or context.params.get("profile") or profiles.default)
            if chosen and (said := getattr(profiles.named(chosen), name)):
                value, named_by = said, f"{name} of profile {chosen!r} in {profiles_file()}"
    sources.set({**sources.get(), name: named_by})
    try:
        return _meant(name, value)
    except BadValueError as error:
        if context.resilient_parsing:
            return value
        if " of profile " in named_by:
            raise CommandFailed(f"{named_by}: {error}") from error
        raise typer.BadParameter(str(error)) from error


def _meant(name: str, value: Any) -> Any:
    """Return the value of an option in its normal form, and keep a TLS file in `tls_options`; raises BadValueError."""
    if name == "server":
        return str(address(setting(value)))
    if name == "project" and value is not None:
        return resource(setting(value)) or None
    if name.startswith("tls_"):
        path = Path(named) if value and (named := setting(str(value))) else None
        tls_options.set(replace(tls_options.get(), **{name.removeprefix("tls_"): path}))
    return value


def _of_connection(option: str, envvar: str, metavar: str, helps: str, **more: Any) -> Any:
    panel = "Which master, and as whom (the same before the command)"
    return typer.Option(
        option, envvar=envvar, metavar=metavar, help=helps, rich_help_panel=panel, callback=_chosen, **more
    )


TlsCaOption = Annotated[
    Path | None, _of_connection("--tls-ca", TLS_CA, "FILE", "The authority that signed the master's certificate.")
]
TlsCertificateOption = Annotated[
    Path | None,
    _of_connection("--tls-certificate", TLS_CERTIFICATE, "FILE", "The certificate to show; all three or none."),
]
TlsKeyOption = Annotated[Path | None, _of_connection("--tls-key", TLS_KEY, "FILE", "Its key.")]
ProfileOption = Annotated[
    str | None, _of_connection("--profile", PROFILE, "NAME", "What `profile set` kept under that name.", is_eager=True)
]
ServerOption = Annotated[str, _of_connection("--server", SERVER, "HOST:PORT", "The master to ask.")]
ProjectOption = Annotated[
    str | None,
    _of_connection(
        "--project", PROJECT, "NAME", "Default: the only one that the master has.", autocompletion=complete_project
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="At most this many rows; 0 for all.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _name(metavar: str, helps: str, completer: Completer) -> Any:
    return typer.Argument(metavar=metavar, help=helps, autocompletion=completer)


def _only(option: str, metavar: str, helps: str, completer: Completer) -> Any:
    return typer.Option(option, metavar=metavar, help=helps, autocompletion=completer, callback=_given)


LicensesArgument = Annotated[list[str], _name("LICENSE...", "Ids, as `license list` shows them.", complete_license)]
DeviceArgument = Annotated[str, _name("DEVICE", "The device's name.", complete_device)]
PbxArgument = Annotated[str, _name("PBX", "The PBX's name.", complete_pbx)]
TypeArgument = Annotated[str, _name("TYPE", '"port", "PBX-Port" or any other spelling.', complete_type)]
ToDeviceOption = Annotated[str, _only("--to", "DEVICE", "The device's name.", complete_device)]
OfDeviceOption = Annotated[str, _only("--device", "NAME", "Only on this device.", complete_device)]
OfPbxOption = Annotated[str, _only("--pbx", "NAME", "Only of this PBX.", complete_pbx)]
OfSiteOption = Annotated[str, _only("--site", "NAME", "Only of this site.", complete_site)]
OfTypeOption = Annotated[str, _only("--type", "TYPE", "Only of this license type.", complete_type)]
OfLicenseOption = Annotated[str, _only("--license", "ID", "Only what names this license.", complete_license)]
