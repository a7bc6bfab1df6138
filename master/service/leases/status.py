"""What people and dashboards ask about estates, leases, seats and events; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from master.domain.audit.chain import Record
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate
from master.domain.monitoring.overview import Overview
from master.domain.seats.seats import Seat, Want
from master.service.estates.service_context import ServiceContext
from master.service.leases import lease_views
from master.service.monitoring.overviews import read_overview, read_overviews
from master.service.runtime.names import (
    PbxName,
    UnknownNameError,
    UnknownPbxError,
    UnknownProjectError,
    type_asked_for,
)
from master.store.backends.database import Tx
from master.store.statements import queries
from master.store.statements.events import stored_chain
from master.values import Value


class SeatQuery(Value, kw_only=True):
    """Which seats to list; an empty text means any."""

    project: str
    pbx: str = ""
    site: str = ""
    license_type: str = ""
    holder: str = ""


class Status:
    """Answers about the present state of estates, leases, seats and events."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def overview(self, project: str) -> Overview:
        time = self._context.lease_time()
        return await self._context.questions.read(lambda tx: read_overview(tx, self._context.estates, project, time))

    async def overviews(self) -> list[Overview]:
        """Return an overview of every project."""
        time = self._context.lease_time()
        return await self._context.questions.read(lambda tx: read_overviews(tx, self._context.estates, time))

    async def list_leases(self, project: str, *, after: str, limit: int) -> list[lease_views.LeaseView]:
        """List PBXs by name, with the state of their leases."""
        time = self._context.lease_time()

        def look(tx: Tx, estate: Estate) -> list[lease_views.LeaseView]:
            names = sorted(name for name in estate.pbx_ids if name > after)[:limit]
            pbxs = [estate.pbxs[estate.pbx_ids[name]] for name in names]
            return lease_views.read_lease_views(tx, estate, pbxs, time)

        return await self._context.read_project(project, look)

    async def list_seats(
        self, which: SeatQuery, *, after: queries.SeatPlace | None, limit: int
    ) -> tuple[Estate, list[Seat]]:
        def look(tx: Tx, estate: Estate) -> tuple[Estate, list[Seat]]:
            if which.pbx and which.pbx not in estate.pbx_ids:
                raise UnknownPbxError(PbxName(which.project, which.pbx), estate.pbx_ids)
            sites = {pbx.site for pbx in estate.pbxs.values()}
            if which.site and which.site not in sites:
                raise UnknownNameError("site", which.site, sites)
            ids = [
                pbx.id for pbx in estate.pbxs.values() if which.pbx in ("", pbx.name) and which.site in ("", pbx.site)
            ]
            key = type_asked_for(estate.catalog, which.license_type)
            return estate, queries.list_seats(tx, ids, license_type=key, holder=which.holder, after=after, limit=limit)

        return await self._context.read_project(which.project, look)

    async def list_events(
        self, project: str, which: queries.EventFilter, *, before: int | None, limit: int
    ) -> list[Record]:
        """List events, newest first; a PBX that was removed since is found by the name that it had."""

        def look(tx: Tx) -> list[Record]:
            chain = stored_chain(tx, project)  # a project that was deleted has its events still
            if chain is None:
                raise UnknownProjectError(project)
            events = queries.list_events(tx, chain.project_id, which, before=before, limit=limit)
            if which.pbx and not events:
                self._context.estates.find(tx, PbxName(project, which.pbx))
            return events

        return await self._context.questions.read(look)

    async def explain(self, name: PbxName, wants: Sequence[Want], software: Version | None) -> lease_views.Explanation:
        """Return what acquiring would be answered now, and why."""
        time = self._context.lease_time()
        return await self._context.questions.work_out(
            lambda tx: lease_views.read_explanation(
                tx, self._context.estates, name, wants, software=software, time=time
            ),
            lease_views.explained,
        )
