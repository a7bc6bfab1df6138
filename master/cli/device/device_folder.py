"""`license-master device create`, `enroll`, `answer`, `accept`, `certify`, `show`: on the device, with its own folder.

The steps that speak to a master have a twin that reads and writes files, for devices without a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensemaster.v1 import document_pb2, license_pb2
from licensemaster.values import BadValueError
from master.cli.connection.connection import Connection
from master.cli.connection.options import DEFAULT_SERVER, JsonOption, ServerOption
from master.cli.output.document_files import certificate_file, folder_for, read_document, write_document
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import (
    add_row,
    print_json_object,
    short_name,
    stderr_console,
    stdout_console,
    table,
    visible,
)
from master.variables import DEVICE_TOKEN

if TYPE_CHECKING:
    from licensemaster.signing.device_key import DeviceKey

DEVICE_PANEL = "On the device, in its folder"

app = typer.Typer()

FolderOption = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the device keeps its key.")]


@app.command("create", rich_help_panel=DEVICE_PANEL)
def create(
    folder: FolderOption,
    name: Annotated[str, typer.Option("--name", metavar="projects/P/devices/D", help="What the device is called.")],
) -> None:
    """Make the device's key. It never leaves the folder."""
    with _device_errors():
        from licensemaster.signing.device_key import DeviceKey

        made = DeviceKey.create(folder, device=name)
    stdout_console().print(visible(f"{made.device} has a key in {folder}; next: `license-master device enroll`"))


@app.command("enroll", rich_help_panel=DEVICE_PANEL)
def enroll(
    folder: FolderOption,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar=DEVICE_TOKEN,
            help="What `license-master device token` gave the operator; in the variable it shows in no `ps`.",
        ),
    ],
    request_out: Annotated[
        Path | None,
        typer.Option(
            "--request-out", metavar="FILE", help="Without a network: write what is to be carried to the operator."
        ),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Show the device's key to the master: over the network, or as a file to carry there."""
    with _device_errors():
        device = _load(folder)
        enrollment = device.enrollment(token)
        if request_out is not None:
            write_document(request_out, enrollment)
            said = f"{request_out}: for the operator's `license-master device admit`; answered by `device answer`"
        else:
            with Connection(server) as connection:
                request = license_pb2.EnrollDeviceRequest(enrollment=enrollment)
                device.accept_answer(connection.call(connection.licenses.EnrollDevice, request).answer)
            said = f"{device.device} is enrolled"
    stdout_console().print(visible(said))


@app.command("answer", rich_help_panel=DEVICE_PANEL)
def answer(
    folder: FolderOption, file: Annotated[Path, typer.Argument(metavar="ANSWER", help="What `device admit` wrote.")]
) -> None:
    """Take the master's answer to the enrollment that was carried here."""
    with _device_errors(file):
        device = _load(folder)
        device.accept_answer(read_document(file, document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER))
    stdout_console().print(visible(f"{device.device} is enrolled"))


@app.command("accept", rich_help_panel=DEVICE_PANEL)
def accept(
    folder: FolderOption,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BINDING]...", help="Bindings carried here. Default: ask the master."),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Take the master's statements of what is bound to this device: from files, or over the network."""
    with _device_errors():
        device = _load(folder)
    if files:
        bindings = [(str(file), read_document(file, document_pb2.DOCUMENT_KIND_BINDING)) for file in files]
    else:
        bindings = [
            (license.license, license.signed_binding)
            for license in _licenses(device, server)
            if license.HasField("signed_binding")
        ]
    for name, document in bindings:
        with _device_errors(name):
            bound = device.accept_binding(document)
        stdout_console().print(visible(f"{bound.license}: {bound.quantity:,} {bound.type}, binding {bound.number}"))
    if not bindings:
        stderr_console().print("nothing is bound to this device")


@app.command("certify", rich_help_panel=DEVICE_PANEL)
def certify(
    folder: FolderOption,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[REQUEST]...", help="Release requests carried here. Default: ask the master."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE|DIR", help="Write the certificates instead of handing them in."),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Certify that this device no longer uses the licenses that are to be released: rule L2.

    What was certified is over for this device. Doing it again gives the same certificate.
    """
    from licensemaster.signing import documents

    with _device_errors():
        device = _load(folder)
    kind = document_pb2.DOCUMENT_KIND_RELEASE_REQUEST
    if files:
        requests = [(str(file), read_document(file, kind)) for file in files]
    else:
        waiting = [license for license in _licenses(device, server) if license.release.HasField("request")]
        requests = [(license.license, license.release.request) for license in waiting if not license.release.certified]
    if not requests:
        stderr_console().print("nothing is to be certified by this device")
    single = out is not None and len(requests) == 1 and not out.is_dir()
    into = folder_for(out) if out is not None and requests and not single else None
    for name, document in requests:
        with _device_errors(name):
            certificate = device.certify(document)
            license_id = documents.read_payload(certificate, document_pb2.SecurityCertificate).license
        if out is None:
            with Connection(server) as connection:
                request = license_pb2.SubmitCertificateRequest(certificate=certificate)
                connection.call(connection.licenses.SubmitCertificate, request)
            stdout_console().print(visible(f"{license_id}: certified, and the master knows"))
        else:
            file = out if into is None else certificate_file(into, license_id)
            write_document(file, certificate)
            stdout_console().print(visible(f"{file}: for the operator's `license-master license certify`"))


@app.command("show", rich_help_panel=DEVICE_PANEL)
def show(folder: FolderOption, as_json: JsonOption = False) -> None:
    """Show who this device is, and which licenses it knows to be bound to it."""
    with _device_errors():
        device = _load(folder)
        from licensemaster.signing.documents import key_id_of

        key_id = key_id_of(device.public_key)
    if as_json:
        print_json_object(
            {
                "device": device.device,
                "key_id": key_id,
                "enrolled": device.is_enrolled,
                "licenses": [
                    {
                        "license": license.license,
                        "type": license.type,
                        "quantity": license.quantity,
                        "binding": license.number,
                    }
                    for license in device.licenses
                ],
            }
        )
        return
    console = stdout_console()
    console.print(visible(device.device, "bold"))
    console.print(visible(f"key {key_id}, {'enrolled' if device.is_enrolled else 'not enrolled yet'}"))
    if device.licenses:
        shown = table("License", "Type", "Quantity", "Binding", numbers=["Quantity", "Binding"])
        for license in device.licenses:
            add_row(shown, license.license, license.type, license.quantity, license.number)
        console.print(shown)


def _load(folder: Path) -> DeviceKey:
    from licensemaster.signing.device_key import DeviceKey

    return DeviceKey.load(folder)


def _licenses(device: DeviceKey, server: str) -> list[license_pb2.LicenseStatus]:
    """Ask the master how the licenses on this device stand."""
    project = device.device.partition("/devices/")[0]
    request = license_pb2.ListLicensesRequest(project=project, device=short_name(device.device))
    with Connection(server) as connection:
        return list(connection.listing(connection.licenses.ListLicenses, request).licenses)


@contextmanager
def _device_errors(of: Path | str = "") -> Iterator[None]:
    """Turn errors of a device, its documents and its files into failures of the command; `of` names the document.

    Raises:
        typer.BadParameter: instead of a bad value.
        CommandFailed: instead of other errors.
    """
    from licensemaster.signing.device_key import DeviceKeyError
    from licensemaster.signing.documents import DocumentError

    try:
        yield
    except BadValueError as error:
        raise typer.BadParameter(str(error)) from error
    except (DeviceKeyError, DocumentError) as error:
        raise CommandFailed(f"{of}: {error}" if of else str(error)) from error
    except OSError as error:
        raise CommandFailed(f"cannot use {error.filename}: {error.strerror or error}") from error
