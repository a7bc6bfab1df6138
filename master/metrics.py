"""Every metric, by name, in one place; docs/metrics.md lists them and a test keeps the two alike.

What the database knows (pools, leases, limits) is read at each scrape. Labels are bounded: types and reasons by the
catalog and the code, devices and sites by the project, of which the smallest beyond `SITES_MAX` are added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from licensemaster.daemon.logs.lines import lines_lost
from master.domain.monitoring.overview import Overview

values.ValueClass = values.MutexValue  # in memory, where PROMETHEUS_MULTIPROC_DIR of another program would have files
SITES_MAX = 1000
"""Sites with series of their own; seats of the others are summed up under the site `_other`."""

_OTHER = "_other"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """The metrics that the process counts by itself."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(_LostLines())
        self.build = gauge("license_master_build_info", "Version of this master; always 1.", ["version"])
        self.seats_acquired = counter(
            "license_master_seats_acquired_total", "Seats newly granted, by license type.", ["type"]
        )
        self.seats_returned = counter("license_master_seats_returned_total", "Seats returned by PBXs.")
        self.seats_reclaimed = counter(
            "license_master_seats_reclaimed_total", "Seats taken back from leases that ran out."
        )
        self.seats_revoked = counter("license_master_seats_revoked_total", "Seats taken away by operators.")
        self.refusals = counter(
            "license_master_refusals_total", "Seats refused, by reason and license type.", ["reason", "type"]
        )
        self.site_refusals = counter(
            "license_master_site_refusals_total", "Seats refused, by site.", ["project", "site"]
        )
        self._refused_sites: set[tuple[str, str]] = set()
        self.leases_opened = counter("license_master_leases_opened_total", "Leases opened.")
        self.leases_renewed = counter("license_master_leases_renewed_total", "Leases renewed.")
        self.takeovers = counter(
            "license_master_takeovers_total", "Takeovers asked for by standbys, by result.", ["result"]
        )
        self.batch_requests = histogram("license_master_batch_requests", "Requests per group commit.", buckets=_COUNTS)
        self.batch_seconds = histogram(
            "license_master_batch_seconds", "Time to decide and commit a batch.", buckets=_SECONDS
        )
        self.task_up = gauge("license_master_task_up", "Whether a task of this master runs (0 or 1).", ["task"])
        self.task_failures = counter(
            "license_master_task_failures_total",
            "How often a task of this master ended, or failed in what it does.",
            ["task"],
        )
        self.queue_length = gauge("license_master_queue_length", "Requests waiting for a commit.")
        self.queue_seats = gauge("license_master_queue_seats", "Seats that requests waiting for a commit are about.")
        self.storage_failures = counter(
            "license_master_storage_failures_total", "Batches the database failed, by problem.", ["problem"]
        )
        self.storage_problem = gauge(
            "license_master_storage_problem", "1 for why this master serves nobody, while it does not.", ["problem"]
        )
        self.lease_clock = gauge(
            "license_master_lease_clock_timestamp_seconds", "The time that leases and all times of the estate go by."
        )
        self.clock_offset = gauge("license_master_clock_offset_seconds", "This machine's clock less the database's.")
        self.clock_ahead = gauge(
            "license_master_clock_ahead_seconds",
            "The time that leases go by less the database's clock: more than a little where that was set back.",
        )
        self.clock_stepped = gauge(
            "license_master_clock_stepped_seconds",
            "How much longer the seats of ended leases wait, because the database's clock was set forward.",
        )
        self.webhook_messages = counter(
            "license_master_webhook_messages_total",
            "Messages sent to webhooks, by whether they were taken.",
            ["result"],
        )
        self.watch_streams = gauge("license_master_watch_streams", "Open WatchLease streams.")
        self.calls_denied = counter(
            "license_master_calls_denied_total", "Callers turned away for who they are, by reason.", ["reason"]
        )
        self.calls_waiting = gauge("license_master_calls_waiting", "Calls that wait for their caller's turn.")
        self.tls_handshakes = counter("license_master_tls_handshakes_total", "TLS handshakes begun on the gRPC port.")
        self.certificate_end = gauge(
            "license_master_certificate_end_timestamp_seconds", "End of this master's own certificate; 0 in plain text."
        )
        self.certificate_files_usable = gauge(
            "license_master_certificate_files_usable",
            "Whether the certificate files as they are now are the ones in use (0 or 1); 1 in plain text.",
        )
        self.certificate_files_usable.set(1)
        self.revocations_due = gauge(
            "license_master_revocations_due_timestamp_seconds",
            "When a newer list of revoked certificates is due; 0 where none is said to be.",
        )
        self.rpc_handled = counter(
            "grpc_server_handled_total",
            "RPCs completed, by service, method and status code.",
            ["grpc_service", "grpc_method", "grpc_code"],
        )
        self.rpc_seconds = histogram(
            "grpc_server_handling_seconds", "Time to answer an RPC.", ["grpc_service", "grpc_method"], buckets=_SECONDS
        )

    def site_refused(self, project: str, site: str, seats: int) -> None:
        """Count seats refused to a site; sites beyond the first `SITES_MAX` that met a refusal share a series."""
        if (project, site) not in self._refused_sites:
            if len(self._refused_sites) >= SITES_MAX:
                site = _OTHER
            else:
                self._refused_sites.add((project, site))
        self.site_refusals.labels(project, site).inc(seats)


class _LostLines(Collector):
    """The log of the process counts for itself."""

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "license_master_log_lines_lost_total", "Lines of the log that could not be written.", value=lines_lost()
        )


class EstateCollector(Collector):
    """Reads the estates at each scrape."""

    def __init__(self, read: Callable[[], Sequence[Overview] | None]) -> None:
        """`read` returns None where the database answers, but too slowly because too much is asked of it."""
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all projects; only `license_master_up` where the database does not answer, or not in
        time.
        """
        up = GaugeMetricFamily("license_master_up", "Whether the database answers.")
        try:
            estates = self._read()
        except Exception:  # a scrape must not fail because the database does
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *_families(estates or ())]

    def describe(self) -> Iterable[Metric]:
        """Return the names of the metrics; nothing is read."""
        return _families([])


def _families(estates: Sequence[Overview]) -> list[Metric]:
    families: list[Metric] = []

    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=labels)
        families.append(family)
        return family

    pool = ["project", "device", "type"]
    capacity = gauge("license_master_pool_capacity", "Licenses installed.", *pool)
    used = gauge("license_master_pool_used", "Seats held.", *pool)
    reserved_used = gauge("license_master_pool_reserved_used", "Seats held that are of reserves.", *pool)
    held_idle = gauge("license_master_pool_held_idle", "Seats of blocks that are not held.", *pool)
    borrowed = gauge("license_master_pool_borrowed", "Seats borrowed that are not held.", *pool)
    first_claims = gauge("license_master_pool_first_claims", "Seats kept for PBXs whose lease ran out.", *pool)
    promised = gauge(
        "license_master_pool_promised", "Seats promised to a standby, or to a PBX that was cut off.", *pool
    )
    leaving = gauge("license_master_pool_leaving", "Licenses being released that nobody uses any more.", *pool)
    withheld = gauge(
        "license_master_pool_withheld",
        "Licenses that nobody is granted while a feature is off or the master learns.",
        *pool,
    )
    overdrawn = gauge("license_master_pool_overdrawn", "Seats counted above what is installed.", *pool)
    overdraft_left = gauge(
        "license_master_pool_overdraft_left_seat_hours", "What is left of the budget of a pool's overdraft.", *pool
    )
    reserved_idle = gauge("license_master_pool_reserved_idle", "Seats free for owners of reserves alone.", *pool)
    free = gauge("license_master_pool_free", "Seats that could be granted to anybody.", *pool)
    waiting = gauge("license_master_pool_waiting", "Seats that PBXs wait for.", *pool)
    share = ["project", "site", "type"]
    site_has = gauge("license_master_site_has", "Seats counted for a site, of pools that are divided.", *share)
    site_wants = gauge("license_master_site_wants", "The same with those that it waits for.", *share)
    site_gets = gauge("license_master_site_gets", "What it would have if the pool were dealt anew.", *share)
    feature = gauge(
        "license_master_feature_on", "Whether a feature that must match another type is on (0 or 1).", *pool
    )
    sites = gauge("license_master_site_seats", "Seats debited.", "project", "site", "type")
    leases = gauge("license_master_leases", "PBXs by state of their lease.", "project", "state")
    limit = gauge("license_master_version_limit", "Highest software version of an installation.", "project", "device")
    above = gauge("license_master_pbxs_above_version_limit", "PBXs that run more than that.", "project", "device")
    pair = ["project", "standby", "primary"]
    ready = gauge("license_master_standby_ready", "Whether a standby could take over now (0 or 1).", *pair)
    carrying = gauge("license_master_standby_carrying", "Whether it has taken over (0 or 1).", *pair)
    lease_end = gauge(
        "license_master_standby_lease_end_timestamp_seconds",
        "End of the signed standby lease that the standby has.",
        *pair,
    )
    conflict = gauge(
        "license_master_standby_two_claims_timestamp_seconds",
        "When both were last found to have used the seats at the same time.",
        *pair,
    )
    silent = gauge(
        "license_master_site_silent_since_timestamp_seconds",
        "When the silent PBXs of a site were last heard of.",
        "project",
        "site",
    )
    agreement_end = gauge(
        "license_master_agreement_end_timestamp_seconds", "When the first service agreement ends.", *pool
    )
    learning_end = gauge(
        "license_master_learning_end_timestamp_seconds",
        "Until when nothing is granted but what was proven, after a restore.",
        "project",
    )
    unplaced = gauge("license_master_learning_unplaced_seats", "Seats proven without a license to debit.", "project")
    dead = gauge(
        "license_master_webhook_dead_messages",
        "Messages that a webhook did not take in all attempts.",
        "project",
        "webhook",
    )
    term_end = gauge(
        "license_master_term_end_timestamp_seconds",
        "When the first term of a policy ends.",
        "project",
        "policy",
        "stops",
    )
    for estate in estates:
        if estate.learning is not None:
            learning_end.add_metric([estate.project], estate.learning.learning.until)
            unplaced.add_metric([estate.project], estate.learning.seats_unplaced)
        for webhook, messages in estate.dead_messages.items():
            dead.add_metric([estate.project, webhook], messages)
        for judged in estate.pairs:
            labels = [estate.project, judged.standby.name, judged.primary.name]
            record = judged.state.record
            ready.add_metric(labels, int(judged.ready))
            carrying.add_metric(labels, int(judged.carrying))
            if record is not None and record.acknowledged_serial:
                lease_end.add_metric(labels, record.acknowledged_ends_at)
            if record is not None and record.two_claims_at is not None:
                conflict.add_metric(labels, record.two_claims_at)
        for pool_view in estate.pools:
            labels = [estate.project, pool_view.device, pool_view.license_type]
            capacity.add_metric(labels, pool_view.capacity)
            used.add_metric(labels, pool_view.parts.used)
            counts = pool_view.parts.counts
            reserved_used.add_metric(labels, counts.reserved_used)
            held_idle.add_metric(labels, counts.held_idle)
            borrowed.add_metric(labels, counts.borrowed)
            first_claims.add_metric(labels, counts.first_claims)
            promised.add_metric(labels, counts.promised)
            leaving.add_metric(labels, pool_view.parts.leaving)
            withheld.add_metric(labels, pool_view.parts.withheld)
            reserved_idle.add_metric(labels, pool_view.parts.reserved_idle)
            free.add_metric(labels, pool_view.parts.free)
            overdrawn.add_metric(labels, pool_view.parts.overdrawn)
            if pool_view.overdraft is not None:
                overdraft_left.add_metric(labels, pool_view.overdraft.budget_left_seat_hours)
            waiting.add_metric(labels, pool_view.waiting)
            feature.add_metric(labels, int(pool_view.feature_on))
        for (site, license_type), seats in _bounded(estate.site_seats).items():
            sites.add_metric([estate.project, site, license_type], seats)
        shares = sorted(estate.shares, key=lambda share: (share.gets - share.has, share.site, share.license_type))
        for site_share in shares[-SITES_MAX:]:  # those that lack most
            labels = [estate.project, site_share.site, site_share.license_type]
            site_has.add_metric(labels, site_share.has)
            site_wants.add_metric(labels, site_share.wants)
            site_gets.add_metric(labels, site_share.gets)
        longest_silent = sorted(estate.silent_since.items(), key=lambda pbx_since: (pbx_since[1], pbx_since[0]))
        for site, since in longest_silent[:SITES_MAX]:
            silent.add_metric([estate.project, site], since)
        for (device, license_type), ends_at in estate.agreement_ends.items():
            agreement_end.add_metric([estate.project, device, license_type], ends_at)
        first_ends: dict[tuple[str, str], float] = {}
        for one_end in estate.endings:
            first_ends.setdefault((one_end.policy, "true" if one_end.stops else "false"), one_end.ends_at)
        for (policy, stops), ends_at in first_ends.items():
            term_end.add_metric([estate.project, policy, stops], ends_at)
        for state, pbxs in estate.leases.items():
            leases.add_metric([estate.project, state.name.lower()], pbxs)
        for view in estate.limits:
            above.add_metric([estate.project, view.device], len(view.pbxs_above))
            if view.version is not None:
                limit.add_metric([estate.project, view.device], view.version)
    return families


def _bounded(site_seats: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    by_site: defaultdict[str, int] = defaultdict(int)
    for (site, _), seats in site_seats.items():
        by_site[site] += seats
    kept = set(sorted(by_site, key=lambda site: (-by_site[site], site))[:SITES_MAX])
    bounded: defaultdict[tuple[str, str], int] = defaultdict(int)
    for (site, license_type), seats in site_seats.items():
        bounded[site if site in kept else _OTHER, license_type] += seats
    return dict(bounded)
