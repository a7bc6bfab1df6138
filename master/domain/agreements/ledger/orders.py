"""What somebody can want, one value each; `domain/agreements/ordering/decide_order.py` answers every one of them.

Ids of licenses are those of the project; devices and contracts are named by whoever registers or buys them. Days,
keys and numbers are checked when decided. An order that awaits its payment is in the ledger as plain data (P9): texts,
numbers, truths, lists and tables, with the name of its class as `kind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import ValidationError, convert, to_builtins

from master.domain.catalog.subjects import Subject
from master.values import Value


class _Order(Value, tag_field="kind", tag=True):
    """What is kept of an order names its class."""


class AddCredits(_Order, kw_only=True):
    """Credits that were bought go into the balance (M2)."""

    amount: Decimal
    """Below zero it takes back what was entered too much."""


class Extend(_Order, kw_only=True):
    """Buy time by an offer: put under an agreement, extend, renew or resume (M2 to M6, P4, Q4, R4, N3)."""

    subjects: tuple[Subject, ...]
    """All or none; an offer that needs a key is for one of them."""
    offer: str
    months: int = 0
    """0 where the offer has one period only."""
    key: str = ""
    serial: str = ""
    """Where given, it must be that of the device (N1)."""
    pbx: str = ""
    """Beside the subjects, all licenses bound to this PBX's device that the offer covers (M4)."""


class ConfirmPayment(_Order, kw_only=True):
    """An order that awaited its payment comes into force with its key (P9)."""

    order: int
    """The number of its entry."""
    key: str


class CancelOrder(_Order, kw_only=True):
    """An order that awaits its payment is given up."""

    order: int


class StartTrial(_Order, kw_only=True):
    """Try a product, staging servers included (P1)."""

    license: str
    product: str
    counts: Mapping[str, int]
    """The tier to try, by license type."""
    key: str
    major: int = 0
    """The major version that is tried, where the product is for one (P3)."""


class ExtendTrial(_Order, kw_only=True):
    """Extend a trial by a further key (P1)."""

    license: str
    key: str


class Buy(_Order, kw_only=True):
    """Buy a product: a license with a tier, which replaces its trial in place (P2), or a contract for seats (R3)."""

    id: str
    """The license's id or the contract's name."""
    product: str
    counts: Mapping[str, int]
    """How many of each license type (P6: the tier; R1: the seats)."""
    major: int = 0
    """The major version that it is for, where the product is for one (P3)."""
    premier: bool = False
    """With premier support for the whole (R5)."""


class UpgradeTier(_Order, kw_only=True):
    """Raise a license to another tier, by its new totals (P6)."""

    license: str
    counts: Mapping[str, int]
    """What is not named stays as it is."""


class AddSeats(_Order, kw_only=True):
    """More seats within the year, for the months that are left (R4)."""

    contract: str
    """The contract, or the license that is sold by seats."""
    counts: Mapping[str, int]
    """How many more."""


class SetAutoRenewal(_Order, kw_only=True):
    """Switch the automatic renewal of a subject on or off (P4)."""

    license: str
    """The license, or the contract, by its id."""
    offer: str
    on: bool


class SetPremier(_Order, kw_only=True):
    """Premier support for all seats or for none, from the next renewal on (R5)."""

    contract: str
    on: bool
    from_day: date | None = None
    """Where given, it must be the day of the renewal."""


class AssignSeat(_Order, kw_only=True):
    """Assign a contract's seat to a named user (R1, R2)."""

    contract: str
    user: str
    uses: tuple[str, ...]
    """What the user does: values of `SeatUse`; somebody who does none of it needs no seat."""


class ReassignSeat(_Order, kw_only=True):
    """Pass a contract's seat from one user to another (R2)."""

    contract: str
    from_user: str
    to_user: str
    uses: tuple[str, ...]


class UnassignSeat(_Order, kw_only=True):
    """Take a contract's seat back from a user (R2)."""

    contract: str
    user: str


class RegisterDevice(_Order, kw_only=True):
    """A device that was delivered: its warranty, and what else came with it, begins (N1, Q3)."""

    device: str
    product: str
    delivered_on: date
    """The day of its purchase, from which the windows for buying count; not after today."""
    serial: str = ""
    """Its serial number: the device's identity, once per project (N1)."""
    shipped_on: date | None = None
    """The day on which it shipped, from which warranty and what else came along count; else that of its purchase."""
    release: str = ""
    """The release that is installed, where it has one."""


class InstallRelease(_Order, kw_only=True):
    """A device has installed a release; refused where the gate refuses (Q1, Q2)."""

    device: str
    release: str


class AllowBuild(_Order, kw_only=True):
    """The vendor lets one build through (Q7)."""

    device: str
    release: str


class AddFeature(_Order, kw_only=True):
    """An optional feature, by its own key (Q5)."""

    device: str
    feature: str
    """A license type."""
    key: str


class UpgradeVersion(_Order, kw_only=True):
    """Licenses get a newer version under their agreement, free of charge (M1, M6)."""

    licenses: tuple[str, ...]
    version: int


class ConvertVersion(_Order, kw_only=True):
    """Free licenses in the balance get another version: their agreement is void, a new year is charged (L6)."""

    licenses: tuple[str, ...]
    version: int
    offer: str
    """By which the new year is charged."""


class PublishRelease(_Order, kw_only=True):
    """The vendor has published a release."""

    release: str
    day: date
    correct: bool = False
    """Whether another day that is known is put right."""


class Reverse(_Order, kw_only=True):
    """An order is taken back, as if it had never been; the ledger keeps both."""

    order: int
    """The number of any entry that it wrote."""


class CorrectDevice(_Order, kw_only=True):
    """A registration is put right; what is counted from its days moves with them (N1, Q3)."""

    device: str
    delivered_on: date | None = None
    """None: as it is."""
    shipped_on: date | None = None
    """None: as it is."""
    serial: str = ""
    """Empty: as it is."""


class PayLicenses(_Order, kw_only=True):
    """Licenses are paid with credits; they themselves come with the vendor's file (M2, L1)."""

    type: str
    """As the documents print it, version and tier with it: `PBX-Port12`, `PBX-Port 12%500`."""
    quantity: int


Order = (
    AddCredits
    | Extend
    | ConfirmPayment
    | CancelOrder
    | StartTrial
    | ExtendTrial
    | Buy
    | UpgradeTier
    | AddSeats
    | SetAutoRenewal
    | SetPremier
    | AssignSeat
    | ReassignSeat
    | UnassignSeat
    | RegisterDevice
    | InstallRelease
    | AllowBuild
    | AddFeature
    | UpgradeVersion
    | ConvertVersion
    | PublishRelease
    | Reverse
    | CorrectDevice
    | PayLicenses
)

NEED_A_REASON = (Reverse, CorrectDevice)
"""Orders that say why, for the audit."""


def order_to_plain(order: Order) -> dict[str, Any]:
    plain: dict[str, Any] = to_builtins(order)
    return plain


def order_from_plain(data: Mapping[str, Any]) -> Order:
    """Read an order back from plain data.

    Raises:
        ValueError: the data is no order.
    """
    try:
        order: Order = convert(data, Order)
    except ValidationError as error:
        raise ValueError(f"is no order: {error}") from error
    return order
