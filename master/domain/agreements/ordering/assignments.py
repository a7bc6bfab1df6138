"""Decisions on seats that are assigned to users by name, up to the licensed count, and reassigned (rules R1, R2)."""

from __future__ import annotations

from collections.abc import Sequence

from master.domain.agreements.ledger.entries import EntryKind
from master.domain.agreements.ledger.orders import AssignSeat, ReassignSeat, UnassignSeat
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ledger.state import Holding
from master.domain.agreements.ordering.order_draft import OrderDraft, malformed, refuse
from master.domain.catalog.policies import Product, SeatUse, SubjectKind


def assign_seat(draft: OrderDraft, order: AssignSeat) -> None:
    """Decide an `AssignSeat`; a user who does nothing that seats are for needs no seat (R1)."""
    holding, product = _assignable(draft, order.contract)
    user = draft.name(order.user, "user")
    if not _needs_seat(draft, product, user, order.uses):
        return
    if _has_seat(holding, user):
        refuse(
            AgreementProblem.ALREADY_ASSIGNED,
            f"{user} has a seat of {holding.subject} already",
            remedy="one seat is enough, whatever a user does with it",
            rules=("R1", "R2"),
            subject=holding.subject,
            field="user",
        )
    _running(draft, holding, product)
    licensed = holding.counts_on(draft.day).get(product.counts[0], 0)
    if len(holding.seats) >= licensed:
        refuse(
            AgreementProblem.SEATS_EXHAUSTED,
            f"all {licensed} seats of {holding.subject} are assigned",
            remedy="reassign a seat that somebody no longer needs, or add seats",
            rules=("R2",),
            subject=holding.subject,
            field="user",
        )
    _write(draft, holding, user, order.uses)


def reassign_seat(draft: OrderDraft, order: ReassignSeat) -> None:
    """Decide a `ReassignSeat` (R2)."""
    holding, product = _assignable(draft, order.contract)
    to_user = draft.name(order.to_user, "to_user")
    _must_have(holding, order.from_user, "from_user")
    if _has_seat(holding, to_user):
        refuse(
            AgreementProblem.ALREADY_ASSIGNED,
            f"{to_user} has a seat of {holding.subject} already",
            remedy=f"take the seat from {order.from_user} without giving it to anybody",
            rules=("R2",),
            subject=holding.subject,
            field="to_user",
        )
    if not _needs_seat(draft, product, to_user, order.uses):
        draft.notes.append(f"{order.from_user} keeps the seat")
        return
    _running(draft, holding, product)
    _take(draft, holding, order.from_user)
    _write(draft, holding, to_user, order.uses)


def unassign_seat(draft: OrderDraft, order: UnassignSeat) -> None:
    """Decide an `UnassignSeat` (R2)."""
    holding, _ = _assignable(draft, order.contract)
    _must_have(holding, order.user, "user")
    _take(draft, holding, order.user)


def _assignable(draft: OrderDraft, contract: str) -> tuple[Holding, Product]:
    holding, product = draft.held(contract, "contract", SubjectKind.CONTRACT, SubjectKind.LICENSE)
    if not product.seat_for:
        message = f"seats of {product.title} are not assigned by name"
        remedy = "let whoever uses it acquire a seat"
        refuse(AgreementProblem.WRONG_KIND, message, remedy=remedy, rules=product.rules, subject=holding.subject)
    return holding, product


def _needs_seat(draft: OrderDraft, product: Product, user: str, uses: Sequence[str]) -> bool:
    known = {use.value for use in SeatUse}
    if unknown := [use for use in uses if use not in known]:
        message = f"{unknown[0]!r} is nothing that is done with it"
        malformed("uses", message, remedy=f"give none or some of {', '.join(sorted(known))}", rules=("R1",))
    needed = any(SeatUse(use) in product.seat_for for use in uses)
    if not needed:
        needing = ", ".join(sorted(use.value for use in product.seat_for))
        draft.notes.append(
            f"{user} needs no seat, and none is given: being able to see it does not count (R1); if {user} does what"
            f" needs one, name it among the uses (--use): {needing}"
        )
    return needed


def _running(draft: OrderDraft, holding: Holding, product: Product) -> None:
    for key in product.policies:
        cover = draft.snapshot.cover(holding.subject, key)
        if draft.snapshot.time.policies[key].stops_at_end and not cover.holds_on(draft.day):
            message = f"{holding.subject} ended on {cover.ends}"
            remedy = "renew it first"
            refuse(AgreementProblem.NOT_IN_FORCE, message, remedy=remedy, rules=("R3", "R4"), subject=holding.subject)


def _has_seat(holding: Holding, user: str) -> bool:
    return any(seat.user == user for seat in holding.seats)


def _must_have(holding: Holding, user: str, field: str) -> None:
    if not _has_seat(holding, user):
        message = f"{user} has no seat of {holding.subject}"
        remedy = "name somebody who has one"
        refuse(
            AgreementProblem.NOT_ASSIGNED, message, remedy=remedy, rules=("R2",), subject=holding.subject, field=field
        )


def _take(draft: OrderDraft, holding: Holding, user: str) -> None:
    reason = f"seat taken from {user}"
    draft.write(EntryKind.SEAT_UNASSIGNED, holding.subject, {"user": user}, reason=reason, rules=("R2",))


def _write(draft: OrderDraft, holding: Holding, user: str, uses: Sequence[str]) -> None:
    details = {"user": user, "uses": sorted(set(uses))}
    draft.write(EntryKind.SEAT_ASSIGNED, holding.subject, details, reason=f"seat for {user}", rules=("R1", "R2"))
