"""Reads the usage history and makes the report; changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from master.domain.catalog.catalog import Catalog
from master.domain.estate.estate import Estate
from master.domain.monitoring.overview import Overview
from master.domain.monitoring.policy_uses import PolicyUse, policy_uses
from master.domain.monitoring.report import LATELY_DAYS, PoolReport, SilentPbx, pool_reports, silent_pbxs
from master.domain.monitoring.usage import DAY_SECONDS, day_of
from master.service.estates.service_context import ServiceContext
from master.service.monitoring.overviews import read_overview
from master.store.backends.database import Tx
from master.store.statements import queries
from master.store.statements import usage as store
from master.store.statements.events import policy_events
from master.values import Value

DENIED_MAX = 1000


class UsageReport(Value, kw_only=True):
    """The usage of a project over some days."""

    project: str
    made_at: float
    """When the report was made, UNIX seconds."""
    days: int
    days_known: int
    catalog: Catalog
    sites: Sequence[store.SiteRow]
    pools: Sequence[PoolReport]
    rules: Sequence[store.RuleRow]
    policies: Sequence[PolicyUse]
    """How much queues and overdrafts were used, by license type."""
    silent: Sequence[SilentPbx]
    denied: Sequence[store.DenialRow]
    """The denied holders, the latest first; empty where they were not asked for."""


async def usage_report(context: ServiceContext, project: str, *, days: int, with_holders: bool) -> UsageReport:
    """Return the usage report on the last `days` days, today included.
    Raises UnknownProjectError if there is no such project."""
    time = context.lease_time()
    today = day_of(time.now)
    first = today - days + 1

    def look(tx: Tx, estate: Estate) -> UsageReport:
        overview = read_overview(tx, context.estates, project, time)
        pools = store.pools_since(tx, estate.project_id, day=first)
        seats: Counter[int] = Counter()
        for (_, pbx_id), use in queries.usage_of_project(tx, estate.project_id).items():
            seats[pbx_id] += use.seats
        lately = max(first, today - LATELY_DAYS + 1)
        return UsageReport(
            project=project,
            made_at=time.now,
            days=days,
            days_known=len({pool.day for pool in pools}),
            catalog=estate.catalog,
            sites=store.sites_since(tx, estate.project_id, day=first, lately=lately),
            rules=store.rules_since(tx, estate.project_id, day=first),
            policies=_policies(tx, estate, overview, first * DAY_SECONDS, time.now),
            pools=pool_reports(overview, estate.catalog.types, pools, today=today),
            silent=silent_pbxs(estate, queries.leases_of_project(tx, estate.project_id), seats, time),
            denied=store.denied_since(tx, estate.project_id, day=first, limit=DENIED_MAX) if with_holders else (),
        )

    return await context.read_project(project, look)


def _policies(tx: Tx, estate: Estate, overview: Overview, since: float, now: float) -> list[PolicyUse]:
    """Return the use of queues and overdrafts; the audit is read only where policies have any."""
    overdrafts = {
        pool.license_type: pool.overdraft for pool in overview.pools if pool.central and pool.overdraft is not None
    }
    if not overdrafts and not estate.allocation.queues:
        return []
    return policy_uses(policy_events(tx, estate.project_id, since=since), overdrafts, since=since, now=now)
