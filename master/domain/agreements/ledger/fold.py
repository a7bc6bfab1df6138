"""The fold of a ledger's entries, in the order of their numbers, into its state.

The state at any moment is the fold over the entries recorded by then, so a past state can be had again. Folding
decides nothing and keeps all that a decision needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from msgspec import convert

from licensemaster.values import key_text
from master.domain.agreements.ledger.entries import Entry, EntryKind
from master.domain.agreements.ledger.serials import serial_form
from master.domain.agreements.ledger.state import AssignedSeat, AwaitedOrder, Cover, Holding, Key, PaidTerm, State
from master.domain.catalog.dates import Term, add_months
from master.domain.catalog.releases import ReleaseName
from master.values import replace


def fold(entries: Iterable[Entry], state: State | None = None) -> State:
    """Return the state after further entries; folding in two steps has the same result as folding at once.
    Raises ValueError if the numbers of the entries do not follow on each other."""
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
    """Return the entries that were recorded before an instant (UNIX seconds)."""
    return tuple(entry for entry in entries if entry.recorded_at < instant)


class _Folding:
    """A state while entries are folded into it; copied once, however many entries there are."""

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
    """Return a device as it should have been registered; terms counted from its delivery move with that day."""
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
    added = convert({**entry.details, "term": entry.details, "entry": entry.number}, PaidTerm)
    return replace(cover, terms=(*cover.terms, added))
