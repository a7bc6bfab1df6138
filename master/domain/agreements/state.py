"""What the ledger says: a pure fold over its entries, in the order of their numbers.

The state at any moment is the fold over the entries recorded by then; so the past answers as it was. Folding decides
nothing and forgets nothing that a decision needs: terms keep their dates, counts the day from which they hold. What
is not in the ledger, the licenses of the estate, is in `book.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from master.domain.agreements.dates import Term
from master.domain.agreements.entries import Entry, EntryKind, Subject
from master.domain.agreements.releases import ReleaseName


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidTerm:
    """One term of a cover."""

    term: Term
    anchor: date
    """The day that its months are counted from, together with those before it where it continues them."""
    anchor_months: int
    """How many months after the anchor it ends; 0 where it was counted in days: the anchor is then its end."""
    how: str
    """`included`, `bought`, `gap` (paid afterwards, M6) or `vendor` (came with the vendor's file)."""
    offer: str
    entry: int
    """The number of its entry; 0 where it is not in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """All terms of one policy for one subject, in the order in which they were added."""

    policy: str
    terms: tuple[PaidTerm, ...] = ()

    @property
    def ends(self) -> date | None:
        """The first day that no term holds any more; None where there never was one."""
        return max((one.term.ends for one in self.terms), default=None)

    @property
    def begins(self) -> date | None:
        """The first day of its first term."""
        return min((one.term.begins for one in self.terms), default=None)

    def holds_on(self, day: date) -> bool:
        """Whether some term holds on the day."""
        return any(one.term.holds_on(day) for one in self.terms)

    @property
    def last(self) -> PaidTerm | None:
        """The term that ends last."""
        return max(self.terms, key=lambda one: (one.term.ends, one.entry), default=None)

    @property
    def purchases(self) -> int:
        """How often it was bought; what was included, and gaps that were paid along, not counted."""
        return sum(one.how == "bought" for one in self.terms)

    def end_from(self, day: date) -> date | None:
        """The day on which what holds on `day` ends, terms that follow without a gap included; None: nothing holds."""
        if not self.holds_on(day):
            return None
        end = day
        while (later := max((one.term.ends for one in self.terms if one.term.holds_on(end)), default=end)) > end:
            end = later
        return end

    def cut(self, day: date) -> Cover:
        """The cover with everything from `day` on taken away (L6, P2)."""
        kept = (one for one in self.terms if one.term.begins < day)
        return replace(self, terms=tuple(_cut(one, day) for one in kept))


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was in force from a day on, until the next one replaced it (P2, P9)."""

    key: str
    day: date


@dataclass(frozen=True, slots=True)
class AssignedSeat:
    """A seat with its user (R2)."""

    user: str
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the ledger knows of one subject."""

    subject: Subject
    product: str = ""
    """Empty for a license of the estate, which is known by its license type."""
    covers: Mapping[str, Cover] = field(default_factory=dict)
    """By policy."""
    counts: tuple[tuple[date, Mapping[str, int]], ...] = ()
    """The totals by license type from a day on; the last one whose day has come holds."""
    bought_on: date | None = None
    """None while it is a trial, or never was bought in the ledger."""
    major: int = 0
    """The major version that it is for; 0 for any (P3)."""
    keys: tuple[Key, ...] = ()
    """The last one is in force."""
    renews_by: str = ""
    """The offer by which it renews automatically; empty for not (P4)."""
    delivered_on: date | None = None
    serial: str = ""
    installed: ReleaseName | None = None
    builds: frozenset[ReleaseName] = frozenset()
    """Exceptions of the vendor (Q7)."""
    features: tuple[str, ...] = ()
    seats: tuple[AssignedSeat, ...] = ()
    premier: tuple[tuple[date, bool], ...] = ()
    """Whether with premier support, from a day on (R5)."""
    version: int | None = None
    """The version that an upgrade or a conversion gave a license; None where none did."""

    def cover(self, policy: str) -> Cover:
        """Its terms of a policy; without terms where it has none."""
        return self.covers.get(policy, Cover(policy=policy))

    def counts_on(self, day: date) -> Mapping[str, int]:
        """The totals that hold on a day, whether or not they are in force then."""
        return next((counts for since, counts in reversed(self.counts) if since <= day), {})

    def premier_on(self, day: date) -> bool:
        """Whether it has premier support on a day."""
        return next((on for since, on in reversed(self.premier) if since <= day), False)

    @property
    def key(self) -> str:
        """The key in force; empty where there is none."""
        return self.keys[-1].key if self.keys else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedOrder:
    """An order that awaits its payment (P9)."""

    number: int
    subject: Subject
    order: Mapping[str, Any]
    """As plain data (`plain.py`)."""
    day: date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the ledger says at one moment."""

    holdings: Mapping[Subject, Holding] = field(default_factory=dict)
    balance: Decimal = Decimal(0)
    """Credits: the sum of what was added and spent (M2)."""
    awaited: Mapping[int, AwaitedOrder] = field(default_factory=dict)
    releases: Mapping[ReleaseName, date] = field(default_factory=dict)
    keys_used: frozenset[str] = frozenset()
    last_number: int = 0

    def holding(self, subject: Subject) -> Holding:
        """What is known of a subject; nothing but its name where the ledger has nothing."""
        return self.holdings.get(subject, Holding(subject=subject))


def fold(entries: Iterable[Entry], state: State | None = None) -> State:
    """The state after some more entries; folding in two steps is folding at once.

    Raises:
        ValueError: the entries do not follow on each other by number.
    """
    folding = _Folding(State() if state is None else state)
    for entry in entries:
        folding.add(entry)
    return folding.state()


def recorded_before(entries: Iterable[Entry], instant: float) -> tuple[Entry, ...]:
    """The entries that were known before an instant (UNIX seconds): what the ledger said then."""
    return tuple(entry for entry in entries if entry.recorded_at < instant)


class _Folding:
    """A state that is being made; copied once, however many entries there are."""

    def __init__(self, state: State) -> None:
        self._holdings = dict(state.holdings)
        self._awaited = dict(state.awaited)
        self._releases = dict(state.releases)
        self._keys_used = set(state.keys_used)
        self._balance = state.balance
        self._last_number = state.last_number

    def state(self) -> State:
        return State(
            holdings=self._holdings,
            balance=self._balance,
            awaited=self._awaited,
            releases=self._releases,
            keys_used=frozenset(self._keys_used),
            last_number=self._last_number,
        )

    def add(self, entry: Entry) -> None:
        if entry.number != self._last_number + 1:
            raise ValueError(f"entry {entry.number} does not follow entry {self._last_number}")
        self._last_number = entry.number
        details = entry.details
        match entry.kind:
            case EntryKind.CREDITS_ADDED:
                self._balance += Decimal(details["amount"])
            case EntryKind.CREDITS_SPENT:
                self._balance -= Decimal(details["amount"])
            case EntryKind.ORDERED:
                self._awaited[entry.number] = AwaitedOrder(
                    number=entry.number,
                    subject=entry.subject,
                    order=details["order"],
                    day=entry.day,
                    reason=entry.reason,
                )
            case EntryKind.ORDER_PAID | EntryKind.ORDER_CANCELLED:
                self._awaited.pop(details["order"], None)
            case EntryKind.RELEASE_PUBLISHED:
                self._releases[ReleaseName.parse(details["release"])] = entry.day
            case _:
                if "key" in details:
                    self._keys_used.add(details["key"])
                before = self._holdings.get(entry.subject, Holding(subject=entry.subject))
                self._holdings[entry.subject] = _held(before, entry)


def _held(holding: Holding, entry: Entry) -> Holding:
    details, day = entry.details, entry.day
    match entry.kind:
        case EntryKind.TERM_ADDED:
            return _covered(holding, _added(holding.cover(entry.policy), entry))
        case EntryKind.TERMS_VOIDED:
            return _covered(holding, holding.cover(entry.policy).cut(day))
        case EntryKind.TRIED:
            return replace(
                holding, product=details["product"], counts=((day, details["counts"]),), major=details["major"]
            )
        case EntryKind.BOUGHT:
            return replace(
                holding,
                product=details["product"],
                counts=(*holding.counts, (day, details["counts"])),
                bought_on=day,
                major=details["major"],
            )
        case EntryKind.COUNTS_SET:
            return replace(holding, counts=(*holding.counts, (day, details["counts"])))
        case EntryKind.KEY_ISSUED:
            return replace(holding, keys=(*holding.keys, Key(details["key"], day)))
        case EntryKind.AUTO_RENEWAL_SET:
            return replace(holding, renews_by=details["offer"])
        case EntryKind.DEVICE_REGISTERED:
            return replace(
                holding,
                product=details["product"],
                delivered_on=date.fromisoformat(details["delivered_on"]),
                serial=details["serial"],
                installed=ReleaseName.parse(details["release"]) if details["release"] else None,
            )
        case EntryKind.RELEASE_INSTALLED:
            return replace(holding, installed=ReleaseName.parse(details["release"]))
        case EntryKind.BUILD_ALLOWED:
            return replace(holding, builds=holding.builds | {ReleaseName.parse(details["release"])})
        case EntryKind.FEATURE_ADDED:
            return replace(holding, features=(*holding.features, details["feature"]))
        case EntryKind.SEAT_ASSIGNED:
            return replace(holding, seats=(*holding.seats, AssignedSeat(details["user"], tuple(details["uses"]))))
        case EntryKind.SEAT_UNASSIGNED:
            return replace(holding, seats=tuple(one for one in holding.seats if one.user != details["user"]))
        case EntryKind.PREMIER_SET:
            return replace(holding, premier=(*(one for one in holding.premier if one[0] < day), (day, details["on"])))
        case EntryKind.VERSION_SET:
            return replace(holding, version=details["version"])
    return holding


def _covered(holding: Holding, cover: Cover) -> Holding:
    return replace(holding, covers={**holding.covers, cover.policy: cover})


def _added(cover: Cover, entry: Entry) -> Cover:
    details = entry.details
    added = PaidTerm(
        term=Term(date.fromisoformat(details["begins"]), date.fromisoformat(details["ends"])),
        anchor=date.fromisoformat(details["anchor"]),
        anchor_months=details["anchor_months"],
        how=details["how"],
        offer=details["offer"],
        entry=entry.number,
    )
    return replace(cover, terms=(*cover.terms, added))


def _cut(one: PaidTerm, day: date) -> PaidTerm:
    if one.term.ends <= day:
        return one
    return replace(one, term=Term(one.term.begins, day), anchor=day, anchor_months=0)
