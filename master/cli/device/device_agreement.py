"""`license-master device` over time: delivered, upgraded through the gate, features and exceptions."""

from __future__ import annotations

from typing import Annotated

import typer

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import DeviceArgument
from master.cli.operator.agreements.agreement_views import DayOption, end_check
from master.cli.operator.agreements.ordering import placing
from master.cli.output.failure import CommandFailed

PANEL = "Warranty, maintenance, releases"

app = typer.Typer()

ReleaseArgument = Annotated[str, typer.Argument(metavar="RELEASE", help="Such as 7.4.")]


@placing(app, "register", rich_help_panel=PANEL)
def register(
    master: Master,
    device: DeviceArgument,
    product: Annotated[str, typer.Option("--product", metavar="NAME", help="Of the catalog.")],
    delivered: Annotated[str, typer.Option("--delivered", metavar="DAY", help="The day of its purchase.")],
    serial: Annotated[
        str, typer.Option("--serial", metavar="TEXT", help="Its serial number: the device, whatever its name.")
    ] = "",
    release: Annotated[str, typer.Option("--release", metavar="RELEASE", help="What it runs.")] = "",
    shipped: Annotated[
        str, typer.Option("--shipped", metavar="DAY", help="The day it shipped, where that is another one.")
    ] = "",
) -> orders.RegisterDevice:
    """Record that a device was delivered: its warranty, and the terms sold with it, begin."""
    return orders.RegisterDevice(
        device=device, product=product, delivered_on=delivered, serial=serial, release=release, shipped_on=shipped
    )


@placing(app, "correct", rich_help_panel=PANEL)
def correct(
    master: Master,
    device: DeviceArgument,
    delivered: Annotated[str, typer.Option("--delivered", metavar="DAY", help="The day of its purchase.")] = "",
    shipped: Annotated[str, typer.Option("--shipped", metavar="DAY", help="The day it shipped.")] = "",
    serial: Annotated[str, typer.Option("--serial", metavar="TEXT", help="Its serial number.")] = "",
) -> orders.CorrectDevice:
    """Correct a registration (needs --reason); what is counted from its days moves with it. Try --dry-run first."""
    return orders.CorrectDevice(device=device, delivered_on=delivered, shipped_on=shipped, serial=serial)


@placing(app, "install", rich_help_panel=PANEL)
def install(master: Master, device: DeviceArgument, release: ReleaseArgument) -> orders.InstallRelease:
    """Record that a device has installed a release; refused where the gate refuses."""
    return orders.InstallRelease(device=device, release=release)


@placing(app, "allow", rich_help_panel=PANEL)
def allow(master: Master, device: DeviceArgument, release: ReleaseArgument) -> orders.AllowBuild:
    """Record that the vendor allows one build on a device."""
    return orders.AllowBuild(device=device, release=release)


@placing(app, "feature", rich_help_panel=PANEL)
def feature(
    master: Master,
    device: DeviceArgument,
    name: Annotated[str, typer.Argument(metavar="FEATURE", help="A license type.")],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="The feature key.")],
) -> orders.AddFeature:
    """Turn an optional feature on with its key."""
    return orders.AddFeature(device=device, feature=name, key=key)


@asks_master(app, "check-upgrade", rich_help_panel=PANEL)
def check_upgrade(
    master: Master,
    device: DeviceArgument,
    release: ReleaseArgument,
    start: Annotated[str, typer.Option("--from", metavar="RELEASE", help="What it runs; default: as recorded.")] = "",
    day: DayOption = "",
    phones: Annotated[bool, typer.Option("--phones", help="The firmware of its phones, not its own software.")] = False,
) -> None:
    """Ask whether a device may install a release. Exits with 1 where it may not; shows the path that works."""
    if phones and (start or day):
        raise CommandFailed(
            "the firmware of phones goes by what their server runs, whatever the day",
            remedy="leave --from and --day out",
        )
    name = master.named("devices", device)
    request = agreement_pb2.CheckUpgradeRequest(
        server=name, to_release=release, from_release=start, day=day, phone_firmware=phones
    )
    answer = master.call(master.agreements.CheckUpgrade, request)
    end_check(answer, as_json=master.as_json)
