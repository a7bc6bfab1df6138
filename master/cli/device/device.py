"""`license-master device`: devices' keys, at the master. `device_folder.py` has what is done on the device itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from licensemaster.v1 import document_pb2, license_pb2
from master.cli.connection.connection import Connection
from master.cli.connection.options import (
    DEFAULT_SERVER,
    DeviceArgument,
    JsonOption,
    ProjectOption,
    ReasonOption,
    ServerOption,
)
from master.cli.device import device_agreement, device_folder
from master.cli.output.document_files import read_document, write_document
from master.cli.output.paging import print_listing
from master.cli.output.rendering import (
    add_row,
    distance,
    moment,
    print_json,
    stderr_console,
    stdout_console,
    table,
    visible,
)

OPERATOR_PANEL = "By an operator, at the master"

app = typer.Typer(help="Devices and the keys they sign with.", no_args_is_help=True)


@app.command("token", rich_help_panel=OPERATOR_PANEL)
def token(
    device: DeviceArgument,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Make a one-time token with which a device can show its key. It is shown only now; another one voids it."""
    with Connection(server) as connection:
        name = device if device.startswith("projects/") else f"{connection.project_name(project)}/devices/{device}"
        request = license_pb2.CreateEnrollmentRequest(device=name, reason=reason)
        response = connection.call(connection.licenses.CreateEnrollment, request)
    if as_json:
        print_json(response)
        return
    stdout_console().print(visible(response.token))
    until = (
        f"for {name}, once, until {moment(response.expire_time)} ({distance(response.expire_time, datetime.now(UTC))})"
    )
    stderr_console().print(visible(until), soft_wrap=True)


@app.command("list", rich_help_panel=OPERATOR_PANEL)
def list_devices(
    as_json: JsonOption = False, project: ProjectOption = None, server: ServerOption = DEFAULT_SERVER
) -> None:
    """List devices: their keys, and how many licenses are bound to them."""
    with Connection(server) as connection:
        request = license_pb2.ListDevicesRequest(project=connection.project_name(project))
        response = connection.call(connection.licenses.ListDevices, request)
    print_listing(response, lambda: devices_view(response.devices), as_json=as_json, empty="the project has no devices")


@app.command("admit", rich_help_panel=OPERATOR_PANEL)
def admit(
    request_file: Annotated[
        Path, typer.Argument(metavar="REQUEST", help="What `device enroll --request-out` wrote.", show_default=False)
    ],
    answer_out: Annotated[
        Path, typer.Option("--answer-out", metavar="FILE", help="To be carried back to the device.", show_default=False)
    ],
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Take a device's key that was carried here as a file, and write the answer to carry back."""
    document = read_document(request_file, document_pb2.DOCUMENT_KIND_ENROLLMENT)
    with Connection(server) as connection:
        request = license_pb2.EnrollDeviceRequest(enrollment=document)
        response = connection.call(connection.licenses.EnrollDevice, request)
    write_document(answer_out, response.answer)
    stdout_console().print(visible(f"enrolled; {answer_out}: for the device's `license-master device answer`"))


def devices_view(devices: Sequence[license_pb2.DeviceKey]) -> Table:
    shown = table("Device", "Key", "Enrolled", "Licenses", "", numbers=["Licenses"])
    for device in devices:
        waiting = "a token waits for it" if device.enrollment_open else ""
        add_row(shown, device.device, device.key_id or "none", moment(device.enroll_time), device.licenses, waiting)
    return shown


device_agreement.add_to(app)
device_folder.add_to(app)
