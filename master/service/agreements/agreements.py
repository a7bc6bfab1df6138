"""Agreements as their service sees them: orders, quotes, what is known on a day; and renewals that order themselves."""

from __future__ import annotations

from datetime import date
from functools import partial

import structlog

from master.domain.agreements.ledger.entries import Entry
from master.domain.agreements.ledger.orders import Order
from master.domain.agreements.ledger.problems import AgreementRefusal
from master.domain.agreements.ledger.state import State
from master.domain.agreements.ordering.decide_order import Quote
from master.domain.catalog.subjects import Subject
from master.domain.estate.estate import Estate
from master.domain.estate.license_release import BY_LEDGER
from master.service.agreements.entitlements import is_reconciled, reconcile_project
from master.service.agreements.ordering import (
    Placed,
    PlaceOrder,
    PriceText,
    order_renewals,
    place_order,
    quote_order,
    renewals_are_due,
)
from master.service.estates.agreement_ledgers import Known, read_known
from master.service.estates.service_context import ServiceContext
from master.service.licenses.license_changes import under_lock
from master.service.runtime.request_answers import AnsweredBefore
from master.store.backends.database import Tx
from master.store.statements import agreements as store
from master.store.statements.licenses import projects_with_ended_use

_log = structlog.get_logger(__name__)
_CALLER = "master:renewals"


class Agreements:
    """The verbs on agreements of all projects: order, quote, read ledgers, renew."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def place(self, request: PlaceOrder) -> Placed | AgreementRefusal | AnsweredBefore:
        """Carry an order out; PBXs whose licenses changed are notified at once.

        Raises:
            UnknownProjectError, RequestIdTakenError, PriceFileError: nothing was changed.
        """
        await self._fold(request.project)
        placing = partial(place_order, request=request)
        work = under_lock(request.project, placing, caller=request.caller, reason=request.reason)
        if request.dry_run:
            return await self._context.rehearse(request.project, work)
        answer = await self._context.change(work)
        if isinstance(answer, Placed) and answer.licenses_changed:
            self._context.hub.wake_all()
            self._context.metrics.seats_revoked.inc(answer.seats_revoked)
        return answer

    async def quote(self, project: str, order: Order, prices: PriceText) -> Quote | AgreementRefusal:
        """Return what an order would cost today.
        Raises UnknownProjectError or PriceFileError if the price cannot be given."""
        now = self._context.lease_time().now
        return await self._context.questions.read(
            lambda tx: quote_order(tx, self._context.estates, project, order, prices, now)
        )

    async def known(self, project: str, *, day: date | None = None, as_of: float | None = None) -> Known:
        """Return what is known of a project on a day (today where None), by what was known `as_of`.
        Raises UnknownProjectError if there is no such project."""
        now = self._context.lease_time().now
        ledgers = self._context.estates.ledgers
        return await self._context.read_project(
            project, lambda tx, estate: read_known(tx, ledgers, estate, now=now, day=day, as_of=as_of)
        )

    async def entries(
        self, project: str, *, after: int, limit: int, subject: Subject | None = None, as_of: float | None = None
    ) -> tuple[list[Entry], State]:
        """Return entries of the ledger after a given number, and the state of the whole ledger (by `as_of`).
        Raises UnknownProjectError if there is no such project."""
        now = self._context.lease_time().now

        def look(tx: Tx, estate: Estate) -> tuple[list[Entry], State]:
            known = read_known(tx, self._context.estates.ledgers, estate, now=now, as_of=as_of)
            entries = store.page_of_entries(
                tx, estate.project_id, after=after, before=as_of, subject=subject, limit=limit
            )
            return entries, known.snapshot.state

        return await self._context.read_project(project, look)

    async def _fold(self, project: str) -> None:
        """Fold the ledger before anything is locked, so that only new entries are left to fold under the lock."""
        ledgers = self._context.estates.ledgers
        await self._context.read_project(project, lambda tx, estate: ledgers.state(tx, estate.project_id))

    async def renew(self) -> int:
        """Order the renewals that are due; return how many."""
        now, ordered = self._context.lease_time().now, 0
        for project in await self._context.questions.read(store.projects_with_entries):

            def look(tx: Tx, project: str = project) -> bool:
                return renewals_are_due(tx, self._context.estates, project, now)

            if not await self._context.questions.read(look):
                continue
            for order, answer in await self._context.change(under_lock(project, order_renewals, caller=_CALLER)):
                if isinstance(answer, Placed):
                    ordered += 1
                    _log.info("renewal ordered", project=project, awaits_payment=answer.awaits_payment)
                else:
                    _log.warning("renewal refused", project=project, order=str(order), reason=answer.message)
        return ordered

    async def renew_and_reconcile(self) -> int:
        """Order the renewals that are due today (P4), and make licenses match the ledgers after a change of device or
        catalog; return how many renewals were ordered.
        """
        ordered = await self.renew()
        await self.reconcile()
        return ordered

    async def end_uses(self) -> int:
        """Take away the licenses whose use has ended (P1, R3); return how many licenses changed."""
        now = self._context.lease_time().now
        projects = await self._context.questions.read(lambda tx: projects_with_ended_use(tx, now=now))
        return sum([await self._reconcile(project) for project in projects])

    async def reconcile(self) -> int:
        """Change licenses that differ from what the ledgers entitle to; return how many licenses changed."""
        now, changed = self._context.lease_time().now, 0
        for project in await self._context.questions.read(store.projects_with_entries):

            def look(tx: Tx, project: str = project) -> bool:
                return is_reconciled(tx, self._context.estates, project, now)

            if not await self._context.questions.read(look):
                changed += await self._reconcile(project)
        return changed

    async def _reconcile(self, project: str) -> int:
        reconciled = await self._context.change(under_lock(project, reconcile_project, caller=BY_LEDGER))
        if reconciled.changed:
            self._context.hub.wake_all()
            self._context.metrics.seats_revoked.inc(reconciled.seats_revoked)
            licenses = [reconciliation.id for reconciliation in reconciled.changed]
            _log.info(
                "licenses reconciled with agreements",
                project=project,
                licenses=licenses,
                seats_revoked=reconciled.seats_revoked,
            )
        return len(reconciled.changed)
