"""The entries of a project's agreement ledger: everything that was ordered or happened; an entry is never changed.

`domain/agreements/ordering/decide_order.py` makes drafts; the writer of the ledger numbers them. `state.py` folds
entries into a state. All details are plain data (texts, whole numbers, true or false, lists, tables), days as
"2026-03-01", amounts as decimal texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import IntEnum
from typing import Any

from msgspec.structs import asdict

from master.domain.catalog.subjects import PROJECT, Subject
from master.values import Value

Details = Mapping[str, Any]


class EntryKind(IntEnum):
    """Kinds of ledger entry, each with the names of its details; the numbers are stored and never change."""

    CREDITS_ADDED = 1
    """`amount`."""
    CREDITS_SPENT = 2
    """`amount`; the entry's reason says what it was spent on."""
    ORDERED = 3
    """`order`: an order that awaits its payment (P9), as plain data."""
    ORDER_PAID = 4
    """`order`: the number of the `ORDERED` entry."""
    ORDER_CANCELLED = 5
    """`order`: the number of the `ORDERED` entry."""
    TERM_ADDED = 6
    """`begins`, `ends`, `anchor`, `anchor_months`, `how` (included, bought, gap, vendor), `offer`."""
    TERMS_VOIDED = 7
    """Terms of the policy end on the entry's day (L6, P2)."""
    TRIED = 8
    """`product`, `counts` (P1)."""
    BOUGHT = 9
    """`product`, `counts`, `major` (P2)."""
    COUNTS_SET = 10
    """`counts`: the totals from the entry's day on (P6, R4)."""
    KEY_ISSUED = 11
    """`key`: in force from the entry's day, in place of the key before (P9)."""
    AUTO_RENEWAL_SET = 12
    """`offer`: the offer by which the subject renews itself; empty where automatic renewal is off (P4)."""
    DEVICE_REGISTERED = 13
    """`product`, `delivered_on`, `shipped_on` where it is another day, `serial`, `release` (N1, Q3)."""
    RELEASE_INSTALLED = 14
    """`release`."""
    BUILD_ALLOWED = 15
    """`release`: one that the vendor allows as an exception (Q7)."""
    FEATURE_ADDED = 16
    """`feature`: a license type (Q5)."""
    SEAT_ASSIGNED = 17
    """`user`, `uses` (R1, R2)."""
    SEAT_UNASSIGNED = 18
    """`user`."""
    PREMIER_SET = 19
    """`on`: whether premier support holds from the entry's day on (R5)."""
    VERSION_SET = 20
    """`from_version`, `version`, `converted` (M1, L6)."""
    RELEASE_PUBLISHED = 21
    """`release`; the entry's day is the day of its publication."""
    KEY_USED = 22
    """`key`: an activation, maintenance or feature key that cannot be used again (N1, Q4, Q5)."""
    REVERSED = 23
    """`order`, `entries`: the numbers of a reversed order and of its entries, as if these had never been."""
    DEVICE_CORRECTED = 24
    """`delivered_on`, `shipped_on`, `serial`: what the registration should have said (N1, Q3)."""
    LICENSES_PAID = 25
    """`type`, `version`, `quantity`: licenses paid with credits; they come with the vendor's file (M2)."""


class Draft(Value, kw_only=True):
    """A ledger entry before it has its number."""

    kind: EntryKind
    day: date
    """The day on which the entry takes effect, in the project's time zone; ahead for a renewal, back for a delivery."""
    subject: Subject = PROJECT
    policy: str = ""
    """The key of the policy that the entry is about; empty where there is none."""
    details: Details
    reason: str
    """What was done and why, for people."""
    rules: tuple[str, ...] = ()

    def recorded(
        self, *, number: int, recorded_at: float, caller: str, order: int | None = None, given_reason: str = ""
    ) -> Entry:
        """Return the entry with its number, counted from 1 without gaps in its project, at a UNIX time in seconds."""
        return Entry(
            **asdict(self),
            number=number,
            order=number if order is None else order,
            given_reason=given_reason,
            recorded_at=recorded_at,
            caller=caller,
        )


class Entry(Draft, kw_only=True):
    number: int
    order: int
    """The number of the first entry of the order that wrote this entry: an order's entries are reversed together."""
    given_reason: str
    """Why somebody wanted the order, in their own words; may be empty."""
    recorded_at: float
    """UNIX time in seconds."""
    caller: str
