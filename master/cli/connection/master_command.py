"""Commands that ask a master take the options of the connection behind their name as well as before it.

`license-master --server lm:7600 --tls-ca ca.crt status` and `license-master status --server lm:7600 --tls-ca ca.crt`
are the same. What stands behind the name counts more, then what stands before it, then a profile that is named, then
the environment, then the default profile.
"""

from __future__ import annotations

import os
from math import isnan
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typer.models import TyperPath

from licensemaster.values import bare
from master.cli.connection.options import EMPTY, ProfileOption, TlsCaOption, TlsCertificateOption, TlsKeyOption
from master.cli.connection.own_settings import settings_errors
from master.cli.output.file_remedies import note_named
from master.variables import COMMANDS, PREFIX, TLS_CA, TLS_CERTIFICATE, TLS_KEY

_OPTIONS = typer.Typer(add_completion=False)
_HELP = frozenset({"-h", "--help"})


@_OPTIONS.command()
def _declared(
    profile: ProfileOption = None,
    tls_ca: TlsCaOption = None,
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
) -> None:
    """Declares the options that every command which asks a master gets."""


def _with_connection_options(params: list[Any] | None) -> list[Any]:
    """Return the parameters of a command; with `--server` among them, also the profile's and the certificate's."""
    declared = list(params or [])
    if any(param.name == "server" for param in declared):
        options = get_command(_OPTIONS).params
        for option in options:
            option.expose_value = False
        declared += options
    return declared


class _Connecting:
    """Takes all options of the connection if it takes `--server`."""

    def __init__(self, *arguments: Any, params: list[Any] | None = None, **options: Any) -> None:
        super().__init__(*arguments, params=_with_connection_options(params), **options)  # type: ignore[call-arg]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line and return the arguments that are left."""
        rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        _read_as_meant(ctx.command.params, ctx)
        _check_variables(ctx, rest)
        return rest


class MasterCommand(_Connecting, TyperCommand):
    """A command that takes all options of the connection if it takes `--server`."""


class MasterGroup(_Connecting, TyperGroup):
    """A group that takes all options of the connection if it takes `--server`, to run without one of its commands."""


def _read_as_meant(params: list[Any], context: Any) -> None:
    """Strip white space from the values of a command's parameters; file names are stripped only if from a variable.
    Raises typer.BadParameter if a number is nan, which is neither below the least nor above the most that is allowed,
    or nothing but white space is given for what is required: a variable that is not set is an empty word to a shell.
    """
    for param in params:
        if param.name not in context.params:
            continue
        value, source = context.params[param.name], context.get_parameter_source(param.name)
        if isinstance(value, float) and isnan(value):
            raise typer.BadParameter("nan is no number", ctx=context, param=param)
        from_variable = source is not None and source.name == "ENVIRONMENT"
        is_path = isinstance(param.type, TyperPath)
        if from_variable or not is_path:  # a shell has said where the name of a file ends
            context.params[param.name] = value = _stripped(value)
        if param.required and "" in (value if isinstance(value, list | tuple) else [value]):
            raise typer.BadParameter(EMPTY, ctx=context, param=param)
        if is_path and isinstance(value, str | Path) and param.param_type_name == "option":
            note_named(value, str(param.envvar) if from_variable else param.opts[0])


def _check_variables(context: Any, rest: list[str]) -> None:
    """Refuse misspelt variables: a command would silently ask another master, or write into another folder.
    Raises CommandFailed if there are some, and names them. Not where Tab completes a line, or help is asked for."""
    if context.resilient_parsing or not _HELP.isdisjoint(rest):
        return
    known = {*COMMANDS, TLS_CA, TLS_CERTIFICATE, TLS_KEY}
    if all(name.upper() in known for name in os.environ if name.upper().startswith(PREFIX)):
        return
    from licensemaster.daemon.settings import check_variables  # for whoever sets more than a command reads
    from master.settings import Settings

    with settings_errors():
        check_variables(Settings, COMMANDS)


def _stripped(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_stripped, value))
    return bare(value) if type(value) is str else value


def add_connection_options(app: typer.Typer) -> None:
    """Have all commands and groups below `app` take the options of the connection."""
    for command in app.registered_commands:
        command.cls = MasterCommand
    for group in app.registered_groups:
        group.cls = MasterGroup
        if group.typer_instance is not None:
            add_connection_options(group.typer_instance)
