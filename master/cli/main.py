"""The `license-master` command: which commands there are, and how it ends.

Exit codes: 0 done, 1 failed or refused, 2 not a valid command line.
"""

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from master.cli import (
    agreement,
    audit,
    catalog,
    contract,
    db,
    demo,
    device,
    explain,
    health,
    license,
    listings,
    pki,
    plan,
    project,
    report,
    serve,
    standby,
    status,
    vendor,
    webhook,
)
from master.cli.failure import CommandFailed, print_failure
from master.cli.options import TlsCaOption, TlsCertificateOption, TlsKeyOption, TlsOptions, tls_options
from master.cli.output import stderr_console

app = typer.Typer(
    name="license-master",
    help="The open license master for multi-site PBX estates.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("health")(health.health)
app.add_typer(db.app, name="db")
app.add_typer(project.app, name="project")
app.add_typer(plan.app, name="plan")
app.add_typer(catalog.app, name="catalog")
app.command("status")(status.status)
app.command("pools")(status.pools)
app.command("seats")(listings.seats)
app.command("leases")(listings.leases)
app.command("events")(listings.events)
app.add_typer(audit.app, name="audit")
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.add_typer(standby.app, name="standby")
app.add_typer(license.app, name="license")
app.add_typer(device.app, name="device")
app.add_typer(agreement.app, name="agreement")
app.add_typer(agreement.credits_app, name="credits")
app.add_typer(contract.app, name="contract")
app.add_typer(vendor.app, name="vendor")
app.add_typer(pki.app, name="pki")
app.add_typer(webhook.app, name="webhook")
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"license-master {version('license-master')}")
        raise typer.Exit


@app.callback()
def options(
    tls_ca: TlsCaOption = None,
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The open license master for multi-site PBX estates."""
    tls_options.set(TlsOptions(tls_ca, tls_certificate, tls_key))


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still shows everything
    try:
        app()
    except CommandFailed as failure:
        print_failure(failure, stderr_console())
        sys.exit(1)
