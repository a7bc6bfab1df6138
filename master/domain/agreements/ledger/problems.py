"""Why an order is not carried out: one closed list in order of precedence, and what such a "no" carries.

The deciding modules find and word them. A refusal is an answer, not a failure: nothing was changed.
"""

from __future__ import annotations

from enum import IntEnum

from master.domain.catalog.subjects import PROJECT, Subject
from master.values import Value


class AgreementProblem(IntEnum):
    """The closed list; the number is the order of precedence.

    First what is wrong with the question, then what can never be, then what may be at another time, then what it costs.
    """

    MALFORMED = 1
    """A value that means nothing: no amount, no months, an empty name, a day ahead."""
    UNKNOWN_SUBJECT = 2
    UNKNOWN_PRODUCT = 3
    UNKNOWN_OFFER = 4
    UNKNOWN_TYPE = 5
    """A license type that the product does not have."""
    UNKNOWN_RELEASE = 6
    UNKNOWN_ORDER = 7
    """No order of that number awaits a payment (P9)."""
    ALREADY_THERE = 8
    """The license is bought, the device registered, the contract made, the feature on."""
    WRONG_KIND = 9
    """The product is not sold that way: tiers do not add up (P6), seats are no tiers."""
    NOT_COVERED = 10
    """The policy does not cover this type or version (M8)."""
    WRONG_SERIAL = 11
    """The key is for another serial number (N1)."""
    KEY_MISSING = 12
    KEY_USED = 13
    """A key is used once (N1, P9)."""
    PERIOD_NOT_OFFERED = 14
    """R3: yearly only; Q4."""
    NO_AUTO_RENEWAL = 15
    NO_PREMIER = 16
    PURCHASED_ALREADY = 17
    """As often as it can be in all (N2, P1)."""
    NEVER_BOUND = 18
    """The first binding decides (M3)."""
    NOT_FREE = 19
    """Converted in the balance only (L6)."""
    SAME_VERSION = 20
    VERSION_TOO_LOW = 21
    """An upgrade goes up; a type has a lowest version (I4)."""
    SMALLER_TIER = 23
    """An upgrade names a total that is not smaller (P6)."""
    BELOW_MINIMUM = 24
    """R3."""
    AWAITS_PAYMENT = 25
    """Another order for it awaits its payment (P9)."""
    OUTSIDE_WINDOW = 26
    """The offer is not sold on that day (N3, Q4)."""
    TOO_FAR_AHEAD = 27
    """P4: at most two years."""
    NOT_IN_FORCE = 28
    """Its term is over, or has not begun (M6, R2)."""
    RELEASED_OUTSIDE = 29
    """The version was not published within the agreement (M1, P3)."""
    OTHER_MAJOR = 30
    """The license is for another major version (P3)."""
    LEAPFROG = 31
    """Q2."""
    MAINTENANCE_NEEDED = 32
    """Q1."""
    SOFTWARE_TOO_OLD = 33
    """The software does not have the feature (Q5)."""
    SEATS_EXHAUSTED = 34
    """R2."""
    ALREADY_ASSIGNED = 35
    NOT_ASSIGNED = 36
    ONLY_AT_RENEWAL = 37
    """R5."""
    PRICE_MISSING = 38
    """The price file has no price for it; custom tiers are not sold (P6)."""
    CREDITS_SHORT = 39
    """M2: the balance never goes below zero."""
    NOT_REVERSIBLE = 40
    """An order of this kind, or at this time, has no way back."""
    LATER_ORDER = 41
    """A later order rests on it."""


class AgreementRefusal(Value, kw_only=True):
    """One "no", with everything needed to act on it."""

    problem: AgreementProblem
    message: str
    remedy: str
    """The smallest change that would help."""
    rules: tuple[str, ...] = ()
    subject: Subject = PROJECT
    field: str = ""
    """The field of the order that is wrong; empty where none is."""


class RefusedError(Exception):
    """Carries a refusal out of the deciding functions; `decide` hands it back and raises nothing."""

    def __init__(self, refusal: AgreementRefusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
