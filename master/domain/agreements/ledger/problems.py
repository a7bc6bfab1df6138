"""The reasons why an order is refused, as one closed list in order of precedence, and the refusal that carries one.

The deciding modules find the reasons and word the refusals. A refusal is an answer, not a failure: nothing was changed.
"""

from __future__ import annotations

from enum import IntEnum

from master.domain.catalog.subjects import PROJECT, Subject
from master.values import Value


class AgreementProblem(IntEnum):
    """The closed list of reasons; the number is the order of precedence.

    First comes what is wrong with the order, then what is never possible, then what is possible at another time, then
    what it costs.
    """

    MALFORMED = 1
    """A value has no meaning: no amount, no months, an empty name, a day ahead."""
    UNKNOWN_SUBJECT = 2
    UNKNOWN_PRODUCT = 3
    UNKNOWN_OFFER = 4
    UNKNOWN_TYPE = 5
    """The product does not have the license type."""
    UNKNOWN_RELEASE = 6
    UNKNOWN_ORDER = 7
    """No order of that number awaits its payment (P9), or the ledger has no such entry."""
    ALREADY_THERE = 8
    """The license is bought, the device registered, the contract made or the feature on already."""
    WRONG_KIND = 9
    """The product is not sold in that way: tiers do not add up (P6), seats are no tiers."""
    NOT_COVERED = 10
    """The policy does not cover this type or version (M8)."""
    WRONG_SERIAL = 11
    """The key is for another serial number (N1)."""
    KEY_MISSING = 12
    KEY_USED = 13
    """Each key can be used once (N1, P9)."""
    PERIOD_NOT_OFFERED = 14
    """The offer is not sold for that period (Q4; R3: yearly only)."""
    NO_AUTO_RENEWAL = 15
    NO_PREMIER = 16
    PURCHASED_ALREADY = 17
    """The offer was bought as often as it can be in all (N2, P1)."""
    NEVER_BOUND = 18
    """The license was never bound, and time counts from the first binding (M3)."""
    NOT_FREE = 19
    """The license is bound; licenses are converted in the balance only (L6)."""
    SAME_VERSION = 20
    VERSION_TOO_LOW = 21
    """The version is lower than the license's, or below the lowest of its type (I4)."""
    SMALLER_TIER = 23
    """An upgrade names a total that is not smaller (P6)."""
    BELOW_MINIMUM = 24
    """The order is below the minimum quantity (R3)."""
    AWAITS_PAYMENT = 25
    """Another order for the subject awaits its payment (P9)."""
    OUTSIDE_WINDOW = 26
    """The offer is not sold on that day (N3, Q4)."""
    TOO_FAR_AHEAD = 27
    """The term would end too far ahead (P4: at most two years)."""
    NOT_IN_FORCE = 28
    """The term is over, or has not begun (M6, R2)."""
    RELEASED_OUTSIDE = 29
    """The version or release was not published in paid time (M1, P3)."""
    OTHER_MAJOR = 30
    """The license is for another major version (P3)."""
    LEAPFROG = 31
    """The device would skip the gate's release (Q2)."""
    MAINTENANCE_NEEDED = 32
    """The release needs valid maintenance (Q1)."""
    SOFTWARE_TOO_OLD = 33
    """The installed software does not have the feature (Q5), or the phones' firmware (Q6)."""
    SEATS_EXHAUSTED = 34
    """All licensed seats are assigned (R2)."""
    ALREADY_ASSIGNED = 35
    NOT_ASSIGNED = 36
    ONLY_AT_RENEWAL = 37
    """Premier support changes with the renewal only (R5)."""
    PRICE_MISSING = 38
    """The price file has no price for what is ordered; custom tiers are not sold (P6)."""
    CREDITS_SHORT = 39
    """The order takes more credits than the balance has, which never goes below zero (M2)."""
    NOT_REVERSIBLE = 40
    """Orders of this kind, or at this time, cannot be reversed."""
    LATER_ORDER = 41
    """A later order rests on the order that is to be reversed."""


class AgreementRefusal(Value, kw_only=True):
    """The refusal of an order, with everything needed to act on it."""

    problem: AgreementProblem
    message: str
    remedy: str
    """The smallest change after which the order would be accepted."""
    rules: tuple[str, ...] = ()
    subject: Subject = PROJECT
    field: str = ""
    """The field of the order that is wrong; empty where no field is."""


class RefusedError(Exception):
    """An error that carries a refusal out of the deciding functions; `decide` returns the refusal instead."""

    def __init__(self, refusal: AgreementRefusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
