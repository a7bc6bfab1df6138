"""`license-master vendor`: what a vendor does on its own machine. `trust_commands.py` has what operators do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from master.cli.connection.options import JsonOption
from master.cli.connection.own_settings import catalog_named
from master.cli.output.document_files import write_document
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import print_json_object, stdout_console, visible, write_out
from vendor_tools import trust_commands

if TYPE_CHECKING:
    from vendor_tools.vendor_documents import Item

VENDOR_PANEL = "By a vendor, on its own machine"

app = typer.Typer(help="Vendors' keys and license files.", no_args_is_help=True)

KeyOption = Annotated[Path, typer.Option("--key", metavar="FILE", help="The vendor's private key.", dir_okay=False)]


@app.command("keygen", rich_help_panel=VENDOR_PANEL)
def keygen(
    out: Annotated[Path, typer.Option("--out", metavar="DIR|FILE", help="Where the private key goes; beside it .pub.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key pair. The private key stays with the vendor; the .pub file goes to customers."""
    from vendor_tools import vendor_documents

    try:
        made = vendor_documents.generate(out)
    except OSError as error:
        raise CommandFailed(f"cannot write {error.filename or out}: {error.strerror or error}") from error
    if as_json:
        names = {"private_key": str(made.private), "public_key": str(made.public), "key_id": made.key_id}
        print_json_object(names)
        return
    console = stdout_console()
    console.print(visible(f"key {made.key_id}"))
    console.print(visible(f"  {made.private}  private: keep it, and keep it to yourself"))
    console.print(visible(f"  {made.public}  public: for customers, who trust it with `license-master vendor trust`"))


@app.command("issue", rich_help_panel=VENDOR_PANEL)
def issue(
    key: KeyOption,
    project: Annotated[str, typer.Option("--project", metavar="NAME", help="The project that bought them.")],
    licenses: Annotated[
        list[str] | None, typer.Option("--license", metavar="ID=TYPE:QUANTITY", help="One item; as often as needed.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help=r"Items as \[\[licenses]] tables in TOML: id, type, quantity, replaces, agreement_end.",
        ),
    ] = None,
    catalog: Annotated[
        str, typer.Option("--catalog", metavar="NAME", help="The catalog that the types belong to.")
    ] = "innovaphone",
    valid_days: Annotated[int, typer.Option("--valid-days", min=1, max=3650, help="To be imported within.")] = 30,
    file_id: Annotated[str, typer.Option("--id", metavar="NAME", help="The file's number. Default: a new one.")] = "",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: standard output.")] = None,
) -> None:
    """Issue licenses: a signed file that one project can import, once."""
    from licensemaster.signing import documents
    from vendor_tools import vendor_documents

    now = datetime.now(UTC).replace(microsecond=0)
    try:
        items = [
            *(vendor_documents.read_items(source) if source else ()),
            *map(vendor_documents.parse_item, licenses or ()),
        ]
        document = vendor_documents.issue(
            items,
            file_id=file_id or f"f-{uuid4().hex[:12]}",
            project=project.removeprefix("projects/"),
            catalog=catalog_named(catalog),
            issued=now,
            expires=now + timedelta(days=valid_days),
            key=vendor_documents.read_private_key(key),
        )
    except vendor_documents.VendorError as error:
        raise _failed("nothing was issued", str(error)) from error
    if out is None:
        write_out(documents.to_text(document))
        return
    write_document(out, document)
    stdout_console().print(visible(_issued(out, items, project, valid_days)))


@app.command("introduce", rich_help_panel=VENDOR_PANEL)
def introduce(
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key in use until now.")],
    new: Annotated[str, typer.Option("--new", metavar="FILE|HEX", help="The next key's public half.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The introduction.")],
    retire_previous: Annotated[
        datetime | None,
        typer.Option(
            "--retire-previous",
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="Files issued with the key in use after this day are refused.",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What people call the new key.")] = "",
) -> None:
    """Introduce the vendor's next key, signed with the one in use, so that no customer has to compare keys again."""
    from vendor_tools import vendor_documents

    document = vendor_documents.introduce(
        vendor_documents.read_public_key(new),
        signed_with=vendor_documents.read_private_key(key),
        display_name=name,
        retire_previous=vendor_documents.last_moment(retire_previous.date()) if retire_previous else None,
    )
    write_document(out, document)
    stdout_console().print(visible(f"{out}: for customers, who trust it with `vendor trust --introduction {out}`"))


app.add_typer(trust_commands.app)


def _failed(what: str, problems: str) -> CommandFailed:
    lines = problems.splitlines()
    return CommandFailed(f"{what}: {lines[0]}" if len(lines) == 1 else what, lines=lines if len(lines) > 1 else ())


def _issued(out: Path, items: list[Item], project: str, valid_days: int) -> str:
    word = "license item" if len(items) == 1 else "license items"
    return f"{out}: {len(items):,} {word} for {project}, to be imported within {valid_days} days"
