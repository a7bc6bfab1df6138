"""The statements of the usage history: added to every minute or so, never by the hot path.

Adding is safe from several masters at once: peaks only rise, and each master adds its own counts. Rows are written in
one order, and by one of these functions in a transaction, so two masters never wait for each other in a circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Final, NamedTuple

from master.domain.monitoring.usage import PoolPeak, RuleDay, SitePeak
from master.store.backends.database import Tx

RulePlace = tuple[int, str, str, int]
"""(project id, rule, license type, day)."""
NOTHING_REFUSED: Final[Mapping[RulePlace, int]] = MappingProxyType({})
_SITE = """
    INSERT INTO site_day (project_id, site, type, day, peak, peak_at, refused, denied)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (project_id, day, site, type) DO UPDATE SET
        peak_at = CASE WHEN excluded.peak > site_day.peak THEN excluded.peak_at ELSE site_day.peak_at END,
        peak = CASE WHEN excluded.peak > site_day.peak THEN excluded.peak ELSE site_day.peak END,
        refused = site_day.refused + excluded.refused, denied = site_day.denied + excluded.denied
"""
_POOL = """
    INSERT INTO pool_day (project_id, device, type, day, peak, unused) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (project_id, day, device, type) DO UPDATE SET
        peak = CASE WHEN excluded.peak > pool_day.peak THEN excluded.peak ELSE pool_day.peak END,
        unused = CASE WHEN excluded.unused < pool_day.unused THEN excluded.unused ELSE pool_day.unused END
"""
_RULE = """
    INSERT INTO rule_day (project_id, rule, type, day, used, unused, refused) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (project_id, day, rule, type) DO UPDATE SET
        used = CASE WHEN excluded.used > rule_day.used THEN excluded.used ELSE rule_day.used END,
        unused = CASE
            WHEN rule_day.unused IS NULL OR excluded.unused < rule_day.unused THEN excluded.unused ELSE rule_day.unused
        END,
        refused = rule_day.refused + excluded.refused
"""
_DENIAL = """
    INSERT INTO denial (project_id, day, pbx, holder, type, kind, site, reason, refused_at, judged)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING
"""
_HOLDERS_OF_PBX_MAX = 10_000
"""How many holders of a PBX are kept by name for one day."""
_UNCOUNTED_MAX = 20
"""Holders of a PBX that are written without counting those before: many PBXs have a few, and a minute lies between."""
_THAT_DENIAL = "project_id = ?1 AND day = ?2 AND pbx = ?3 AND holder = ?4 AND type = ?5 AND kind = ?6"


class SiteCount(NamedTuple):
    """Refusals of a site on a day, to be added to those already counted."""

    project_id: int
    site: str
    license_type: str
    day: int
    refused: int = 0
    denied: int = 0


class DenialRow(NamedTuple):
    """A holder that was refused a seat."""

    project_id: int
    day: int
    pbx: str
    holder: str
    license_type: str
    kind: int
    site: str
    reason: str
    refused_at: float
    """The time of the first refusal on that day, UNIX seconds."""


def add_peaks(tx: Tx, sites: Iterable[SitePeak], pools: Iterable[PoolPeak]) -> None:
    """Write the peaks of sites and pools on some days, where they are higher than before."""
    of_sites = [(p.project_id, p.site, p.license_type, p.day, p.peak, p.peak_at, 0, 0) for p in sorted(sites)]
    tx.many(_SITE, of_sites)
    tx.many(_POOL, [(p.project_id, p.device, p.license_type, p.day, p.peak, p.unused) for p in sorted(pools)])


def add_rule_days(tx: Tx, rules: Iterable[RuleDay], refused: Mapping[RulePlace, int] = NOTHING_REFUSED) -> None:
    """Write the most that owners of reserves had on some days, and add seats refused because of rules."""
    used = [(*rule, 0) for rule in sorted(rules)]
    tx.many(_RULE, [*used, *((*place, 0, None, refused[place]) for place in sorted(refused))])


def add_counts(tx: Tx, counts: Iterable[SiteCount]) -> None:
    """Add refusals and denials to the counts of some days."""
    refused: Counter[tuple[int, str, str, int]] = Counter()
    denied: Counter[tuple[int, str, str, int]] = Counter()
    for count in counts:
        refused[count[:4]] += count.refused
        denied[count[:4]] += count.denied
    tx.many(_SITE, [(*place, 0, None, refused[place], denied[place]) for place in sorted(refused)])


def add_denials(tx: Tx, refused: Iterable[DenialRow]) -> int:
    """Write holders that were refused, each once a day and no more of a PBX than its bound; return how many were left
    out."""
    rows, written = sorted(refused), list[DenialRow]()
    for place, of_pbx in groupby(rows, key=lambda row: row[:3]):
        named = list(of_pbx)
        known = _denials_of(tx, *place) if len(named) > _UNCOUNTED_MAX else 0
        written += named[: max(_HOLDERS_OF_PBX_MAX - known, 0)]
    tx.many(_DENIAL, [(*denial, False) for denial in written])
    return len(rows) - len(written)


def _denials_of(tx: Tx, project_id: int, day: int, pbx: str) -> int:
    statement = "SELECT COUNT(*) FROM denial WHERE project_id = ?1 AND day = ?2 AND pbx = ?3"
    return int(tx.rows(statement, project_id, day, pbx)[0][0])


def forget_denials(tx: Tx, granted: Iterable[DenialRow]) -> None:
    """Delete refusals of holders that got their seats before they were judged."""
    gone = [denial[:6] for denial in sorted(granted)]
    tx.many(f"DELETE FROM denial WHERE {_THAT_DENIAL} AND NOT judged", gone)


def judge_denials(tx: Tx, *, refused_before: float, limit: int) -> list[SiteCount]:
    """Delete refusals of holders that have a seat by now, mark the others denied; count these by site and type.

    Each refusal is judged once, whichever master comes first.
    """
    statement = """
        SELECT d.project_id, d.day, d.pbx, d.holder, d.type, d.kind, d.site, EXISTS (
            SELECT 1 FROM pbx p JOIN seat s ON s.pbx_id = p.id WHERE p.project_id = d.project_id AND p.name = d.pbx
            AND s.holder = d.holder AND s.type = d.type AND s.kind = d.kind
        ) FROM denial d WHERE NOT d.judged AND d.refused_at <= ?1
        ORDER BY d.project_id, d.day, d.pbx, d.holder, d.type, d.kind LIMIT ?2 FOR UPDATE OF d"""
    rows = tx.rows(statement, refused_before, limit)
    tx.many(f"DELETE FROM denial WHERE {_THAT_DENIAL}", [tuple(row[:6]) for row in rows if row[7]])
    denied = [tuple(row[:6]) for row in rows if not row[7]]
    tx.many(f"UPDATE denial SET judged = TRUE WHERE {_THAT_DENIAL}", denied)
    by_site = Counter((row[0], row[6], row[4], row[1]) for row in rows if not row[7])
    return [SiteCount(*place, denied=count) for place, count in by_site.items()]


def forget_days(tx: Tx, *, before: int, names_before: int) -> None:
    """Delete days before `before`, and the names of those who were denied before `names_before`."""
    tx.rows("DELETE FROM site_day WHERE day < ?1", before)
    tx.rows("DELETE FROM pool_day WHERE day < ?1", before)
    tx.rows("DELETE FROM rule_day WHERE day < ?1", before)
    tx.rows("DELETE FROM denial WHERE day < ?1", max(before, names_before))


class SiteRow(NamedTuple):
    """The peaks and refusals of a site over some days."""

    site: str
    license_type: str
    peak_lately: int
    peak: int
    peak_at: float | None
    refused: int
    denied: int


def sites_since(tx: Tx, project_id: int, *, day: int, lately: int) -> list[SiteRow]:
    """Return sites by name and type from a day on; `lately` is the later day from which `peak_lately` counts."""
    statement = """
        SELECT site, type, MAX(CASE WHEN day >= ?3 THEN peak ELSE 0 END), MAX(peak),
            MAX(CASE WHEN place = 1 THEN peak_at END), SUM(refused), SUM(denied)
        FROM (
            SELECT site, type, day, peak, peak_at, refused, denied,
                ROW_NUMBER() OVER (PARTITION BY site, type ORDER BY peak DESC, day DESC) AS place
            FROM site_day WHERE project_id = ?1 AND day >= ?2
        ) AS days GROUP BY site, type ORDER BY site, type
        """
    rows = tx.rows(statement, project_id, day, lately)
    return [SiteRow(row[0], row[1], row[2], row[3], row[4], int(row[5]), int(row[6])) for row in rows]


class RuleRow(NamedTuple):
    """The use and refusals of an allocation rule over some days."""

    rule: str
    license_type: str
    used: int
    unused: int
    refused: int


def rules_since(tx: Tx, project_id: int, *, day: int) -> list[RuleRow]:
    """Return allocation rules by name and type from a day on, removed rules included."""
    statement = (
        "SELECT rule, type, MAX(used), MIN(unused), SUM(refused) FROM rule_day WHERE project_id = ?1 AND day >= ?2"
        " GROUP BY rule, type ORDER BY rule, type"
    )
    rows = tx.rows(statement, project_id, day)
    return [RuleRow(row[0], row[1], row[2], row[3] or 0, int(row[4])) for row in rows]


def pools_since(tx: Tx, project_id: int, *, day: int) -> list[PoolPeak]:
    """Return the peaks of pools and of the balance from a day on, by day."""
    statement = (
        "SELECT project_id, device, type, day, peak, unused FROM pool_day WHERE project_id = ?1 AND day >= ?2"
        " ORDER BY day, device, type"
    )
    rows = tx.rows(statement, project_id, day)
    return [PoolPeak(*row) for row in rows]


def denied_since(tx: Tx, project_id: int, *, day: int, limit: int) -> list[DenialRow]:
    """Return holders that were denied from a day on, the latest first."""
    statement = (
        "SELECT project_id, day, pbx, holder, type, kind, site, reason, refused_at FROM denial"
        " WHERE project_id = ?1 AND day >= ?2 AND judged ORDER BY refused_at DESC, pbx, holder LIMIT ?3"
    )
    rows = tx.rows(statement, project_id, day, limit)
    return [DenialRow(*row) for row in rows]
