"""The decision on one order on a day: what to write and what it costs, or why it is refused. Read this first.

`decide` answers; `quote` decides in the same way and keeps the costs only. Each kind of order has its function in the
table `_DECIDED_BY`, in the module of its rules. Nothing here changes the ledger: the caller appends the drafts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from master.domain.agreements.ledger import orders
from master.domain.agreements.ledger.entries import Draft, EntryKind
from master.domain.agreements.ledger.orders import (
    AddCredits,
    CancelOrder,
    ConfirmPayment,
    Order,
    order_from_plain,
    order_to_plain,
)
from master.domain.agreements.ledger.pricing import CREDITS, ExactLine, PriceList, QuoteLine, rounded_lines, totals
from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal, RefusedError
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ledger.state import AwaitedOrder
from master.domain.agreements.ordering import assignments, devices, purchases, renewals, reversals, version_changes
from master.domain.agreements.ordering.order_draft import OrderDraft, malformed, refuse
from master.domain.catalog.policies import Unit
from master.domain.catalog.subjects import PROJECT
from master.values import Value, replace

CREDITS_MAX = Decimal(10) ** 12
REASONS_MAX = 3
"""How many reasons the ledger names for one payment; every term has its own reason in its own entry."""


class Decision(Value, kw_only=True):
    """An accepted order: the entries to append to the ledger, together and in this order, and what they cost."""

    drafts: tuple[Draft, ...]
    """The entries to append; empty where the order changes nothing or needs nothing (see `notes`)."""
    lines: tuple[QuoteLine, ...]
    """The costs, line by line; empty where the order costs money and no price file was given."""
    awaits_payment: bool = False
    """Whether the order comes into force only when its payment is confirmed (P9)."""
    notes: tuple[str, ...] = ()
    """Further remarks, for people."""


class Quote(Value, kw_only=True):
    """What an order would cost on a day."""

    lines: tuple[QuoteLine, ...]
    totals: dict[str, Decimal]
    """The sums by unit: `credits`, or the currency of the price file."""
    balance: Decimal
    """The credits in the balance."""
    credits_short: Decimal
    """How many credits are missing for the order; 0 where the balance can pay (M2)."""
    notes: tuple[str, ...]


def decide(
    snapshot: AgreementSnapshot, order: Order, day: date, prices: PriceList | None = None
) -> Decision | AgreementRefusal:
    """Decide an order on a day of the project's time zone.

    Without prices, what costs credits is refused, and what costs money is decided without lines.
    """
    try:
        draft = _worked_out(snapshot, order, day, prices)
        lines = rounded_lines(draft.lines, prices) if prices is not None else ()
        _pay_credits(draft, lines)
    except RefusedError as error:
        return error.refusal
    awaits = draft.payment_first is not None and not isinstance(order, ConfirmPayment)
    if awaits:
        _await_payment(draft, order)
    return Decision(drafts=tuple(draft.drafts), lines=lines, awaits_payment=awaits, notes=tuple(draft.notes))


def quote(snapshot: AgreementSnapshot, order: Order, day: date, prices: PriceList) -> Quote | AgreementRefusal:
    """Return what an order would cost on a day and why; change nothing, and do not require the credits to be there."""
    try:
        draft = _worked_out(snapshot, order, day, prices)
        lines = rounded_lines(draft.lines, prices)
    except RefusedError as error:
        return error.refusal
    sums = totals(lines)
    short = max(sums.get(CREDITS, Decimal(0)) - snapshot.state.balance, Decimal(0))
    return Quote(
        lines=lines, totals=sums, balance=snapshot.state.balance, credits_short=short, notes=tuple(draft.notes)
    )


def _worked_out(snapshot: AgreementSnapshot, order: Order, day: date, prices: PriceList | None) -> OrderDraft:
    draft = OrderDraft(snapshot=snapshot, day=day, prices=prices)
    _DECIDED_BY[type(order)](draft, order)
    if draft.payment_first is not None:
        subject, rules = draft.payment_first
        kind = type(order).__name__
        others = [
            awaited
            for awaited in draft.snapshot.state.awaited.values()
            if (awaited.subject, awaited.kind) == (subject, kind)
        ]
        if others:
            message = f"order {others[0].number} for {subject} awaits its payment ({others[0].reason})"
            remedy = "confirm its payment, or cancel it, first"
            refuse(AgreementProblem.AWAITS_PAYMENT, message, remedy=remedy, rules=rules, subject=subject)
    return draft


def _pay_credits(draft: OrderDraft, lines: tuple[QuoteLine, ...]) -> None:
    if not any(line.paid_in is Unit.CREDITS for line in draft.lines):
        return
    amount, balance = totals(lines).get(CREDITS, Decimal(0)), draft.snapshot.state.balance
    if amount > balance:
        message = f"it takes {amount} credits, and the balance has {balance}"
        refuse(AgreementProblem.CREDITS_SHORT, message, remedy=f"add {amount - balance} credits or more", rules=("M2",))
    if amount:
        whys = list(dict.fromkeys(line.why for line in lines if line.unit == CREDITS))
        more = f"; and {len(whys) - REASONS_MAX} more" if len(whys) > REASONS_MAX else ""
        reason = "; ".join(whys[:REASONS_MAX]) + more
        draft.write(EntryKind.CREDITS_SPENT, PROJECT, {"amount": str(amount)}, reason=reason, rules=("M2",))


def _await_payment(draft: OrderDraft, order: Order) -> None:
    subject, rules = draft.payment_first or (PROJECT, ())
    reason = f"{draft.drafts[-1].reason}: awaits its payment"
    details = {"order": order_to_plain(order)}
    draft.drafts = []
    draft.write(EntryKind.ORDERED, subject, details, reason=reason, rules=rules)


def _add_credits(draft: OrderDraft, order: AddCredits) -> None:
    """Decide an `AddCredits`, which is possible at any time (M2)."""
    amount = order.amount
    if not amount.is_finite() or not 0 < abs(amount) <= CREDITS_MAX or amount != round(amount, 6):
        remedy = f"give a decimal above 0, at most {CREDITS_MAX}, with at most 6 places; below 0 takes credits back"
        malformed("amount", f"{amount} is no amount of credits", remedy=remedy, rules=("M2",))
    if draft.snapshot.state.balance + amount < 0:
        message = f"{-amount:f} credits cannot be taken back: the balance has {draft.snapshot.state.balance:f}"
        remedy = f"take back {draft.snapshot.state.balance:f} at most, or reverse what they were spent on"
        refuse(AgreementProblem.CREDITS_SHORT, message, remedy=remedy, rules=("M2",), field="amount")
    text = f"{amount:f}"
    reason = f"{text} credits bought" if amount > 0 else f"{-amount:f} credits taken back"
    draft.write(EntryKind.CREDITS_ADDED, PROJECT, {"amount": text}, reason=reason, rules=("M2",))
    each = draft.prices.credit if draft.prices is not None else None
    why, times = f"{text} credits", Fraction(amount)
    draft.charge(ExactLine(what="credits", each=each, factor=times, paid_in=Unit.MONEY, why=why, rules=("M2",)))


def _confirm_payment(draft: OrderDraft, order: ConfirmPayment) -> None:
    """Decide a `ConfirmPayment`: the awaited order is decided now, on the day of the payment (P9)."""
    awaited = _awaited(draft, order.order)
    left = {number: other for number, other in draft.snapshot.state.awaited.items() if number != order.order}
    draft.snapshot = replace(draft.snapshot, state=replace(draft.snapshot.state, awaited=left))
    key = draft.unused_key(order.key, rules=("P9",))
    inner = order_from_plain(awaited.order)
    draft.is_confirming = True
    _DECIDED_BY[type(inner)](draft, inner)
    reason = f"payment of order {order.order} confirmed"
    draft.write(EntryKind.ORDER_PAID, awaited.subject, {"order": order.order}, reason=reason, rules=("P9",))
    before = draft.snapshot.state.holding(awaited.subject).key
    reason = f"new key, in place of {before}" if before else "first key"
    draft.write(EntryKind.KEY_ISSUED, awaited.subject, {"key": key}, reason=reason, rules=("P2", "P9"))


def _cancel_order(draft: OrderDraft, order: CancelOrder) -> None:
    awaited = _awaited(draft, order.order)
    reason = f"order {order.order} cancelled before it was paid"
    draft.write(EntryKind.ORDER_CANCELLED, awaited.subject, {"order": order.order}, reason=reason, rules=("P9",))


def _awaited(draft: OrderDraft, number: int) -> AwaitedOrder:
    awaited = draft.snapshot.state.awaited
    if number not in awaited:
        known = ", ".join(map(str, sorted(awaited))) or "none"
        message = f"no order {number} awaits its payment"
        remedy = f"name one that does: {known}"
        refuse(AgreementProblem.UNKNOWN_ORDER, message, remedy=remedy, rules=("P9",), field="order")
    return awaited[number]


_DECIDED_BY: dict[type[Any], Callable[[OrderDraft, Any], None]] = {
    AddCredits: _add_credits,
    ConfirmPayment: _confirm_payment,
    CancelOrder: _cancel_order,
    orders.Extend: renewals.extend,
    orders.StartTrial: purchases.start_trial,
    orders.ExtendTrial: purchases.extend_trial,
    orders.Buy: purchases.buy_product,
    orders.UpgradeTier: purchases.upgrade_tier,
    orders.AddSeats: purchases.add_seats,
    orders.SetAutoRenewal: purchases.set_auto_renewal,
    orders.SetPremier: purchases.set_premier,
    orders.AssignSeat: assignments.assign_seat,
    orders.ReassignSeat: assignments.reassign_seat,
    orders.UnassignSeat: assignments.unassign_seat,
    orders.RegisterDevice: devices.register_device,
    orders.InstallRelease: devices.install_release,
    orders.AllowBuild: devices.allow_build,
    orders.AddFeature: devices.add_feature,
    orders.UpgradeVersion: version_changes.upgrade_version,
    orders.ConvertVersion: version_changes.convert_version,
    orders.PublishRelease: version_changes.publish_release,
    orders.Reverse: reversals.reverse,
    orders.CorrectDevice: devices.correct_device,
    orders.PayLicenses: version_changes.pay_licenses,
}
"""The function that decides an order, by the class of the order."""
