"""The orders that somebody can place, one class each; `domain/agreements/ordering/decide_order.py` decides them all.

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
    """The base of all orders; an order kept as plain data names its class as `kind`."""


class AddCredits(_Order, kw_only=True):
    """Add credits that were bought to the balance (M2)."""

    amount: Decimal
    """The credits to add; below zero, the credits to take back because too many were entered."""


class Extend(_Order, kw_only=True):
    """Buy time by an offer: put under an agreement, extend, renew or resume (M2 to M6, P4, Q4, R4, N3)."""

    subjects: tuple[Subject, ...]
    """The licenses, devices or contracts to cover, all or none; an offer that needs a key takes exactly one."""
    offer: str
    months: int = 0
    """The period to buy, in months; 0 where the offer has one period only."""
    key: str = ""
    serial: str = ""
    """The device's serial number; where given, it must be the registered one (N1)."""
    pbx: str = ""
    """A PBX; all licenses bound to its device that the offer covers are added to the subjects (M4)."""


class ConfirmPayment(_Order, kw_only=True):
    """Put an order that awaited its payment into force, with its key (P9)."""

    order: int
    """The number of the awaited order's ledger entry."""
    key: str


class CancelOrder(_Order, kw_only=True):
    """Cancel an order that awaits its payment."""

    order: int


class StartTrial(_Order, kw_only=True):
    """Start a trial of a product, for staging servers too (P1)."""

    license: str
    product: str
    counts: Mapping[str, int]
    """The tier to try, by license type."""
    key: str
    major: int = 0
    """The major version to try, where the product is for one major version (P3)."""


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
    """Quantities by license type: the tier (P6) or the seats (R1)."""
    major: int = 0
    """The major version to buy, where the product is for one major version (P3)."""
    premier: bool = False
    """Whether premier support is bought for all seats (R5)."""


class UpgradeTier(_Order, kw_only=True):
    """Raise a license to a higher tier, by its new totals (P6)."""

    license: str
    counts: Mapping[str, int]
    """The new totals by license type; types that are not named keep their total."""


class AddSeats(_Order, kw_only=True):
    """Add seats to a running contract, for the months that are left of its year (R4)."""

    contract: str
    """The contract, or the license that is sold by seats."""
    counts: Mapping[str, int]
    """The seats to add, by license type."""


class SetAutoRenewal(_Order, kw_only=True):
    """Switch the automatic renewal of a subject on or off (P4)."""

    license: str
    """The license, or the contract, by its id."""
    offer: str
    on: bool


class SetPremier(_Order, kw_only=True):
    """Switch premier support on or off for all seats, from the next renewal on (R5)."""

    contract: str
    on: bool
    from_day: date | None = None
    """The day on which premier support changes; where given, it must be the day of the renewal."""


class AssignSeat(_Order, kw_only=True):
    """Assign a contract's seat to a named user (R1, R2)."""

    contract: str
    user: str
    uses: tuple[str, ...]
    """What the user does, as values of `SeatUse`; a user who does none of it needs no seat."""


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
    """Register a device that was delivered; its warranty, and what else came with it, begins (N1, Q3)."""

    device: str
    product: str
    delivered_on: date
    """The day of the device's purchase, from which the windows for buying count; not after today."""
    serial: str = ""
    """The serial number: the device's identity, once per project (N1)."""
    shipped_on: date | None = None
    """The day on which the device shipped, from which its included terms count; None: the day of its purchase."""
    release: str = ""
    """The release that is installed on the device, where the product has releases."""


class InstallRelease(_Order, kw_only=True):
    """Record that a device has installed a release; refused where the upgrade gate refuses (Q1, Q2)."""

    device: str
    release: str


class AllowBuild(_Order, kw_only=True):
    """Record that the vendor allows a device one build (Q7)."""

    device: str
    release: str


class AddFeature(_Order, kw_only=True):
    """Add an optional feature to a device, by the feature's own key (Q5)."""

    device: str
    feature: str
    """The license type of the feature."""
    key: str


class UpgradeVersion(_Order, kw_only=True):
    """Upgrade licenses to a newer version under their agreement, free of charge (M1, M6)."""

    licenses: tuple[str, ...]
    version: int


class ConvertVersion(_Order, kw_only=True):
    """Convert free licenses in the balance to another version: their agreement is void, a new year is charged (L6)."""

    licenses: tuple[str, ...]
    version: int
    offer: str
    """The offer by which the new year is charged."""


class PublishRelease(_Order, kw_only=True):
    """Record the day on which the vendor published a release."""

    release: str
    day: date
    correct: bool = False
    """Whether a day that is already recorded for the release is replaced."""


class Reverse(_Order, kw_only=True):
    """Take an order back, as if it had never been; the ledger keeps the order and its reversal."""

    order: int
    """The number of any ledger entry that the order wrote."""


class CorrectDevice(_Order, kw_only=True):
    """Correct the registration of a device; the terms that are counted from its days move with them (N1, Q3)."""

    device: str
    delivered_on: date | None = None
    """The corrected day of purchase; None leaves it as it is."""
    shipped_on: date | None = None
    """The corrected day of shipping; None leaves it as it is."""
    serial: str = ""
    """The corrected serial number; empty leaves it as it is."""


class PayLicenses(_Order, kw_only=True):
    """Pay for licenses with credits; the licenses themselves come with the vendor's file (M2, L1)."""

    type: str
    """The license type as the documents print it, with version and tier: `PBX-Port12`, `PBX-Port 12%500`."""
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
"""The kinds of orders that must give a reason, for the audit."""


def order_to_plain(order: Order) -> dict[str, Any]:
    plain: dict[str, Any] = to_builtins(order)
    return plain


def order_from_plain(data: Mapping[str, Any]) -> Order:
    """Read an order back from plain data. Raises ValueError if the data is no order."""
    try:
        order: Order = convert(data, Order)
    except ValidationError as error:
        raise ValueError(f"is no order: {error}") from error
    return order
