"""Decisions on reversals: the ledger keeps the reversed order and says that its entries count no more.

All entries of one order are reversed together, and the last order about a subject first, as a later order may rest on
an earlier one. The seat of each named user counts as a subject by itself. A trial that was used and a reversal cannot
be reversed; the refusal says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from master.domain.agreements.ledger.entries import Entry, EntryKind
from master.domain.agreements.ledger.orders import Reverse
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ordering.order_draft import OrderDraft, refuse
from master.domain.catalog.subjects import PROJECT, Subject

_NAMED_SEATS = (EntryKind.SEAT_ASSIGNED, EntryKind.SEAT_UNASSIGNED)
TRIAL_FINAL = "a trial can be taken back on the day of its key only: what was used was used"


def reverse(draft: OrderDraft, order: Reverse) -> None:
    entries = _entries_of(draft, order.order)
    first = entries[0]
    _check_kind(draft, entries)
    if (later := _later(draft, entries)) is not None:
        refuse(
            AgreementProblem.LATER_ORDER,
            f"order {later.order} about {later.subject} came later: {later.reason}",
            remedy=f"cancel order {later.order} first"
            if later.kind is EntryKind.ORDERED
            else f"reverse order {later.order} first",
            subject=later.subject,
            field="order",
        )
    main = next((entry.subject for entry in entries if entry.subject.kind), PROJECT)
    details = {"order": first.order, "entries": [entry.number for entry in entries]}
    reason = f"order {first.order} reversed: {first.reason}"
    rules = tuple(dict.fromkeys(rule for entry in entries for rule in entry.rules))
    draft.write(EntryKind.REVERSED, main, details, reason=reason, rules=rules)
    draft.take_note()
    _check_what_is_left(draft, entries)


def _entries_of(draft: OrderDraft, number: int) -> Sequence[Entry]:
    history = draft.snapshot.state.history
    if not 0 < number <= len(history):
        remedy = "name the number of an order, as the ledger shows it"
        refuse(AgreementProblem.UNKNOWN_ORDER, f"the ledger has no entry {number}", remedy=remedy, field="order")
    named = history[number - 1]
    if named.number in draft.snapshot.state.reversed:
        message = f"order {named.order} was reversed already"
        remedy = "order anew what is wanted"
        refuse(AgreementProblem.ALREADY_THERE, message, remedy=remedy, subject=named.subject, field="order")
    return [entry for entry in history[named.order - 1 :] if entry.order == named.order]


def _check_kind(draft: OrderDraft, entries: Sequence[Entry]) -> None:
    first = entries[0]
    if first.kind is EntryKind.REVERSED:
        why, remedy = "a reversal is not reversed itself", "order anew what is wanted"
    elif first.kind is EntryKind.ORDERED and first.number in draft.snapshot.state.awaited:
        why, remedy = f"order {first.order} awaits its payment", f"cancel order {first.order} instead"
    elif first.kind is EntryKind.ORDERED:
        ended = next(
            (entry for entry in draft.snapshot.state.history if entry.details.get("order") == first.number), first
        )
        why = f"order {first.order} did nothing but wait, and waits no more"
        remedy = f"reverse order {ended.order}, which ended the waiting"
    elif _is_used_trial(draft, entries):
        why, remedy = TRIAL_FINAL, "let it end, or buy the product"
    else:
        return
    refuse(AgreementProblem.NOT_REVERSIBLE, why, remedy=remedy, subject=first.subject, field="order")


def _is_used_trial(draft: OrderDraft, entries: Sequence[Entry]) -> bool:
    trials = {product.trial for product in draft.snapshot.time.products.values() if product.trial is not None}
    return any(entry.details.get("offer") in trials and entry.day < draft.day for entry in entries)


def _later(draft: OrderDraft, entries: Sequence[Entry]) -> Entry | None:
    """Return the latest later order that rests on the entries to be reversed; None where none does."""
    state, own = draft.snapshot.state, {entry.number for entry in entries}
    about = {_matter(entry) for entry in entries if entry.subject.kind}
    every = {subject for subject, name in about if not name}
    for entry in reversed(state.history):
        if entry.number < entries[0].number:
            return None
        subject, name = _matter(entry)
        is_over = entry.kind is EntryKind.REVERSED or entry.number in state.reversed
        is_spent = entry.kind is EntryKind.ORDERED and entry.number not in state.awaited
        if entry.number in own or is_over or is_spent or entry.kind is EntryKind.ORDER_CANCELLED:
            continue
        if (subject, name) in about or (not name and subject in every):
            return entry
    return None


def _matter(entry: Entry) -> tuple[Subject, str]:
    """Return what an entry is about: its subject, and the user's name where the entry is about one user's seat."""
    return entry.subject, entry.details["user"] if entry.kind in _NAMED_SEATS else ""


def _check_what_is_left(draft: OrderDraft, entries: Sequence[Entry]) -> None:
    state = draft.snapshot.state
    if state.balance < 0:
        message = f"without it the balance would be {state.balance} credits: some of these were spent"
        remedy = f"add {-state.balance} credits or more first, or reverse what they were spent on"
        refuse(AgreementProblem.CREDITS_SHORT, message, remedy=remedy, rules=("M2",), field="order")
    for subject in {entry.subject for entry in entries}:
        holding = state.holding(subject)
        licensed = sum(holding.counts_on(draft.day).values())
        if len(holding.seats) > licensed:
            message = f"{len(holding.seats)} seats of {subject} are assigned, and {licensed} would be left"
            remedy = f"unassign {len(holding.seats) - licensed} first"
            refuse(
                AgreementProblem.SEATS_EXHAUSTED, message, remedy=remedy, rules=("R2",), subject=subject, field="order"
            )
    published = {entry.details["release"] for entry in entries if entry.kind is EntryKind.RELEASE_PUBLISHED}
    if published:
        draft.notes.append(f"versions that were upgraded because {', '.join(sorted(published))} was published stay")
