"""Agreements as their service sees them: orders, quotes, what is known on a day; and renewals that order themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import structlog

from master.domain.agreements.decide import Quote
from master.domain.agreements.entries import Entry, Subject
from master.domain.agreements.orders import Order
from master.domain.agreements.problems import AgreementRefusal
from master.leasing.apply import DryRun
from master.leasing.estates import Estates
from master.leasing.ledger import Known, read_known
from master.leasing.ordering import (
    Placed,
    PlaceOrder,
    PriceText,
    order_renewals,
    place_order,
    quote_order,
    renewals_are_due,
)
from master.leasing.periodic import Periodic
from master.leasing.reading import read_estate
from master.leasing.watch import WatchHub
from master.store import agreements as store
from master.store.database import Database, Tx

_log = structlog.get_logger(__name__)
_CALLER = "master:renewals"


class Agreements:
    """Everything that is done with agreements."""

    def __init__(self, *, database: Database, estates: Estates, hub: WatchHub, clock: Callable[[], float]) -> None:
        self._database = database
        self._estates = estates
        self._hub = hub
        self._clock = clock

    async def place(self, request: PlaceOrder) -> Placed | AgreementRefusal:
        """Carry an order out; PBXs hear of licenses that changed at once.

        Raises:
            UnknownProjectError, RequestIdTakenError, PriceFileError: nothing was changed.
        """
        now = self._clock()
        await self._fold(request.project)
        try:
            answer = await self._database.transact(lambda tx: place_order(tx, self._estates, request, now))
        except DryRun as dry_run:
            return dry_run.answer_of(Placed)
        if isinstance(answer, Placed) and answer.licenses_changed:
            self._hub.wake_all()
        return answer

    async def quote(self, project: str, order: Order, prices: PriceText) -> Quote | AgreementRefusal:
        """What an order would cost today.

        Raises:
            UnknownProjectError, PriceFileError: it cannot be said.
        """
        now = self._clock()
        return await self._database.read(lambda tx: quote_order(tx, self._estates, project, order, prices, now))

    async def known(self, project: str, *, day: date | None = None, as_of: float | None = None) -> Known:
        """What is known of a project, to be asked about a day (today where None), by what was known `as_of`.

        Raises:
            UnknownProjectError: there is no such project.
        """
        now = self._clock()

        def look(tx: Tx) -> Known:
            estate = read_estate(tx, self._estates, project)
            return read_known(tx, self._estates.ledgers, estate, now=now, day=day, as_of=as_of)

        return await self._database.read(look)

    async def entries(
        self, project: str, *, after: int, limit: int, subject: Subject | None = None, as_of: float | None = None
    ) -> tuple[list[Entry], Decimal]:
        """Some of the ledger, from behind a number on, and the credits in the balance (by `as_of`).

        Raises:
            UnknownProjectError: there is no such project.
        """
        now = self._clock()

        def look(tx: Tx) -> tuple[list[Entry], Decimal]:
            estate = read_estate(tx, self._estates, project)
            known = read_known(tx, self._estates.ledgers, estate, now=now, as_of=as_of)
            found = store.page_of_entries(
                tx, estate.project_id, after=after, before=as_of, subject=subject, limit=limit
            )
            return found, known.book.state.balance

        return await self._database.read(look)

    async def _fold(self, project: str) -> None:
        """Fold the ledger before anything is locked, so that under the lock only what is new is left."""

        def look(tx: Tx) -> None:
            self._estates.ledgers.state(tx, read_estate(tx, self._estates, project).project_id)

        await self._database.read(look)

    async def renew(self) -> int:
        """Order the renewals that are due; how many."""
        now, ordered = self._clock(), 0
        for project in await self._database.read(store.projects_with_entries):

            def look(tx: Tx, project: str = project) -> bool:
                return renewals_are_due(tx, self._estates, project, now)

            def work(tx: Tx, project: str = project) -> list[tuple[Order, Placed | AgreementRefusal]]:
                return order_renewals(tx, self._estates, project, caller=_CALLER, now=now)

            if not await self._database.read(look):
                continue

            for order, answer in await self._database.transact(work):
                if isinstance(answer, Placed):
                    ordered += 1
                    _log.info("renewal ordered", project=project, awaits_payment=answer.awaits_payment)
                else:
                    _log.warning("renewal refused", project=project, order=str(order), reason=answer.message)
        return ordered


class RenewalRound(Periodic):
    """Orders renewals on their day (P4)."""

    def __init__(self, agreements: Agreements, *, interval_seconds: float) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._agreements = agreements

    async def look(self) -> int:
        """How many were ordered."""
        return await self._agreements.renew()
