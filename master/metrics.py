"""Every metric, by name, in one place; docs/metrics.md lists them and a test keeps the two alike.

What the database knows (pools, leases, limits) is read at each scrape. Labels are bounded: types and reasons by the
catalog and the code, devices and sites by the project, of which the smallest beyond `SITES_MAX` are added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


_POOL, _SITE, _PAIR, _PROJECT = ("device", "type"), ("site", "type"), ("standby", "primary"), ()
_OF_ESTATES: Mapping[str, tuple[str, Sequence[str]]] = {
    "license_master_pool_capacity": ("Licenses installed.", _POOL),
    "license_master_pool_used": ("Seats held.", _POOL),
    "license_master_pool_reserved_used": ("Seats held that are of reserves.", _POOL),
    "license_master_pool_held_idle": ("Seats of blocks that are not held.", _POOL),
    "license_master_pool_borrowed": ("Seats borrowed that are not held.", _POOL),
    "license_master_pool_first_claims": ("Seats kept for PBXs whose lease ran out.", _POOL),
    "license_master_pool_promised": ("Seats promised to a standby, or to a PBX that was cut off.", _POOL),
    "license_master_pool_leaving": ("Licenses being released that nobody uses any more.", _POOL),
    "license_master_pool_withheld": (
        "Licenses that nobody is granted while a feature is off or the master learns.", _POOL,
    ),
    "license_master_pool_overdrawn": ("Seats counted above what is installed.", _POOL),
    "license_master_pool_overdraft_left_seat_hours": ("What is left of the budget of a pool's overdraft.", _POOL),
    "license_master_pool_reserved_idle": ("Seats free for owners of reserves alone.", _POOL),
    "license_master_pool_free": ("Seats that could be granted to anybody.", _POOL),
    "license_master_pool_waiting": ("Seats that PBXs wait for.", _POOL),
    "license_master_site_has": ("Seats counted for a site, of pools that are divided.", _SITE),
    "license_master_site_wants": ("The same with those that it waits for.", _SITE),
    "license_master_site_gets": ("What it would have if the pool were dealt anew.", _SITE),
    "license_master_feature_on": ("Whether a feature that must match another type is on (0 or 1).", _POOL),
    "license_master_site_seats": ("Seats debited.", _SITE),
    "license_master_leases": ("PBXs by state of their lease.", ("state",)),
    "license_master_version_limit": ("Highest software version of an installation.", ("device",)),
    "license_master_pbxs_above_version_limit": ("PBXs that run more than that.", ("device",)),
    "license_master_standby_ready": ("Whether a standby could take over now (0 or 1).", _PAIR),
    "license_master_standby_carrying": ("Whether it has taken over (0 or 1).", _PAIR),
    "license_master_standby_lease_end_timestamp_seconds": (
        "End of the signed standby lease that the standby has.", _PAIR,
    ),
    "license_master_standby_two_claims_timestamp_seconds": (
        "When both were last found to have used the seats at the same time.", _PAIR,
    ),
    "license_master_site_silent_since_timestamp_seconds": (
        "When the silent PBXs of a site were last heard of.", ("site",),
    ),
    "license_master_agreement_end_timestamp_seconds": ("When the first service agreement ends.", _POOL),
    "license_master_learning_end_timestamp_seconds": (
        "Until when nothing is granted but what was proven, after a restore.", _PROJECT,
    ),
    "license_master_learning_unplaced_seats": ("Seats proven without a license to debit.", _PROJECT),
    "license_master_webhook_dead_messages": (
        "Messages that a webhook did not take in all attempts.", ("webhook",),
    ),
    "license_master_term_end_timestamp_seconds": ("When the first term of a policy ends.", ("policy", "stops")),
}  # fmt: skip
"""The gauges of estates, each with its help and its labels behind that of the project."""


def _families(estates: Sequence[Overview]) -> list[Metric]:
    families = {
        name: GaugeMetricFamily(name, text, labels=("project", *labels)) for name, (text, labels) in _OF_ESTATES.items()
    }
    by_name = {name.removeprefix("license_master_"): family for name, family in families.items()}
    for estate in estates:
        for name, value, labels in _values(estate):
            by_name[name].add_metric(labels, value)
    return list(families.values())


def _values(estate: Overview) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    """Yield the values of one estate, each with its gauge's name without prefix before it, and its labels behind it."""
    project = (estate.project,)
    if estate.learning is not None:
        yield "learning_end_timestamp_seconds", estate.learning.learning.until, project
        yield "learning_unplaced_seats", estate.learning.seats_unplaced, project
    for webhook, messages in estate.dead_messages.items():
        yield "webhook_dead_messages", messages, (*project, webhook)
    for judged in estate.pairs:
        pair, record = (*project, judged.standby.name, judged.primary.name), judged.state.record
        yield "standby_ready", int(judged.ready), pair
        yield "standby_carrying", int(judged.carrying), pair
        if record is not None and record.acknowledged_serial:
            yield "standby_lease_end_timestamp_seconds", record.acknowledged_ends_at, pair
        if record is not None and record.two_claims_at is not None:
            yield "standby_two_claims_timestamp_seconds", record.two_claims_at, pair
    for view in estate.pools:
        pool = (*project, view.device, view.license_type)
        yield "pool_capacity", view.capacity, pool
        for part in ("used", "leaving", "withheld", "reserved_idle", "free", "overdrawn"):
            yield f"pool_{part}", getattr(view.parts, part), pool
        for part in ("reserved_used", "held_idle", "borrowed", "first_claims", "promised"):
            yield f"pool_{part}", getattr(view.parts.counts, part), pool
        if view.overdraft is not None:
            yield "pool_overdraft_left_seat_hours", view.overdraft.budget_left_seat_hours, pool
        yield "pool_waiting", view.waiting, pool
        yield "feature_on", int(view.feature_on), pool
    for (site, license_type), seats in _bounded(estate.site_seats).items():
        yield "site_seats", seats, (*project, site, license_type)
    shares = sorted(estate.shares, key=lambda share: (share.gets - share.has, share.site, share.license_type))
    for share in shares[-SITES_MAX:]:  # those that lack most
        for part in ("has", "wants", "gets"):
            yield f"site_{part}", getattr(share, part), (*project, share.site, share.license_type)
    longest_silent = sorted(estate.silent_since.items(), key=lambda pbx_since: (pbx_since[1], pbx_since[0]))
    for site, since in longest_silent[:SITES_MAX]:
        yield "site_silent_since_timestamp_seconds", since, (*project, site)
    for (device, license_type), ends_at in estate.agreement_ends.items():
        yield "agreement_end_timestamp_seconds", ends_at, (*project, device, license_type)
    first_ends: dict[tuple[str, str], float] = {}
    for end in estate.endings:
        first_ends.setdefault((end.policy, "true" if end.stops else "false"), end.ends_at)
    for (policy, stops), ends_at in first_ends.items():
        yield "term_end_timestamp_seconds", ends_at, (*project, policy, stops)
    for state, pbxs in estate.leases.items():
        yield "leases", pbxs, (*project, state.name.lower())
    for limit in estate.limits:
        yield "pbxs_above_version_limit", len(limit.pbxs_above), (*project, limit.device)
        if limit.version is not None:
            yield "version_limit", limit.version, (*project, limit.device)


def _bounded(site_seats: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    by_site: defaultdict[str, int] = defaultdict(int)
    for (site, _), seats in site_seats.items():
        by_site[site] += seats
    kept = set(sorted(by_site, key=lambda site: (-by_site[site], site))[:SITES_MAX])
    bounded: defaultdict[tuple[str, str], int] = defaultdict(int)
    for (site, license_type), seats in site_seats.items():
        bounded[site if site in kept else _OTHER, license_type] += seats
    return dict(bounded)
