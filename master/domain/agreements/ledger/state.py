"""What the ledger says: a pure fold over its entries, in the order of their numbers.

The state at any moment is the fold over the entries recorded by then; so the past answers as it was. Folding decides
nothing and forgets nothing that a decision needs: terms keep their dates, counts the day from which they hold. What
is not in the ledger, the licenses of the estate, is in `snapshot.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from licensemaster.values import key_text
from master.domain.agreements.ledger.entries import Entry, EntryKind
from master.domain.agreements.ledger.serials import serial_form
from master.domain.catalog.dates import Term, add_months
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidTerm:
    term: Term
    anchor: date
    """The day that its months are counted from, together with those before it where it continues them."""
    anchor_months: int
    """How many months after the anchor it ends; 0 where it was counted in days: the anchor is then its end."""
    how: str
    """`included`, `bought`, `gap` (paid afterwards, M6) or `vendor` (came with the vendor's file)."""
    offer: str = ""
    entry: int = 0
    """The number of its entry; 0 where it is not in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """All terms of one policy for one subject, in the order in which they were added."""

    policy: str
    terms: tuple[PaidTerm, ...] = ()

    @property
    def ends(self) -> date | None:
        """The first day that no term holds any more; None where there never was one."""
        return max((term.term.ends for term in self.terms), default=None)

    @property
    def begins(self) -> date | None:
        """The first day of its first term."""
        return min((term.term.begins for term in self.terms), default=None)

    def holds_on(self, day: date) -> bool:
        """Whether some term holds on the day."""
        return any(term.term.holds_on(day) for term in self.terms)

    @property
    def last(self) -> PaidTerm | None:
        return max(self.terms, key=lambda cover: (cover.term.ends, cover.entry), default=None)

    @property
    def purchases(self) -> int:
        """How often it was bought; what was included, and gaps that were paid along, not counted."""
        return sum(term.how == "bought" for term in self.terms)

    def end_from(self, day: date) -> date | None:
        """The day on which what holds on `day` ends, terms that follow without a gap included; None: nothing holds."""
        if not self.holds_on(day):
            return None
        end = day
        while (later := max((term.term.ends for term in self.terms if term.term.holds_on(end)), default=end)) > end:
            end = later
        return end

    def cut(self, day: date) -> Cover:
        """The cover with everything from `day` on taken away (L6, P2)."""
        kept = (term for term in self.terms if term.term.begins < day)
        return replace(self, terms=tuple(_cut(paid_term, day) for paid_term in kept))


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
    shipped_on: date | None = None
    """None where it is no device, or the same day as `delivered_on`."""
    renews_from: date | None = None
    """When automatic renewal was switched on or off last (P4)."""
    renewal_cancelled_on: date | None = None
    """When a renewal that awaited its payment was given up since."""
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
    converted_on: date | None = None
    """When it was converted last: nothing of the agreement before is left (L6)."""

    def cover(self, policy: str) -> Cover:
        """The terms of a policy for this subject; without terms where it has none."""
        return self.covers.get(policy, Cover(policy=policy))

    def counts_on(self, day: date) -> Mapping[str, int]:
        """The totals that hold on a day, whether or not they are in force then."""
        return next((counts for since, counts in reversed(self.counts) if since <= day), {})

    def premier_on(self, day: date) -> bool:
        """Whether the subject has premier support on a day."""
        return next((on for since, on in reversed(self.premier) if since <= day), False)

    @property
    def is_on_trial(self) -> bool:
        """Whether the subject is tried and not bought (P1, P2)."""
        return self.bought_on is None and bool(self.product) and self.delivered_on is None

    @property
    def began_on(self) -> date | None:
        """The day from which the warranty of a device, and what else came along, counts (Q3)."""
        return self.shipped_on or self.delivered_on

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
    """As plain data (`order_data.py`)."""
    day: date
    reason: str

    @property
    def kind(self) -> str:
        """Which kind of order it is: the name of its class. One of a kind can wait for a subject at a time."""
        return str(self.order["kind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The entries of one project's ledger, folded into what holds."""

    holdings: Mapping[Subject, Holding] = field(default_factory=dict)
    balance: Decimal = Decimal(0)
    """Credits: the sum of what was added and spent (M2)."""
    awaited: Mapping[int, AwaitedOrder] = field(default_factory=dict)
    releases: Mapping[ReleaseName, date] = field(default_factory=dict)
    keys_used: frozenset[str] = frozenset()
    """In the form in which keys are compared (Q4)."""
    serials: Mapping[str, Subject] = field(default_factory=dict)
    """Registered devices by their serial number, in the form in which these are compared: that is who they are (N1)."""
    last_number: int = 0
    history: tuple[Entry, ...] = ()
    """All entries: a reversal folds anew without what it reverses."""
    reversed: frozenset[int] = frozenset()
    """The numbers of entries that count no more."""

    def holding(self, subject: Subject) -> Holding:
        """What is known of a subject; nothing but its name where the ledger has nothing."""
        return self.holdings.get(subject, Holding(subject=subject))


def fold(entries: Iterable[Entry], state: State | None = None) -> State:
    """The state after some more entries; folding in two steps is folding at once.

    Raises:
        ValueError: the entries do not follow on each other by number.
    """
    before, new = State() if state is None else state, tuple(entries)
    for number, entry in enumerate(new, before.last_number + 1):
        if entry.number != number:
            raise ValueError(f"entry {entry.number} does not follow entry {number - 1}")
    gone = {number for entry in new if entry.kind is EntryKind.REVERSED for number in entry.details["entries"]}
    history, gone = (*before.history, *new), gone | before.reversed
    is_anew = len(gone) > len(before.reversed)
    folding = _Folding(State() if is_anew else before)
    for entry in history if is_anew else new:
        if entry.number not in gone:
            folding.add(entry)
    return replace(folding.state(), last_number=len(history), history=history, reversed=frozenset(gone))


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
        self._serials = dict(state.serials)
        self._balance = state.balance

    def state(self) -> State:
        return State(
            holdings=self._holdings,
            balance=self._balance,
            awaited=self._awaited,
            releases=self._releases,
            keys_used=frozenset(self._keys_used),
            serials=self._serials,
        )

    def add(self, entry: Entry) -> None:
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
                ended = self._awaited.pop(details["order"], None)
                if entry.kind is EntryKind.ORDER_CANCELLED and ended is not None and ended.kind == "Extend":
                    before = self._holdings.get(entry.subject, Holding(subject=entry.subject))
                    self._holdings[entry.subject] = replace(before, renewal_cancelled_on=entry.day)
            case EntryKind.RELEASE_PUBLISHED:
                self._releases[ReleaseName.parse(details["release"])] = entry.day
            case EntryKind.REVERSED | EntryKind.LICENSES_PAID:
                pass
            case _:
                if "key" in details:
                    self._keys_used.add(key_text(details["key"]))
                before = self._holdings.get(entry.subject, Holding(subject=entry.subject))
                after = self._holdings[entry.subject] = _held(before, entry)
                if after.serial != before.serial:
                    self._serials.pop(serial_form(before.serial), None)
                    if form := serial_form(after.serial):
                        self._serials[form] = entry.subject


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
            return replace(holding, renews_by=details["offer"], renews_from=day, renewal_cancelled_on=None)
        case EntryKind.DEVICE_REGISTERED:
            return replace(
                holding,
                product=details["product"],
                delivered_on=date.fromisoformat(details["delivered_on"]),
                shipped_on=_day(details.get("shipped_on")),
                serial=details["serial"],
                installed=ReleaseName.parse(details["release"]) if details["release"] else None,
            )
        case EntryKind.DEVICE_CORRECTED:
            return _corrected(holding, entry)
        case EntryKind.RELEASE_INSTALLED:
            return replace(holding, installed=ReleaseName.parse(details["release"]))
        case EntryKind.BUILD_ALLOWED:
            return replace(holding, builds=holding.builds | {ReleaseName.parse(details["release"])})
        case EntryKind.FEATURE_ADDED:
            return replace(holding, features=(*holding.features, details["feature"]))
        case EntryKind.SEAT_ASSIGNED:
            return replace(holding, seats=(*holding.seats, AssignedSeat(details["user"], tuple(details["uses"]))))
        case EntryKind.SEAT_UNASSIGNED:
            return replace(holding, seats=tuple(seat for seat in holding.seats if seat.user != details["user"]))
        case EntryKind.PREMIER_SET:
            return replace(
                holding, premier=(*(premier for premier in holding.premier if premier[0] < day), (day, details["on"]))
            )
        case EntryKind.VERSION_SET:
            converted_on = day if details["converted"] else holding.converted_on
            return replace(holding, version=details["version"], converted_on=converted_on)
    return holding


def _corrected(holding: Holding, entry: Entry) -> Holding:
    """The device as it should have been registered: terms that are counted from its delivery move with that day."""
    details = entry.details
    after = replace(
        holding,
        delivered_on=date.fromisoformat(details["delivered_on"]),
        shipped_on=_day(details["shipped_on"]),
        serial=details["serial"],
    )
    old, new = holding.began_on, after.began_on
    if old is None or new is None:
        return after
    covers = {key: replace(cover, terms=_moved(cover.terms, old, new)) for key, cover in holding.covers.items()}
    return replace(after, covers=covers)


def _moved(terms: tuple[PaidTerm, ...], old: date, new: date) -> tuple[PaidTerm, ...]:
    moved, paid_terms = {old: new}, []
    for term in terms:
        if term.anchor == old and term.anchor_months:
            ends = moved[term.term.ends] = add_months(new, term.anchor_months)
            begins = moved.get(term.term.begins, term.term.begins)
            paid_terms.append(replace(term, term=Term(min(begins, ends), ends), anchor=new))
        else:
            paid_terms.append(term)
    return tuple(paid_terms)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


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


def _cut(paid: PaidTerm, day: date) -> PaidTerm:
    if paid.term.ends <= day:
        return paid
    return replace(paid, term=Term(paid.term.begins, day), anchor=day, anchor_months=0)
