"""`license-master vendor trust`, `distrust`, `keys`, `show`: what a project's operator does about vendors' keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import document_pb2, license_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.connection import Connection
from master.cli.connection.options import DEFAULT_SERVER, JsonOption, ProjectOption, ReasonOption, ServerOption
from master.cli.output.document_files import read_document
from master.cli.output.enum_names import in_words
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import add_row, json_object, moment, print_json_object, stdout_console, table, visible

if TYPE_CHECKING:
    from google.protobuf.message import Message

OPERATOR_PANEL = "By an operator, at the master"
ANYONE_PANEL = "By anyone"

app = typer.Typer()

_PAYLOADS: Mapping[int, type[Message]] = {
    document_pb2.DOCUMENT_KIND_LICENSE_FILE: document_pb2.LicenseFile,
    document_pb2.DOCUMENT_KIND_VENDOR_KEY: document_pb2.VendorKey,
    document_pb2.DOCUMENT_KIND_ENROLLMENT: document_pb2.Enrollment,
    document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER: document_pb2.EnrollmentAnswer,
    document_pb2.DOCUMENT_KIND_BINDING: document_pb2.Binding,
    document_pb2.DOCUMENT_KIND_RELEASE_REQUEST: document_pb2.ReleaseRequest,
    document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE: document_pb2.SecurityCertificate,
}


@asks_master(app, "trust", rich_help_panel=OPERATOR_PANEL)
def trust(
    master: Master,
    key: Annotated[
        str | None, typer.Argument(metavar="[PUBLIC_KEY]", help="A .pub file, or 64 hexadecimal digits.")
    ] = None,
    introduction: Annotated[
        Path | None,
        typer.Option("--introduction", metavar="FILE", help="Instead: a key on the word of one trusted already."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What people call the key.")] = "",
    reason: ReasonOption = "",
) -> None:
    """Let a vendor's key issue licenses to the project.

    Compare the key's id with what the vendor says by another way. Trusting it again changes nothing.
    """
    from vendor_tools.vendor_documents import read_public_key

    if (key is None) == (introduction is None):
        raise typer.BadParameter("name a public key, or a file with --introduction, and not both")
    request = license_pb2.TrustVendorKeyRequest(reason=reason)
    if introduction is not None:
        request.introduction.CopyFrom(read_document(introduction, document_pb2.DOCUMENT_KIND_VENDOR_KEY))
    else:
        request.key.CopyFrom(license_pb2.NamedVendorKey(public_key=read_public_key(key or ""), display_name=name))
    request.project = master.project
    response = master.call(master.licenses.TrustVendorKey, request)
    master.show(response, lambda: visible(f"trusted: key {response.key.key_id} {response.key.display_name}".rstrip()))


@asks_master(app, "distrust", rich_help_panel=OPERATOR_PANEL)
def distrust(
    master: Master,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `vendor keys` lists it.")],
    reason: ReasonOption = "",
) -> None:
    """Take no more files of a key. What was imported stays."""
    request = license_pb2.DistrustVendorKeyRequest(project=master.project, key_id=key_id, reason=reason)
    response = master.call(master.licenses.DistrustVendorKey, request)
    master.show(response, lambda: visible(f"distrusted: key {response.key.key_id}; what it brought stays"))


@asks_master(app, "keys", rich_help_panel=OPERATOR_PANEL)
def keys(master: Master) -> None:
    """List the vendors' keys that the project trusts or trusted."""
    request = license_pb2.ListVendorKeysRequest(project=master.project)
    response = master.call(master.licenses.ListVendorKeys, request)
    empty = "no vendor's key is trusted yet; `license-master vendor trust PUBLIC_KEY` trusts one"
    master.show_listing(response, lambda: keys_view(response.keys), empty=empty)


@app.command("show", rich_help_panel=ANYONE_PANEL)
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any signed document.")],
    with_keys: Annotated[
        list[str] | None, typer.Option("--key", metavar="FILE|HEX", help="A public key to verify it with.")
    ] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Verify it with the keys that the master's project trusts.")
    ] = False,
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Tell what a signed document says, and whether it is genuine: a license file, a binding, a certificate ...

    Without a key to verify it with it is shown as "not verified". Exits with 1 where it is forged or altered.
    """
    from licensemaster.signing import documents
    from vendor_tools.vendor_documents import read_public_key

    document = read_document(file)
    known = [read_public_key(path) for path in with_keys or ()]
    if trusted:
        known += _trusted_keys(server, project)
    if document.kind not in _PAYLOADS:
        raise CommandFailed(f"{file}: its kind {document.kind} is not known here")
    try:
        says = documents.read_payload(document, _PAYLOADS[document.kind])
    except documents.DocumentError as error:
        raise CommandFailed(f"{file}: {error}") from error
    if isinstance(says, document_pb2.Enrollment):
        known.append(says.public_key)  # it is signed with the key that it brings
    verdict, problem = _verdict(document, type(says), known)
    if as_json:
        print_json_object(
            {
                "kind": document_pb2.DocumentKind.Name(document.kind),
                "key_id": document.key_id,
                "verified": verdict is Verdict.GENUINE,
                "problem": problem,
                "says": json_object(says),
            }
        )
    else:
        _print_document(file, document, says, verdict, problem)
    if verdict is Verdict.FORGED:
        raise typer.Exit(1)


class Verdict(Enum):
    """Verdicts on whether a document is genuine."""

    GENUINE = "genuine"
    FORGED = "forged"
    UNKNOWN = "unknown"
    """The key that would verify the document was not named."""


def keys_view(trusted_keys: Sequence[license_pb2.TrustedKey]) -> Table:
    shown = table("Key", "Name", "State", "Since", "On the word of")
    for key in trusted_keys:
        add_row(
            shown, key.key_id, key.display_name, _state(key), moment(key.trust_time), key.introduced_by or "operator"
        )
    return shown


def _state(key: license_pb2.TrustedKey) -> Text:
    if key.distrusted:
        return Text("distrusted", style="red")
    if not key.HasField("retire_time"):
        return Text("trusted", style="green")
    over = key.retire_time.ToDatetime(tzinfo=UTC) < datetime.now(UTC)
    return Text(f"{'retired' if over else 'trusted until'} {moment(key.retire_time)}", style="yellow")


def _verdict(
    document: document_pb2.SignedDocument, payload: type[Message], known: Sequence[bytes]
) -> tuple[Verdict, str]:
    """Return whether a document is genuine, and why not if that is unknown or wrong; else an empty text."""
    from licensemaster.signing import documents

    key = next((public_key for public_key in known if documents.key_id_of(public_key) == document.key_id), None)
    if key is None:
        return Verdict.UNKNOWN, f"the public half of key {document.key_id!r} is needed; name it with --key"
    try:
        documents.verified(document, kind=document.kind, public_key=key, payload=payload)
    except documents.DocumentError as error:
        return Verdict.FORGED, str(error)
    return Verdict.GENUINE, ""


def _print_document(
    file: Path, document: document_pb2.SignedDocument, says: Message, verdict: Verdict, problem: str
) -> None:
    console = stdout_console()
    kind = in_words(document_pb2.DocumentKind.DESCRIPTOR, document.kind)
    console.print(visible(f"{file}: {kind}", "bold"))
    if verdict is Verdict.GENUINE:
        console.print(Text.assemble(("verified", "bold green"), visible(f": signed by key {document.key_id}")))
    else:
        style = "bold red" if verdict is Verdict.FORGED else "bold yellow"
        console.print(Text.assemble(("not verified", style), visible(f": {problem}")))
    for line in _lines(json_object(says)):
        console.print(visible(f"  {line}"))


def _lines(fields: Mapping[str, Any], indent: str = "") -> Sequence[str]:
    lines: list[str] = []
    for name, value in fields.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            lines += [label, *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [label]
            for entry in value:
                cells = [str(cell) for key, cell in entry.items() if cell not in ("", 0)]
                lines += [f"{indent}  {'  '.join(cells)}"]
        elif value not in ("", 0):
            lines.append(f"{label}: {value}")
    return lines


def _trusted_keys(server: str, project: str | None) -> list[bytes]:
    with Connection(server) as connection:
        request = license_pb2.ListVendorKeysRequest(project=connection.project_name(project))
        response = connection.call(connection.licenses.ListVendorKeys, request)
    return [key.public_key for key in response.keys]
