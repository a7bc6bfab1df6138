"""Writes the usage history at an interval: peaks by site and pool, refusals, and who was denied for good.

It looks at what the database knows already, as a scrape does, and at what this master refused; deciding and committing
never wait for it. Only what is new is written: a peak that rose, a day that began, a refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import structlog

from master.domain.monitoring.overview import Overview
from master.domain.monitoring.usage import PoolPeak, RuleDay, SitePeak, day_of, pool_peaks, rule_days, site_peaks
from master.service.estates.service_context import ServiceContext
from master.service.monitoring.denial_buffer import DenialBuffer, RecentDenials, Refused
from master.service.monitoring.overviews import read_overviews
from master.service.runtime.periodic import PeriodicTask
from master.store.backends.database import Tx
from master.store.statements import usage as store

_log = structlog.get_logger(__name__)
_JUDGED_AT_ONCE_MAX = 5_000
_LAST_LOOK_SECONDS = 5.0


class UsageTask(PeriodicTask):
    """Adds to the usage history at an interval; when stopped, also writes what is only in memory."""

    def __init__(
        self,
        context: ServiceContext,
        *,
        denials: DenialBuffer,
        interval_seconds: float,
        denied_after_seconds: float,
        days_max: int,
        names_days_max: int,
    ) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._context = context
        self._denials = denials
        self._denied_after_seconds = denied_after_seconds
        self._days_max = days_max
        self._names_days_max = names_days_max
        self._today = -1
        self._sites: dict[tuple[int, str, str], int] = {}
        """The peaks of today by site that have been written."""
        self._pools: dict[tuple[int, str, str], tuple[int, int]] = {}
        """The peaks and unused licenses of today by pool that have been written."""
        self._rules: dict[tuple[int, str, str], tuple[int, int]] = {}
        """The used and unused seats of reserves of today that have been written."""

    async def stop(self) -> None:
        """End; run once more where refusals are in memory. Peaks are found by the master that looks next."""
        await super().stop()
        if self._denials.is_empty:
            return
        try:
            async with asyncio.timeout(_LAST_LOOK_SECONDS):
                await self._look_safely()
        except TimeoutError:
            _log.warning("the last refusals are missing from the usage history")

    async def run_once(self) -> None:
        """Add what has happened since the last run to the usage history."""
        time = self._context.lease_time()
        estates = await self._context.questions.read(lambda tx: read_overviews(tx, self._context.estates, time))
        await self._write_peaks(estates, time.now)
        await self._write_refusals(estates, time.now)
        if self._denials.unnoted:
            _log.warning("too many holders were refused to note them all", unnoted=self._denials.unnoted)
            self._denials.unnoted = 0

    async def _write_peaks(self, estates: Sequence[Overview], now: float) -> None:
        if (today := day_of(now)) != self._today:
            before, names_before = today - self._days_max, today - self._names_days_max
            await self._context.questions.transact(
                lambda tx: store.forget_days(tx, before=before, names_before=names_before)
            )
            self._today, self._sites, self._pools, self._rules = today, {}, {}, {}
        sites = [peak for estate in estates for peak in site_peaks(estate, now) if peak.peak > self._written(peak)]
        pools = [peak for estate in estates for peak in pool_peaks(estate, now) if self._is_news(peak)]
        rules = [rule for estate in estates for rule in rule_days(estate, now) if self._is_rules_news(rule)]
        if rules:
            await self._context.questions.transact(lambda tx: store.add_rule_days(tx, rules))
            for rule in rules:
                used, left = self._rules.get(rule[:3], (rule.used, rule.unused))
                self._rules[rule[:3]] = (max(used, rule.used), min(left, rule.unused))
        if not sites and not pools:
            return
        await self._context.questions.transact(lambda tx: store.add_peaks(tx, sites, pools))
        self._sites |= {(site.project_id, site.site, site.license_type): site.peak for site in sites}
        for pool in pools:
            place = (pool.project_id, pool.device, pool.license_type)
            peak, unused = self._pools.get(place, (pool.peak, pool.unused))
            self._pools[place] = (max(peak, pool.peak), min(unused, pool.unused))

    def _written(self, peak: SitePeak) -> int:
        return self._sites.get((peak.project_id, peak.site, peak.license_type), 0)

    def _is_news(self, peak: PoolPeak) -> bool:
        known = self._pools.get((peak.project_id, peak.device, peak.license_type))
        return known is None or peak.peak > known[0] or peak.unused < known[1]

    def _is_rules_news(self, rule: RuleDay) -> bool:
        known = self._rules.get(rule[:3])
        return known is None or rule.used > known[0] or rule.unused < known[1]

    async def _write_refusals(self, estates: Sequence[Overview], now: float) -> None:
        recent = self._denials.take(now)
        ids = {estate.project: estate.project_id for estate in estates}
        try:
            if recent.holders:
                refused = _rows(recent.holders, ids)
                self._denials.unnoted += await self._context.questions.transact(
                    lambda tx: store.add_denials(tx, refused)
                )
            if recent.granted:
                granted = _rows(recent.granted, ids)
                await self._context.questions.transact(lambda tx: store.forget_denials(tx, granted))
            if recent.rules:
                rules = {
                    (ids[project], rule, license_type, day_of(now)): seats
                    for (project, rule, license_type), seats in recent.rules.items()
                    if project in ids
                }
                await self._context.questions.transact(lambda tx: store.add_rule_days(tx, (), rules))
                recent.rules.clear()
            counts = _counts(recent, ids, day_of(now))
            due = now - self._denied_after_seconds

            def judge(tx: Tx) -> None:
                denied = store.judge_denials(tx, refused_before=due, limit=_JUDGED_AT_ONCE_MAX)
                store.add_counts(tx, [*counts, *denied])

            await self._context.questions.transact(judge)
        except BaseException:
            self._denials.put_back(recent)
            raise


def _rows(refused: Iterable[Refused], ids: Mapping[str, int]) -> list[store.DenialRow]:
    return [
        store.DenialRow(
            project_id=ids[denial.pbx.project],
            day=day_of(denial.at),
            pbx=denial.pbx.pbx,
            holder=denial.key.holder,
            license_type=denial.key.type,
            kind=int(denial.key.kind),
            site=denial.site,
            reason=denial.reason,
            refused_at=denial.at,
        )
        for denial in refused
        if denial.pbx.project in ids
    ]


def _counts(recent: RecentDenials, ids: Mapping[str, int], today: int) -> list[store.SiteCount]:
    return [
        store.SiteCount(ids[project], site, license_type, today, refused=seats)
        for (project, site, license_type), seats in recent.seats.items()
        if project in ids
    ]
