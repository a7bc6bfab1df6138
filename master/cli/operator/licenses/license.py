"""`license-master license`: licenses arrive and go onto devices. `license_release.py` has the way back."""

from __future__ import annotations

import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from licensemaster.v1 import document_pb2, license_pb2
from master.cli.connection.connection import Connection
from master.cli.connection.options import (
    DEFAULT_SERVER,
    JsonOption,
    LicensesArgument,
    LimitOption,
    OfDeviceOption,
    OfTypeOption,
    ProjectOption,
    ReasonOption,
    ServerOption,
    ToDeviceOption,
)
from master.cli.operator.licenses import license_release
from master.cli.operator.licenses.move_results import RELEASING, end, licenses_view, print_results, waits_for
from master.cli.output.document_files import binding_file, folder_for, read_document, request_file, write_document
from master.cli.output.failure import CommandFailed
from master.cli.output.paging import print_listing
from master.cli.output.rendering import (
    json_object,
    print_json,
    print_json_object,
    stderr_console,
    stdout_console,
    visible,
)

app = typer.Typer(help="Licenses: import, bind, release, rebind.", no_args_is_help=True)


class State(StrEnum):
    """License states as they are typed."""

    FREE = "free"
    BOUND = "bound"
    RELEASING = "releasing"
    COOLING_OFF = "cooling-off"
    ENDED = "ended"


def license_state(state: State | None) -> license_pb2.LicenseState.ValueType:
    """The API's value for a state as typed."""
    return license_pb2.LicenseState.Value(f"LICENSE_STATE_{state.name if state else 'UNSPECIFIED'}")


@app.command("import")
def import_licenses(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Vendors' license files.", show_default=False)],
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Take the licenses of signed files into the project balance. Importing a file again changes nothing.

    Each file is taken whole or not at all. Exits with 1 where one was refused; the others are imported all the same.
    """
    answers: list[license_pb2.ImportLicensesResponse] = []
    refused = False
    with Connection(server) as connection:
        name = connection.project_name(project)
        for file in files:
            try:
                document = read_document(file, document_pb2.DOCUMENT_KIND_LICENSE_FILE)
                request = license_pb2.ImportLicensesRequest(project=name, file=document, reason=reason)
                answer = connection.call(connection.licenses.ImportLicenses, request)
            except CommandFailed as failure:
                if len(files) == 1:
                    raise
                refused = True
                for part in failure.in_file(str(file)).parts():
                    stderr_console().print(part, soft_wrap=True)
                continue
            answers.append(answer)
            if not as_json:
                again = " was imported before; nothing changed" if answer.already_imported else " imported"
                stdout_console().print(visible(f"{file}: file {answer.file}{again}", "bold"))
                stdout_console().print(licenses_view(answer.licenses))
    if as_json:
        print_json_object({"imports": [json_object(answer) for answer in answers]})
    if refused:
        raise typer.Exit(1)


@app.command("list")
def list_licenses(
    device: OfDeviceOption = "",
    license_type: OfTypeOption = "",
    state: Annotated[State | None, typer.Option("--state", help="Only in this state.", show_default=False)] = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Show licenses and where they stand: free, bound, releasing (and what that waits for), cooling off."""
    with Connection(server) as connection:
        request = license_pb2.ListLicensesRequest(
            project=connection.project_name(project),
            device=device,
            license_type=license_type,
            state=license_state(state),
        )
        answer = connection.listing(connection.licenses.ListLicenses, request, limit)
    print_listing(answer, lambda: licenses_view(answer.licenses), as_json=as_json, empty="no licenses match")


@app.command("bind")
def bind(
    licenses: LicensesArgument,
    to: ToDeviceOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")] = False,
    binding_out: Annotated[
        Path | None,
        typer.Option("--binding-out", metavar="DIR", help="Write the signed bindings, to be carried to the device."),
    ] = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Put free licenses onto a device."""
    folder = folder_for(binding_out) if binding_out and not dry_run else None
    with Connection(server) as connection:
        request = license_pb2.BindLicensesRequest(
            project=connection.project_name(project),
            licenses=licenses,
            device=to,
            dry_run=dry_run,
            reason=reason,
            request_id=str(uuid.uuid4()),
        )
        response = connection.call(connection.licenses.BindLicenses, request)
    if folder is not None:
        for result in response.results:
            if result.HasField("binding"):
                write_document(binding_file(folder, result.license), result.binding)
    if as_json:
        print_json(response)
    else:
        print_results(response.results, response.warnings, dry_run=dry_run)
    end(response.results)


@app.command("cancel")
def cancel(
    licenses: LicensesArgument,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Give releases up: the licenses stay where they are. Seats that were revoked stay revoked."""
    with Connection(server) as connection:
        request = license_pb2.CancelReleasesRequest(
            project=connection.project_name(project),
            licenses=licenses,
            reason=reason,
            request_id=str(uuid.uuid4()),
        )
        response = connection.call(connection.licenses.CancelReleases, request)
    if as_json:
        print_json(response)
    else:
        print_results(response.results)
    end(response.results)


@app.command("approve")
def approve(
    licenses: LicensesArgument,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Agree, as a second operator, that devices are dead: their licenses are released without a certificate."""
    with Connection(server) as connection:
        request = license_pb2.ApproveReleasesRequest(
            project=connection.project_name(project),
            licenses=licenses,
            reason=reason,
            request_id=str(uuid.uuid4()),
        )
        response = connection.call(connection.licenses.ApproveReleases, request)
    if as_json:
        print_json(response)
    else:
        print_results(response.results, response.warnings)
    end(response.results)


@app.command("certify")
def certify(
    files: Annotated[
        list[Path], typer.Argument(metavar="CERTIFICATE...", help="What devices signed.", show_default=False)
    ],
    binding_out: Annotated[
        Path | None,
        typer.Option("--binding-out", metavar="DIR", help="Write the bindings of licenses that went to other devices."),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Hand in devices' security certificates. Handing one in again changes nothing."""
    folder = folder_for(binding_out) if binding_out else None
    kind = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE
    certificates = [read_document(file, kind) for file in files]
    answers = []
    with Connection(server) as connection:
        for file, certificate in zip(files, certificates, strict=True):
            request = license_pb2.SubmitCertificateRequest(certificate=certificate)
            try:
                answer = connection.call(connection.licenses.SubmitCertificate, request)
            except CommandFailed as failure:
                raise failure.in_file(str(file)) from failure
            answers.append(answer)
            if folder is not None and answer.HasField("binding"):
                write_document(binding_file(folder, answer.license.license), answer.binding)
            if not as_json:
                stdout_console().print(visible(f"{answer.license.license}: {_after_certificate(answer.license)}"))
    if as_json:
        print_json_object({"certificates": [json_object(answer) for answer in answers]})


@app.command("documents")
def documents(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.", show_default=False)],
    device: OfDeviceOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Write what is to be carried to devices without a network: bindings, and requests to certify releases."""
    folder = folder_for(out)
    with Connection(server) as connection:
        request = license_pb2.ListLicensesRequest(project=connection.project_name(project), device=device)
        licenses = connection.listing(connection.licenses.ListLicenses, request).licenses
    files = []
    for one in licenses:
        if one.HasField("signed_binding"):
            files.append((binding_file(folder, one.license), one.signed_binding, one))
        elif one.release.HasField("request") and not one.release.certified:
            files.append((request_file(folder, one.license), one.release.request, one))
    for file, document, _ in files:
        write_document(file, document)
    if as_json:
        print_json_object(
            {"documents": [{"file": str(file), "license": one.license, "device": one.device} for file, _, one in files]}
        )
        return
    for file, _, one in files:
        stdout_console().print(visible(f"{file}  for {one.device}"))
    if not files:
        stderr_console().print("nothing to carry")


def _after_certificate(one: license_pb2.LicenseStatus) -> str:
    """How a license stands once its device's certificate was handed in."""
    if one.state == RELEASING:  # one that was handed in before may have ended an earlier release
        return waits_for(one) if one.release.certified else f"nothing changed; {waits_for(one)}"
    return f"certified; {f'on {one.device}' if one.device else 'free in the project balance'}"


license_release.add_to(app)
