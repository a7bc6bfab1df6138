"""`license-master license`: licenses arrive and go onto devices. `license_release.py` has the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from licensemaster.v1 import document_pb2, license_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import (
    LicensesArgument,
    LimitOption,
    OfDeviceOption,
    OfTypeOption,
    ReasonOption,
    ToDeviceOption,
)
from master.cli.operator.licenses import license_release
from master.cli.operator.licenses.move_results import RELEASING, end, licenses_view, print_results, waits_for
from master.cli.output.document_files import binding_file, folder_for, read_document, request_file, write_document
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import json_object, print_json_object, stderr_console, stdout_console, visible

app = typer.Typer(help="Licenses: import, bind, release, rebind.", no_args_is_help=True)


State = Literal["free", "bound", "releasing", "cooling-off", "ended"]


def license_state(state: State | None) -> license_pb2.LicenseState.ValueType:
    """Return the API's value for a license state as typed; "unspecified" for None."""
    name = state.replace("-", "_").upper() if state else "UNSPECIFIED"
    return license_pb2.LicenseState.Value(f"LICENSE_STATE_{name}")


@asks_master(app, "import")
def import_licenses(
    master: Master,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Vendors' license files.")],
    reason: ReasonOption = "",
) -> None:
    """Take the licenses of signed files into the project balance. Importing a file again changes nothing.

    Each file is taken whole or not at all. Exits with 1 where one was refused; the others are imported all the same.
    """
    answers: list[license_pb2.ImportLicensesResponse] = []
    refused = False
    name = master.project
    for file in files:
        try:
            document = read_document(file, document_pb2.DOCUMENT_KIND_LICENSE_FILE)
            request = license_pb2.ImportLicensesRequest(project=name, file=document, reason=reason)
            answer = master.call(master.licenses.ImportLicenses, request)
        except CommandFailed as failure:
            if len(files) == 1:
                raise
            refused = True
            for part in failure.in_file(str(file)).parts():
                stderr_console().print(part, soft_wrap=True)
            continue
        answers.append(answer)
        if not master.as_json:
            again = " was imported before; nothing changed" if answer.already_imported else " imported"
            stdout_console().print(visible(f"{file}: file {answer.file}{again}", "bold"))
            stdout_console().print(licenses_view(answer.licenses))
    if master.as_json:
        print_json_object({"imports": [json_object(answer) for answer in answers]})
    if refused:
        raise typer.Exit(1)


@asks_master(app, "list")
def list_licenses(
    master: Master,
    device: OfDeviceOption = "",
    license_type: OfTypeOption = "",
    state: Annotated[State | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: LimitOption = 100,
) -> None:
    """Show licenses and where they stand: free, bound, releasing (and what that waits for), cooling off."""
    request = license_pb2.ListLicensesRequest(
        project=master.project, device=device, license_type=license_type, state=license_state(state)
    )
    answer = master.listing(master.licenses.ListLicenses, request, limit)
    master.show_listing(answer, lambda: licenses_view(answer.licenses), empty="no licenses match")


@asks_master(app, "bind")
def bind(
    master: Master,
    licenses: LicensesArgument,
    to: ToDeviceOption,
    dry_run: license_release.DryRunOption = False,
    binding_out: Annotated[
        Path | None,
        typer.Option("--binding-out", metavar="DIR", help="Write the signed bindings, to be carried to the device."),
    ] = None,
    reason: ReasonOption = "",
) -> None:
    """Put free licenses onto a device."""
    folder = folder_for(binding_out) if binding_out else None
    request = license_pb2.BindLicensesRequest(
        project=master.project, licenses=licenses, device=to, dry_run=dry_run, reason=reason
    )
    response = master.call(master.licenses.BindLicenses, request)
    if folder is not None and not dry_run:
        for result in response.results:
            if result.HasField("binding"):
                write_document(binding_file(folder, result.license), result.binding)
    if not master.shows_json(response):
        print_results(response.results, response.warnings, dry_run=dry_run)
    end(response.results)


@asks_master(app, "cancel")
def cancel(master: Master, licenses: LicensesArgument, reason: ReasonOption = "") -> None:
    """Cancel releases: the licenses stay where they are. Seats that were revoked stay revoked."""
    request = license_pb2.CancelReleasesRequest(project=master.project, licenses=licenses, reason=reason)
    response = master.call(master.licenses.CancelReleases, request)
    if not master.shows_json(response):
        print_results(response.results)
    end(response.results)


@asks_master(app, "approve")
def approve(master: Master, licenses: LicensesArgument, reason: ReasonOption = "") -> None:
    """Agree, as a second operator, that devices are dead: their licenses are released without a certificate."""
    request = license_pb2.ApproveReleasesRequest(project=master.project, licenses=licenses, reason=reason)
    response = master.call(master.licenses.ApproveReleases, request)
    if not master.shows_json(response):
        print_results(response.results, response.warnings)
    end(response.results)


@asks_master(app, "certify", project=False)
def certify(
    master: Master,
    files: Annotated[list[Path], typer.Argument(metavar="CERTIFICATE...", help="What devices signed.")],
    binding_out: Annotated[
        Path | None,
        typer.Option("--binding-out", metavar="DIR", help="Write the bindings of licenses that went to other devices."),
    ] = None,
) -> None:
    """Hand in devices' security certificates. Handing one in again changes nothing."""
    folder = folder_for(binding_out) if binding_out else None
    kind = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE
    certificates = [read_document(file, kind) for file in files]
    answers = []
    for file, certificate in zip(files, certificates, strict=True):
        request = license_pb2.SubmitCertificateRequest(certificate=certificate)
        try:
            answer = master.call(master.licenses.SubmitCertificate, request)
        except CommandFailed as failure:
            raise failure.in_file(str(file)) from failure
        answers.append(answer)
        if folder is not None and answer.HasField("binding"):
            write_document(binding_file(folder, answer.license.license), answer.binding)
        if not master.as_json:
            stdout_console().print(visible(f"{answer.license.license}: {_after_certificate(answer.license)}"))
    if master.as_json:
        print_json_object({"certificates": [json_object(answer) for answer in answers]})


@asks_master(app, "documents")
def documents(
    master: Master,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    device: OfDeviceOption = "",
) -> None:
    """Write what is to be carried to devices without a network: bindings, and requests to certify releases."""
    folder = folder_for(out)
    request = license_pb2.ListLicensesRequest(project=master.project, device=device)
    licenses = master.listing(master.licenses.ListLicenses, request).licenses
    files = []
    for license in licenses:
        if license.HasField("signed_binding"):
            files.append((binding_file(folder, license.license), license.signed_binding, license))
        elif license.release.HasField("request") and not license.release.certified:
            files.append((request_file(folder, license.license), license.release.request, license))
    for file, document, _ in files:
        write_document(file, document)
    if master.as_json:
        print_json_object(
            {
                "documents": [
                    {"file": str(file), "license": license.license, "device": license.device}
                    for file, _, license in files
                ]
            }
        )
        return
    for file, _, license in files:
        stdout_console().print(visible(f"{file}  for {license.device}"))
    if not files:
        stderr_console().print("nothing to carry")


def _after_certificate(license: license_pb2.LicenseStatus) -> str:
    """Return how a license stands after the certificate of its device was handed in."""
    if license.state == RELEASING:  # one that was handed in before may have ended an earlier release
        return waits_for(license) if license.release.certified else f"nothing changed; {waits_for(license)}"
    return f"certified; {f'on {license.device}' if license.device else 'free in the project balance'}"


app.add_typer(license_release.app)
