"""Carries out one order of agreements: one transaction, the project locked, the ledger appended to; or a refusal.

The pure core decides (`domain/agreements/ordering/decide_order.py`). What the order changes of licenses, their version
and the end of their agreement, is written with it, so that leasing sees it at once (rules M1, B3, L6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from master.domain.agreements.ledger.entries import Entry, EntryKind
from master.domain.agreements.ledger.fold import fold
from master.domain.agreements.ledger.orders import ConvertVersion, Extend, Order, UpgradeVersion, order_to_plain
from master.domain.agreements.ledger.price_file import read_prices
from master.domain.agreements.ledger.pricing import PriceList, QuoteLine, totals
from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ordering.decide_order import Decision, Quote, decide, quote
from master.domain.agreements.rights.endings import renewals_due
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.dates import first_instant_of
from master.domain.catalog.policies import Grants, SubjectKind
from master.domain.catalog.subjects import Subject
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.service.agreements.entitlements import Reconciled, reconcile
from master.service.estates.agreement_ledgers import known_now
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.licenses.license_changes import LicenseChanges, plain
from master.service.runtime.request_answers import AnsweredBefore, ChangeRequest, answered_before, keep_answer
from master.store.backends.database import Tx
from master.store.statements import agreements as store
from master.values import Value, replace

ORDERED = "agreement.ordered"


class PriceText(Value):
    """An operator's price file as it was sent."""

    name: str
    text: str

    def read(self, catalog: Catalog) -> PriceList:
        """Parse the prices of the text. Raises PriceFileError if the text has a mistake, or is for another catalog."""
        return read_prices(self.text, file=self.name, catalog=catalog)


class PlaceOrder(ChangeRequest["Placed | AgreementRefusal"], kw_only=True):
    """An order to be carried out. A refused order changes nothing, and can be asked for again under the same id."""

    project: str
    order: Order
    prices: PriceText | None


class Placed(Value, kw_only=True):
    """An order that was carried out."""

    entries: tuple[Entry, ...]
    lines: tuple[QuoteLine, ...]
    balance: Decimal
    """The credits that are left after the order."""
    awaits_payment: bool
    notes: tuple[str, ...]
    licenses_changed: bool = False
    """Whether the order changed licenses, so that PBXs must be notified."""
    seats_revoked: int = 0


def place_order(changes: LicenseChanges, request: PlaceOrder) -> Placed | AgreementRefusal | AnsweredBefore:
    """Decide an order and write its entries and licenses; the same request again gives the same answer.
    Raises RequestIdTakenError if the request id was used for something else, PriceFileError if the price file has a
    mistake."""
    if (before := answered_before(changes.tx, changes.estate.project_id, request.key)) is not None:
        return before
    prices = request.prices.read(changes.estate.catalog) if request.prices is not None else None
    answer = _carried_out(changes, request.order, prices, request.key.request_id)
    if isinstance(answer, AgreementRefusal):
        return answer
    keep_answer(changes.tx, changes.estate.project_id, request.key, answer, now=changes.now)
    changes.write()
    return answer


def quote_order(
    tx: Tx, estates: EstateCache, project: str, order: Order, prices: PriceText, now: float
) -> Quote | AgreementRefusal:
    """Return what an order would cost today; change nothing.
    Raises UnknownProjectError if there is no such project, PriceFileError if the price file has a mistake."""
    estate = read_estate(tx, estates, project)
    known = known_now(estate, estates.ledgers.state(tx, estate.project_id), now=now)
    if (refused := _declared_in_file(estate, order)) is not None:
        return refused
    return quote(known.snapshot, order, known.day, prices.read(estate.catalog))


def renewals_are_due(tx: Tx, estates: EstateCache, project: str, now: float) -> bool:
    """Tell whether a renewal that was switched to automatic is due today; called before anything is locked."""
    estate = read_estate(tx, estates, project)
    known = known_now(estate, estates.ledgers.state(tx, estate.project_id), now=now)
    return bool(renewals_due(known.snapshot, known.day))


def order_renewals(changes: LicenseChanges) -> list[tuple[Order, Placed | AgreementRefusal]]:
    """Order the renewals that were switched to automatic and are due today (P4); an ordered renewal is
    not due again.
    """
    known = known_now(changes.estate, changes.ledger, now=changes.now)
    answers: list[tuple[Order, Placed | AgreementRefusal]] = [
        (order, _carried_out(changes, order, None, "")) for order in renewals_due(known.snapshot, known.day)
    ]
    changes.write()
    return answers


def _carried_out(
    changes: LicenseChanges, order: Order, prices: PriceList | None, request_id: str
) -> Placed | AgreementRefusal:
    if (refused := _declared_in_file(changes.estate, order)) is not None:
        return refused
    known = known_now(changes.estate, changes.ledger, now=changes.now)
    decision = decide(known.snapshot, order, known.day, prices)
    if isinstance(decision, AgreementRefusal):
        return decision
    entries = _appended(changes, decision)
    changes.ledger = fold(entries, changes.ledger)
    after = replace(known.snapshot, state=changes.ledger)
    changed = _change_licenses(changes, after, (*entries, *_reversed_by(entries, after)))
    reconciled = reconcile(changes, after, known.day)
    placed = Placed(
        entries=entries,
        lines=decision.lines,
        balance=after.state.balance,
        awaits_payment=decision.awaits_payment,
        notes=decision.notes,
        licenses_changed=bool(changed or reconciled.changed),
        seats_revoked=reconciled.seats_revoked,
    )
    changes.event(ORDERED, _details(order, placed, changed, reconciled), request_id=request_id or None)
    return placed


def _appended(changes: LicenseChanges, decision: Decision) -> tuple[Entry, ...]:
    """Append entries to the ledger; no entry gets an earlier moment than the entry before it, even where the clocks of
    masters differ.
    """
    project_id, first = changes.estate.project_id, changes.ledger.last_number + 1
    at = max(changes.now, store.last_recorded_at(changes.tx, project_id))
    entries = tuple(
        draft.recorded(number=number, recorded_at=at, caller=changes.caller, order=first, given_reason=changes.reason)
        for number, draft in enumerate(decision.drafts, start=first)
    )
    store.append(changes.tx, project_id, entries)
    return entries


def _change_licenses(
    changes: LicenseChanges, snapshot: AgreementSnapshot, entries: Sequence[Entry]
) -> dict[str, tuple[License, License]]:
    """Give licenses of the estate the version and the end of agreement that the ledger has for them."""
    changed: dict[str, tuple[License, License]] = {}
    zone = ZoneInfo(changes.estate.time_zone)
    versions: dict[Subject, int] = {}
    for entry in entries:
        if entry.kind is EntryKind.VERSION_SET:
            is_reversed = entry.number in snapshot.state.reversed
            versions[entry.subject] = int(entry.details["from_version" if is_reversed else "version"])
    for subject in dict.fromkeys(entry.subject for entry in entries):
        license = changes.find(subject.id) if subject.kind == SubjectKind.LICENSE.value else None
        if license is None:
            continue
        after = replace(license, agreement_ends_at=_agreement_ends_at(snapshot, subject, zone))
        if subject in versions:
            after = replace(after, version=versions[subject])
        if after != license:
            changes.put(after)
            changed[license.id] = (license, after)
    return changed


def _reversed_by(entries: Sequence[Entry], snapshot: AgreementSnapshot) -> Iterator[Entry]:
    """Yield the entries that no longer count, the latest first."""
    for entry in entries:
        if entry.kind is EntryKind.REVERSED:
            yield from (snapshot.state.history[number - 1] for number in reversed(entry.details["entries"]))


def _agreement_ends_at(snapshot: AgreementSnapshot, subject: Subject, zone: ZoneInfo) -> float | None:
    policies = (policy for policy in snapshot.policies_of(subject) if policy.grants is Grants.UPGRADES)
    ends = [end for policy in policies if (end := snapshot.cover(subject, policy.key).ends) is not None]
    return first_instant_of(max(ends), zone) if ends else None


def _declared_in_file(estate: Estate, order: Order) -> AgreementRefusal | None:
    """Refuse an order for licenses that the project file declares: they have no agreement, as nothing says when they
    were first bound (L7).
    """
    named: Sequence[str] = ()
    field = "licenses"
    if isinstance(order, UpgradeVersion | ConvertVersion):
        named = order.licenses
    elif isinstance(order, Extend):
        named = [subject.id for subject in order.subjects if subject.kind == SubjectKind.LICENSE.value]
        field = "subjects"
    declared = {license.id for license in estate.licenses if license.file is None}
    for license_id in named:
        if license_id in declared:
            return AgreementRefusal(
                problem=AgreementProblem.UNKNOWN_SUBJECT,
                message=f"license {license_id} is declared in the project file; agreements are for imported licenses",
                remedy="import it from a vendor's file instead, which says for good when it was bound first",
                rules=("L7", "M3"),
                subject=Subject.of(SubjectKind.LICENSE, license_id),
                field=field,
            )
    return None


# --- The audit --------------------------------------------------------------------------------------------------------


def _details(
    order: Order, placed: Placed, changed: dict[str, tuple[License, License]], reconciled: Reconciled
) -> dict[str, Any]:
    return {
        "order": order_to_plain(order),
        "entries": [entry.number for entry in placed.entries],
        "costs": {unit: str(amount) for unit, amount in totals(placed.lines).items()},
        "balance": str(placed.balance),
        "licenses": {
            key: {"before": plain(license), "after": plain(after)} for key, (license, after) in changed.items()
        }
        | dict(reconciled.plain()),
    }
