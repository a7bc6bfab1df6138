"""The `license-agent` command. Exit codes: 0 done, 1 failed, 2 not a valid command line.

Each command imports what it needs: help, version and completion load no gRPC.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from licensemaster.files.own_output import OwnOutput

app = typer.Typer(
    name="license-agent",
    help="A daemon beside a PBX: leases its seats from a license master, and answers it over HTTP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
settings_app = typer.Typer(help="What can be set of an agent, and what is set here.", no_args_is_help=True)
app.add_typer(settings_app, name="settings")
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file with settings.", exists=True, dir_okay=False)
]
_PAGE = """\
# Settings of an agent

Of one `license-agent`. Each is a variable, its name in capitals behind `LICENSE_AGENT_`
(`LICENSE_AGENT_PBX=projects/acme/pbxs/berlin`), or a key of a TOML file (`serve --settings FILE`). Variables count more
than the file. A name that is misspelt is refused. `license-agent settings show` says what each is here, and who says
so.

This page is made by `license-agent settings list --markdown`.

| setting | default | limits | meaning |
|---|---|---|---|
{rows}
"""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"license-agent {version('license-master-agent')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A daemon beside a PBX."""


@app.command()
def serve(
    file: SettingsFile = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help="Reach masters without TLS: for trying it out on one machine.")
    ] = False,
) -> None:
    """Hold the PBX's lease and answer it until stopped; the seats stay for the next start."""
    import uvloop

    from license_agent.daemon import serve as run_agent
    from license_agent.settings import AgentSettings
    from licensemaster.daemon.logs.lines import logging_to_stderr
    from licensemaster.daemon.settings import load_for_command

    settings = load_for_command(AgentSettings, file, plaintext=plaintext or None)
    with logging_to_stderr():
        uvloop.run(run_agent(settings))


@settings_app.command("list")
def list_settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/agent-settings.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """List all settings with their defaults, limits and meanings."""
    from license_agent.settings import AgentSettings
    from licensemaster.daemon.settings import described

    if as_json:
        typer.echo(json.dumps({"settings": [asdict(setting) for setting in described(AgentSettings)]}))
    elif markdown:
        typer.echo(page(), nl=False)
    else:
        for setting in described(AgentSettings):
            default = f" = {setting.default}" if setting.default else ""
            limits = f" ({setting.limits})" if setting.limits else ""
            typer.echo(f"{setting.name}{default}{limits}\n    {setting.meaning}")


@settings_app.command("show")
def show_settings(
    file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Show what each setting is here, and who says so."""
    from license_agent.settings import AgentSettings
    from licensemaster.daemon.settings import load_for_command, values_and_sources

    rows = list(values_and_sources(load_for_command(AgentSettings, file), file, hidden="(not shown)"))
    if as_json:
        typer.echo(json.dumps({"settings": [dict(zip(("name", "value", "from"), row, strict=True)) for row in rows]}))
    else:
        for name, value, source in rows:
            typer.echo(f"{name} = {value}  ({source})")


def page() -> str:
    """docs/agent-settings.md."""
    from license_agent.settings import AgentSettings
    from licensemaster.daemon.settings import rows_of_page

    return _PAGE.format(rows=rows_of_page(AgentSettings))


def main() -> None:
    """Run the command line and end the process with its exit code."""
    output, lines = OwnOutput(), []
    try:
        app(prog_name="license-agent")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as failed:
        code, lines = 1, _what_is_wrong(failed)
        if not lines and output.failure() is None:
            raise
    if (unwritten := output.failure()) is not None:
        code, seen_enough = 1, isinstance(unwritten, BrokenPipeError)
        lines = [] if seen_enough else [f"what was asked for cannot be written: {unwritten.strerror or unwritten}"]
    if lines:
        print("error: " + "\n  ".join(lines), file=sys.stderr)
    sys.exit(code)


def _what_is_wrong(failed: Exception) -> list[str]:
    """What the person at the command line can mend; nothing where it is a fault of ours."""
    from licensemaster.daemon.settings import SettingsError
    from slave_client import FolderInUseError

    if isinstance(failed, SettingsError):
        return [failed.message, *failed.lines, *([f"try: {failed.remedy}"] if failed.remedy else [])]
    return [str(failed)] if isinstance(failed, OSError | ValueError | FolderInUseError) else []
