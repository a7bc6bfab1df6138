"""`license-master agreement`: time is ordered. `agreement_views.py` shows what there is, `contract.py` has seats."""

from __future__ import annotations

from typing import Annotated

import typer

from licensemaster.v1 import agreement_order_pb2 as orders
from master.cli.connection.asking import Master
from master.cli.connection.options import LicensesArgument
from master.cli.operator.agreements import agreement_views
from master.cli.operator.agreements.ordering import NEGATIVE_NUMBERS, CountsArgument, counts, placing, subjects
from master.cli.output.failure import CommandFailed

ORDER_PANEL = "Order"

app = typer.Typer(
    help="Service agreements, maintenance, trials, yearly seats: what a license may do.", no_args_is_help=True
)
credits_app = typer.Typer(help="Credits, which service agreements are paid with.", no_args_is_help=True)

SubjectsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help="Licenses, devices, contracts; device:NAME where it is several."),
]
LicenseArgument = Annotated[str, typer.Argument(metavar="LICENSE", help="The license's id.")]
OfferOption = Annotated[str, typer.Option("--offer", metavar="NAME", help="By which offer of the catalog.")]
KeyOption = Annotated[str, typer.Option("--key", metavar="KEY", help="The key that the vendor sent.")]
MajorOption = Annotated[
    int, typer.Option("--major", metavar="N", min=0, max=10_000, help="The major version, where it is for one.")
]
OrderArgument = Annotated[int, typer.Argument(metavar="ORDER", min=1, max=10**15, help="The order's number.")]


@placing(app, "extend", rich_help_panel=ORDER_PANEL)
def extend(
    master: Master,
    offer: OfferOption,
    names: SubjectsArgument = None,
    pbx: Annotated[
        str, typer.Option("--pbx", metavar="NAME", help="All licenses of this PBX that the offer covers.")
    ] = "",
    months: Annotated[
        int, typer.Option("--months", metavar="N", min=0, max=1_200, help="For how long; 0: the offer's one period.")
    ] = 0,
    key: KeyOption = "",
    serial: Annotated[str, typer.Option("--serial", metavar="TEXT", help="Must be that of the device.")] = "",
) -> orders.Extend:
    """Put under an agreement, extend, renew or resume it: buy time."""
    if not names and not pbx:
        raise CommandFailed("nothing is named", remedy="name licenses, devices or contracts, or a PBX by --pbx")
    named = subjects(master, names) if names else []
    return orders.Extend(subjects=named, offer=offer, months=months, key=key, serial=serial, pbx=pbx)


@placing(app, "buy", rich_help_panel=ORDER_PANEL)
def buy(
    master: Master,
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="Of the catalog.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called; its trial's name.")],
    tier: CountsArgument,
    major: MajorOption = 0,
    premier: Annotated[bool, typer.Option("--premier", help="With premier support for the whole.")] = False,
) -> orders.Buy:
    """Buy a license with a tier, in place of its trial where there is one, or a contract for seats."""
    return orders.Buy(id=name, product=product, counts=counts(tier), major=major, premier=premier)


@placing(app, "trial", rich_help_panel=ORDER_PANEL)
def trial(
    master: Master,
    license_id: LicenseArgument,
    key: KeyOption,
    tier: Annotated[list[str] | None, typer.Argument(metavar="TYPE=N...", help="The tier to try.")] = None,
    product: Annotated[str, typer.Option("--product", metavar="NAME", help="To begin one; else it is extended.")] = "",
    major: MajorOption = 0,
) -> orders.StartTrial | orders.ExtendTrial:
    """Begin a trial (with --product), or extend one with a further key. Reversed on the day of the key only."""
    if not product:
        if tier or major:
            raise CommandFailed(
                "a further key extends what is tried; it changes no tier and no major version",
                remedy="leave them out, or begin a trial of another license with --product",
            )
        return orders.ExtendTrial(license=license_id, key=key)
    return orders.StartTrial(license=license_id, product=product, counts=counts(tier or []), key=key, major=major)


@placing(app, "upgrade", rich_help_panel=ORDER_PANEL)
def upgrade(
    master: Master,
    names: Annotated[
        list[str], typer.Argument(metavar="LICENSE... | LICENSE TYPE=N...", help="With new totals, or --to.")
    ],
    to: Annotated[
        int, typer.Option("--to", metavar="VERSION", min=0, max=10_000, help="The version that they get.")
    ] = 0,
) -> orders.UpgradeVersion | orders.UpgradeTier:
    """Upgrade licenses to a version under their agreement (--to), or one license to a new total (user=40)."""
    totals = [name for name in names if "=" in name]
    licenses = [name for name in names if "=" not in name]
    if to and not totals:
        return orders.UpgradeVersion(licenses=licenses, version=to)
    if to or not totals or len(licenses) != 1:
        raise CommandFailed(
            "say either to which version, or to which totals one license is upgraded",
            remedy="license-master agreement upgrade LICENSE --to 13, or LICENSE user=40",
        )
    return orders.UpgradeTier(license=licenses[0], counts=counts(totals))


@placing(app, "convert", rich_help_panel=ORDER_PANEL)
def convert(
    master: Master,
    licenses: LicensesArgument,
    to: Annotated[int, typer.Option("--to", metavar="VERSION", min=0, max=10_000, help="The version that they get.")],
    offer: OfferOption,
) -> orders.ConvertVersion:
    """Give free licenses another version: their agreement is void, a new year is charged."""
    return orders.ConvertVersion(licenses=licenses, version=to, offer=offer)


@placing(app, "auto-renew", rich_help_panel=ORDER_PANEL)
def auto_renew(
    master: Master,
    license_id: LicenseArgument,
    offer: OfferOption,
    off: Annotated[bool, typer.Option("--off", help="No longer.")] = False,
) -> orders.SetAutoRenewal:
    """Have a license renewed by itself from now on, or no longer."""
    return orders.SetAutoRenewal(license=license_id, offer=offer, on=not off)


@placing(app, "confirm", rich_help_panel=ORDER_PANEL)
def confirm(master: Master, order: OrderArgument, key: KeyOption) -> orders.ConfirmPayment:
    """Confirm the payment of an order: it comes into force with its key."""
    return orders.ConfirmPayment(order=order, key=key)


@placing(app, "cancel", rich_help_panel=ORDER_PANEL)
def cancel(master: Master, order: OrderArgument) -> orders.CancelOrder:
    """Give an order up that awaits its payment."""
    return orders.CancelOrder(order=order)


@placing(app, "publish", rich_help_panel=ORDER_PANEL)
def publish(
    master: Master,
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="Such as 14 or 7.4.")],
    day: Annotated[str, typer.Option("--on", metavar="DAY", help="Such as 2026-03-01.")],
    correct: Annotated[bool, typer.Option("--correct", help="Another day was entered: put it right.")] = False,
) -> orders.PublishRelease:
    """Enter that the vendor published a release."""
    return orders.PublishRelease(release=release, day=day, correct=correct)


@placing(app, "reverse", rich_help_panel=ORDER_PANEL)
def reverse(master: Master, order: OrderArgument) -> orders.Reverse:
    """Take an order back, as if it had never been (needs --reason); the ledger shows both. Try --dry-run first."""
    return orders.Reverse(order=order)


@placing(credits_app, "add", context_settings=NEGATIVE_NUMBERS)
def add_credits(
    master: Master,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="A decimal; below 0 it takes credits back.")],
) -> orders.AddCredits:
    """Credits were bought: into the balance; what was entered too much is taken back by -AMOUNT."""
    return orders.AddCredits(amount=amount)


@placing(credits_app, "pay")
def pay(
    master: Master,
    license_type: Annotated[str, typer.Argument(metavar="TYPE", help="Such as PBX-Port12.")],
    quantity: Annotated[int, typer.Argument(metavar="N", min=1, max=1_000_000, help="How many.")],
) -> orders.PayLicenses:
    """Pay for licenses with credits (needs --prices); the licenses come with the vendor's file."""
    return orders.PayLicenses(type=license_type, quantity=quantity)


app.add_typer(agreement_views.app)
credits_app.command("show")(agreement_views.show_credits)
