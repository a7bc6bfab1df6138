"""`license-master settings`: which settings a master has, and what they are here.

`settings list --markdown` is docs/settings.md.
"""

from __future__ import annotations

from dataclasses import asdict  # noqa: TID251  # of a described setting, which is a data class
from typing import Annotated

import typer

from master.cli.connection.options import JsonOption
from master.cli.connection.own_settings import settings_from
from master.cli.output.rendering import add_row, print_json_object, stdout_console, table, visible, write_out
from master.cli.server.serve import DatabaseUrl, SettingsFile

app = typer.Typer(help="What can be set of a master, and what is set here.", no_args_is_help=True)

_HIDDEN = "(not shown: it may hold a password)"
_PAGE = """\
# Settings

Of one master process. Each is a variable, its name in capitals behind `LICENSE_MASTER_`
(`LICENSE_MASTER_TTL_SECONDS=120`), or a key of a TOML file (`serve --settings FILE`: `ttl_seconds = 120`).
Options of `serve` count more than variables, variables more than the file. A name that is misspelt is refused.
`license-master settings show` says what each is here, and who says so.

This page is made by `license-master settings list --markdown`.

| setting | default | limits | meaning |
|---|---|---|---|
{rows}
"""


@app.command("list")
def list_settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/settings.md.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List all settings with their defaults, limits and meanings."""
    from licensemaster.daemon.settings import described
    from master.settings import Settings

    if as_json:
        print_json_object({"settings": [asdict(setting) for setting in described(Settings)]})
    elif markdown:
        write_out(page())
    else:
        shown = table("Setting", "Default", "Limits", "Meaning")
        for setting in described(Settings):
            add_row(shown, visible(setting.name, "bold"), setting.default, setting.limits, setting.meaning)
        stdout_console().print(shown)


@app.command("show")
def show(file: SettingsFile = None, database_url: DatabaseUrl = None, as_json: JsonOption = False) -> None:
    """Show what each setting is here, and who says so: `serve` started here would go by it."""
    from licensemaster.daemon.settings import values_and_sources

    settings = settings_from(file, database_url=database_url)
    options = ("database_url",) if database_url is not None else ()
    rows = list(values_and_sources(settings, file, options=options, hidden=_HIDDEN))
    if as_json:
        print_json_object({"settings": [dict(zip(("name", "value", "from"), row, strict=True)) for row in rows]})
        return
    shown = table("Setting", "Value", "From")
    for name, value, source in rows:
        is_default = source == "default"
        add_row(shown, name, visible(value, "" if is_default else "bold"), visible(source, "dim" if is_default else ""))
    stdout_console().print(shown)


def page() -> str:
    """Return the text of docs/settings.md."""
    from licensemaster.daemon.settings import rows_of_page
    from master.settings import Settings

    return _PAGE.format(rows=rows_of_page(Settings))
