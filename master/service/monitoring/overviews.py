"""Estates at a glance, read on one consistent state."""

from __future__ import annotations

from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.monitoring.overview import LearningView, Overview, ProjectRecords, overview
from master.service.batch.claims.standby_pairs import read_standby_pairs
from master.service.estates.estate_cache import EstateCache, read_estate
from master.store.backends.database import Tx
from master.store.statements import queries, webhooks
from master.store.statements.claims import claims_of
from master.store.statements.learning import learned
from master.store.statements.projects.projects import project_names
from master.store.statements.waiting import waits_of_project
from master.values import replace

_PROJECTS_MAX = 1000


def read_overview(tx: Tx, estates: EstateCache, project: str, time: LeaseTime) -> Overview:
    """Read the overview of one project. Raises UnknownProjectError if there is no such project."""
    estate = read_estate(tx, estates, project)
    usage = queries.usage_of_project(tx, estate.project_id)
    claimed = {pbx_id for (_, pbx_id), use in usage.items() if use.counted > use.seats}
    records = ProjectRecords(
        used=queries.pool_uses(tx, estate.project_id),
        usage=usage,
        claims=claims_of(tx, claimed) if claimed else {},
        leases=queries.leases_of_project(tx, estate.project_id),
        applied_at=queries.applied_at(tx, estate.project_id),
        waits=waits_of_project(tx, estate.project_id) if estate.allocation.queues else {},
    )
    return replace(
        overview(estate, records, time),
        pairs=tuple(read_standby_pairs(tx, estate, time)),
        learning=_learning_view(tx, estate, time),
        endings=estates.ledgers.endings(tx, estate, now=time.now),
        unpaid_renewals=estates.ledgers.unpaid_renewals(tx, estate),
        dead_messages=webhooks.dead_counts(tx, estate.project_id),
    )


def _learning_view(tx: Tx, estate: Estate, time: LeaseTime) -> LearningView | None:
    if estate.learning is None or not estate.learns(time.ends_by):
        return None
    counts = learned(tx, estate.project_id)
    return LearningView(
        learning=estate.learning,
        pbxs_silent=counts.pbxs_silent,
        seats_known=counts.known,
        seats_proven=counts.proven - counts.unplaced,
        seats_unplaced=counts.unplaced,
    )


def read_overviews(tx: Tx, estates: EstateCache, time: LeaseTime) -> list[Overview]:
    return [read_overview(tx, estates, name, time) for name in project_names(tx, after="", limit=_PROJECTS_MAX)]
