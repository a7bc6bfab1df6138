"""`license-master device`: devices' keys, at the master. `device_folder.py` has what is done on the device itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from licensemaster.v1 import document_pb2, license_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import DeviceArgument, ReasonOption
from master.cli.device import device_agreement, device_folder
from master.cli.output.document_files import read_document, write_document
from master.cli.output.rendering import add_row, distance, moment, stderr_console, stdout_console, table, visible

OPERATOR_PANEL = "By an operator, at the master"

app = typer.Typer(help="Devices and the keys they sign with.", no_args_is_help=True)


@asks_master(app, "token", rich_help_panel=OPERATOR_PANEL)
def token(master: Master, device: DeviceArgument, reason: ReasonOption = "") -> None:
    """Make a one-time token with which a device can show its key. It is printed once; a new one makes it void."""
    name = master.named("devices", device)
    request = license_pb2.CreateEnrollmentRequest(device=name, reason=reason)
    response = master.call(master.licenses.CreateEnrollment, request)
    if master.shows_json(response):
        return
    stdout_console().print(visible(response.token))
    until = (
        f"for {name}, once, until {moment(response.expire_time)} ({distance(response.expire_time, datetime.now(UTC))})"
    )
    stderr_console().print(visible(until), soft_wrap=True)


@asks_master(app, "list", rich_help_panel=OPERATOR_PANEL)
def list_devices(master: Master) -> None:
    """List devices: their keys, and how many licenses are bound to them."""
    request = license_pb2.ListDevicesRequest(project=master.project)
    response = master.call(master.licenses.ListDevices, request)
    master.show_listing(response, lambda: devices_view(response.devices), empty="the project has no devices")


@asks_master(app, "admit", rich_help_panel=OPERATOR_PANEL, project=False, as_json=False)
def admit(
    master: Master,
    request_file: Annotated[Path, typer.Argument(metavar="REQUEST", help="What `device enroll --request-out` wrote.")],
    answer_out: Annotated[Path, typer.Option("--answer-out", metavar="FILE", help="To be carried back to the device.")],
) -> None:
    """Take a device's key that was carried here as a file, and write the answer to carry back."""
    document = read_document(request_file, document_pb2.DOCUMENT_KIND_ENROLLMENT)
    request = license_pb2.EnrollDeviceRequest(enrollment=document)
    response = master.call(master.licenses.EnrollDevice, request)
    write_document(answer_out, response.answer)
    stdout_console().print(visible(f"enrolled; {answer_out}: for the device's `license-master device answer`"))


def devices_view(devices: Sequence[license_pb2.DeviceKey]) -> Table:
    shown = table("Device", "Key", "Enrolled", "Licenses", "", numbers=["Licenses"])
    for device in devices:
        waiting = "a token waits for it" if device.enrollment_open else ""
        add_row(shown, device.device, device.key_id or "none", moment(device.enroll_time), device.licenses, waiting)
    return shown


app.add_typer(device_agreement.app)
app.add_typer(device_folder.app)
