"""One order while it is decided: the snapshot, the day, the entries to write and the charges. Discarded afterwards.

The deciding modules add entries and charges to an `OrderDraft` and refuse through it; `decide_order.py` makes the
answer from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

from msgspec import Struct, to_builtins

from licensemaster.values import key_text
from licensemaster.values.similar import Known, closest
from master.domain.agreements.ledger.entries import Draft, EntryKind
from master.domain.agreements.ledger.fold import fold
from master.domain.agreements.ledger.pricing import ExactLine, PriceList
from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal, RefusedError
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ledger.state import Holding, PaidTerm
from master.domain.catalog.dates import Term, add_months
from master.domain.catalog.policies import Offer, Policy, Product, SubjectKind, Unit
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import PROJECT, Subject
from master.values import field, replace

NAME_MAX = 200
COUNT_MAX = 1_000_000
MONTHS_MAX = 1_200


def refuse(
    problem: AgreementProblem,
    message: str,
    *,
    remedy: str,
    rules: tuple[str, ...] = (),
    subject: Subject = PROJECT,
    field: str = "",
) -> NoReturn:
    """Refuse the whole order: nothing is written."""
    raise RefusedError(
        AgreementRefusal(problem=problem, message=message, remedy=remedy, rules=rules, subject=subject, field=field)
    )


def malformed(
    field: str, message: str, *, remedy: str, rules: tuple[str, ...] = (), subject: Subject = PROJECT
) -> NoReturn:
    """Refuse the order because of the value of one field."""
    refuse(AgreementProblem.MALFORMED, message, remedy=remedy, rules=rules, subject=subject, field=field)


class OrderDraft(Struct, kw_only=True):
    """An order while it is decided: what it would write, cost and note."""

    snapshot: AgreementSnapshot
    day: date
    prices: PriceList | None
    drafts: list[Draft] = field(default_factory=list)
    lines: list[ExactLine] = field(default_factory=list)
    is_confirming: bool = False
    """Whether this is the payment of an order that was placed before (P9)."""
    payment_first: tuple[Subject, tuple[str, ...]] | None = None
    """The subject of an order that awaits its payment, and the rule ids; None where nothing is paid first (P9)."""
    notes: list[str] = field(default_factory=list)

    def write(
        self,
        kind: EntryKind,
        subject: Subject,
        details: Mapping[str, Any],
        *,
        reason: str,
        rules: tuple[str, ...] = (),
        policy: str = "",
        day: date | None = None,
    ) -> None:
        """Add an entry to those to be written; it takes effect on `day`, or on the day of the order where None."""
        on = day or self.day
        self.drafts.append(
            Draft(kind=kind, day=on, subject=subject, policy=policy, details=details, reason=reason, rules=rules)
        )

    def take_note(self) -> None:
        """Fold the entries drafted so far into the snapshot that the rest of the order is decided on."""
        number = self.snapshot.state.last_number
        entries = (
            draft.recorded(number=number + n, recorded_at=0, caller="") for n, draft in enumerate(self.drafts, 1)
        )
        self.snapshot = replace(self.snapshot, state=fold(entries, self.snapshot.state))

    def add_term(self, subject: Subject, policy: Policy, paid: PaidTerm, *, reason: str) -> None:
        plain = to_builtins(paid)
        details = {**plain.pop("term"), **{name: plain[name] for name in ("anchor", "anchor_months", "how", "offer")}}
        self.write(EntryKind.TERM_ADDED, subject, details, reason=reason, rules=policy.rules, policy=policy.key)

    def include(self, subject: Subject, policy: Policy, begins: date) -> None:
        """Add the term of a policy that is included in a purchase or a delivery."""
        term = Term(begins, add_months(begins, policy.included_months))
        paid = PaidTerm(term=term, anchor=begins, anchor_months=policy.included_months, how="included")
        self.add_term(subject, policy, paid, reason=f"{policy.title} that comes along: {term}")

    def carry_over(self, subject: Subject, policy: Policy) -> None:
        """Write the agreement that the vendor's file states into the ledger, before an order continues it."""
        last = self.snapshot.cover(subject, policy.key).last
        if last is not None and not last.entry:
            reason = f"{policy.title} as the vendor's file said: {last.term}"
            self.add_term(subject, policy, replace(last, anchor_months=0, offer=""), reason=reason)

    def charge(self, line: ExactLine) -> None:
        """Add a charge; leave out a line without a price, as money is paid elsewhere and no price list was given."""
        if line.each is not None:
            self.lines.append(line)

    def price(self, section: str, key: object, *, unit: Unit = Unit.MONEY) -> Decimal | None:
        """Return a price from a section of the price list; None for a price in money where no price list was given.
        Raises RefusedError if the list has no such price, or credits are to be paid and there is no list."""
        if self.prices is None:
            if unit is Unit.MONEY:
                return None
            message = "no price file was handed in, and without one nobody knows how many credits it takes"
            remedy = f"hand in a price file that has [{section}] (--prices FILE)"
            refuse(AgreementProblem.PRICE_MISSING, message, remedy=remedy, rules=("M2",))
        listed = self.prices.section(section)
        if key not in listed:
            offered = ", ".join(str(priced) for priced in sorted(listed, key=_sorting)) or "none"
            message = f"the price file has no price for {key} under [{section}]; it has {offered}"
            remedy = f"choose one of these, or add {key} under [{section}] to the price file"
            refuse(AgreementProblem.PRICE_MISSING, message, remedy=remedy)
        return listed[key]

    # --- What must be known ---------------------------------------------------------------------------------------

    def name(self, text: str, field: str) -> str:
        """Return a name, key or id; refuse the order where the text is empty or too long."""
        if not text.strip() or len(text) > NAME_MAX:
            message = f"{field} is empty or longer than {NAME_MAX} characters"
            malformed(field, message, remedy=f"give {field} as a text of 1 to {NAME_MAX} characters")
        return text

    def offer(self, key: str) -> Offer:
        offers = self.snapshot.time.offers
        if key not in offers:
            message = f"the catalog {self.snapshot.catalog.name!r} has no offer {key!r}{closest(key, offers)}"
            remedy = f"choose one of {', '.join(offers) or 'none'}"
            refuse(AgreementProblem.UNKNOWN_OFFER, message, remedy=remedy, field="offer")
        return offers[key]

    def product(self, key: str, kind: SubjectKind) -> Product:
        products = {name: product for name, product in self.snapshot.time.products.items() if product.subject is kind}
        if key not in products:
            refuse(
                AgreementProblem.UNKNOWN_PRODUCT,
                f"the catalog {self.snapshot.catalog.name!r} has no product {key!r} that is a {kind.value}"
                f"{closest(key, products)}",
                remedy=f"choose one of {', '.join(products) or 'none'}",
                field="product",
            )
        return products[key]

    def held(self, id: str, field: str, *kinds: SubjectKind) -> tuple[Holding, Product]:
        """Return the holding and product of an id, of the first kind that the ledger has; refuse if it has none."""
        for kind in kinds:
            holding = self.snapshot.state.holding(Subject.of(kind, self.name(id, field)))
            if (product := self.snapshot.product(holding)) is not None:
                return holding, product
        known = {kind.value for kind in kinds}
        ids = (subject.id for subject in self.snapshot.state.holdings if subject.kind in known)
        message = Known(f"{kinds[0].value} in the ledger", ids).lacks(id)
        remedy = "register the device first" if SubjectKind.DEVICE in kinds else "buy it first, or start a trial"
        refuse(AgreementProblem.UNKNOWN_SUBJECT, message, remedy=remedy, subject=Subject.of(kinds[0], id), field=field)

    def release(self, text: str, field: str, *, read: Callable[[str], ReleaseName] = ReleaseName.parse) -> ReleaseName:
        try:
            return read(self.name(text, field))
        except ValueError as error:
            malformed(field, f"{field}: {error}", remedy="write it like 7.1 or 12r1 sr4")

    def unused_key(self, key: str, rules: tuple[str, ...]) -> str:
        """Return a key in its normal form; refuse the order where the ledger has the key already."""
        if not key.strip():
            message = "it comes with a key, and none was given"
            remedy = "give the key that the vendor sent as key"
            refuse(AgreementProblem.KEY_MISSING, message, remedy=remedy, rules=rules, field="key")
        key = key_text(self.name(key, "key"))
        if key in self.snapshot.state.keys_used:
            message = f"the key {key!r} was used already; each can be used once"
            remedy = "give the new key; the ledger shows what this one was used for"
            refuse(AgreementProblem.KEY_USED, message, remedy=remedy, rules=rules, field="key")
        return key


def _sorting(key: object) -> tuple[int, str]:
    return (key, "") if isinstance(key, int) else (0, str(key))
