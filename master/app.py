"""The composition root: settings in, a running license master out. Nothing else reads the clock or randomness.

Start at `serve`; it builds everything in the order in which things need each other, and takes it down in reverse.
"""

from __future__ import annotations

import asyncio
import gc
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata, resources

import structlog

from master.auth.certificates import Certificates
from master.auth.limits import CallerLimits, Shares
from master.domain.catalog import Catalog
from master.domain.catalog_file import read_catalog
from master.domain.overview import Overview
from master.leasing.agreements import Agreements, RenewalRound, UseRound
from master.leasing.audit import Audit
from master.leasing.committer import CommitLimits, Committer
from master.leasing.estates import Estates
from master.leasing.expiry import Expiry
from master.leasing.licenses import Licenses, ReleaseRound
from master.leasing.master import LicenseMaster, RenewalPace
from master.leasing.moves import MoveRules
from master.leasing.refused import RefusedBook
from master.leasing.reports import Reports
from master.leasing.telling import Teller, TellRound
from master.leasing.usage import UsageRound
from master.leasing.watch import LookRound, WatchHub
from master.leasing.webhooks import Webhooks
from master.metrics import EstateCollector, Metrics
from master.rpc.agreement_service import AgreementService
from master.rpc.audit_service import AuditService
from master.rpc.convert.incoming import pbx_name
from master.rpc.gate import Gate
from master.rpc.lease_service import LeaseService
from master.rpc.license_service import LicenseService
from master.rpc.metrics_page import MetricsPage
from master.rpc.plan_service import PlanService
from master.rpc.project_service import ProjectService
from master.rpc.report_service import ReportService
from master.rpc.server import Server
from master.rpc.standby_service import StandbyService
from master.rpc.status_service import StatusService
from master.rpc.webhook_service import WebhookService
from master.settings import Settings
from master.signing import Signer
from master.store import schema
from master.store.database import open_database
from master.store.keys import signing_key

_log = structlog.get_logger(__name__)
VERSION = metadata.version("license-master")
_SCRAPE_TIMEOUT_SECONDS = 5.0
_BURST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A master that serves."""

    port: int
    metrics_port: int
    """0 where there is no metrics page."""
    master: LicenseMaster
    expiry: Expiry
    releases: ReleaseRound
    hub: WatchHub
    server: Server
    usage: UsageRound
    telling: TellRound
    renewals: RenewalRound
    uses: UseRound
    gate: Gate | None
    """None in plain text."""
    metrics: Metrics


@asynccontextmanager
async def running(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[Running]:
    """A whole master, serving until the context ends.

    Raises:
        StorageError: the database cannot be used; says what to do.
        CatalogError: a catalog has a mistake.
        OSError: an address cannot be listened on.
        ValueError: nothing says how callers prove who they are, or the certificates cannot be used.
    """
    files = settings.certificate_files
    certificates = None if files is None else Certificates(files)
    catalogs = load_catalogs(settings)
    metrics = Metrics()
    metrics.build.labels(VERSION).set(1)
    database = open_database(settings.database_url)
    try:
        await schema.check(database)
        now = clock()
        signer = Signer(*await database.transact(lambda tx: signing_key(tx, fresh=Signer.fresh(), now=now)))
        estates = Estates(catalogs, settings.pace)
        limits = CommitLimits(
            queue_length_max=settings.queue_length_max,
            batch_seats_max=settings.batch_seats_max,
            hold_seconds=settings.hold_seconds,
            retry_after_seconds=settings.retry_after_seconds,
            clock_allowance_seconds=settings.clock_allowance_seconds,
        )
        committer = Committer(database, estates, clock, limits, metrics)
        metrics.queue_length.set_function(lambda: len(committer))
        hub = WatchHub()
        refused = RefusedBook(judged_after_seconds=settings.denied_after_seconds)
        master = LicenseMaster(
            database=database,
            estates=estates,
            committer=committer,
            hub=hub,
            clock=clock,
            default_pace=settings.pace,
            clock_allowance_seconds=settings.clock_allowance_seconds,
            renewal_pace=RenewalPace(settings.renew_jitter, random.Random()),
            metrics=metrics,
            refused=refused,
        )
        usage = UsageRound(
            database=database,
            estates=estates,
            book=refused,
            clock=clock,
            interval_seconds=settings.usage_interval_seconds,
            denied_after_seconds=settings.denied_after_seconds,
            days_max=settings.usage_days_max,
            names_days_max=settings.denied_names_days_max,
        )
        expiry = Expiry(
            database=database,
            committer=committer,
            hub=hub,
            clock=clock,
            metrics=metrics,
            interval_seconds=settings.expiry_interval_seconds,
            clock_allowance_seconds=settings.clock_allowance_seconds,
            holders_max=settings.expiry_holders_max,
        )
        licenses = Licenses(
            database=database,
            estates=estates,
            hub=hub,
            clock=clock,
            metrics=metrics,
            rules=MoveRules(settings.cooling_off_seconds, lambda: secrets.token_bytes(16)),
            token=lambda: secrets.token_urlsafe(24),
            enrollment_seconds=settings.enrollment_seconds,
        )
        releases = ReleaseRound(licenses, interval_seconds=settings.release_interval_seconds)
        agreements = Agreements(database=database, estates=estates, hub=hub, clock=clock, metrics=metrics)
        uses = UseRound(agreements, interval_seconds=settings.release_interval_seconds)
        renewals = RenewalRound(agreements, interval_seconds=settings.agreement_interval_seconds)
        teller = Teller(
            clock=clock, timeout_seconds=settings.webhook_timeout_seconds, agent=f"license-master/{VERSION}"
        )
        webhooks = Webhooks(
            database=database,
            estates=estates,
            teller=teller,
            clock=clock,
            secret=lambda: secrets.token_urlsafe(32),
        )
        telling = TellRound(
            database=database,
            estates=estates,
            teller=teller,
            clock=clock,
            metrics=metrics,
            interval_seconds=settings.webhook_interval_seconds,
        )
        look_round = LookRound(database, hub, interval_seconds=settings.watch_interval_seconds)

        async def stands_in(standby: str, primary: str) -> bool:
            return await master.stands_in(pbx_name(standby), pbx_name(primary))

        gate = None
        if certificates is not None:
            metrics.certificate_end.set_function(lambda: certificates.current.ends_at)
            share = CallerLimits(settings.caller_calls_per_second, _BURST_SECONDS, settings.caller_streams_max)
            gate = Gate(
                certificates,
                clock=clock,
                metrics=metrics,
                stands_in=stands_in,
                shares=Shares(share, time.monotonic),
            )
        server = Server(
            lease_service=LeaseService(
                master=master,
                signer=signer,
                clock=clock,
                metrics=metrics,
                seats_per_call_max=settings.seats_per_call_max,
                streams_max=settings.streams_max,
            ),
            license_service=LicenseService(licenses, signer=signer, clock=clock),
            project_service=ProjectService(master),
            standby_service=StandbyService(master),
            status_service=StatusService(
                master, master_version=VERSION, seats_per_call_max=settings.seats_per_call_max
            ),
            audit_service=AuditService(Audit(database), signer=signer, clock=clock),
            plan_service=PlanService(master),
            report_service=ReportService(Reports(database, estates, clock)),
            webhook_service=WebhookService(webhooks),
            agreement_service=AgreementService(agreements),
            metrics=metrics,
            message_bytes_max=settings.message_bytes_max,
            gate=gate,
        )
        page = _serve_metrics(settings, metrics, master, certificates, clock)
        try:
            committer.start()
            expiry.start()
            releases.start()
            look_round.start()
            usage.start()
            telling.start()
            renewals.start()
            uses.start()
            if gate is not None:
                gate.start()
            port = await server.start(settings.listen, certificates)
            metrics_port = page.port if page else 0
            _log.info("serving", listen=settings.listen, port=port, metrics_port=metrics_port, version=VERSION)
            rounds = (usage, telling, renewals, uses)
            yield Running(port, metrics_port, master, expiry, releases, hub, server, *rounds, gate, metrics)
        finally:
            hub.drain()
            await server.stop(settings.drain_seconds)
            if gate is not None:
                await gate.stop()
            await uses.stop()
            await renewals.stop()
            await telling.stop()
            await teller.close()
            await usage.stop()
            await look_round.stop()
            await releases.stop()
            await expiry.stop()
            await committer.stop()
            if page:
                await asyncio.to_thread(page.close)
    finally:
        await database.close()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let calls finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings):
        _collect_garbage_less_often()
        await stop.wait()
        _log.info("stopping")
    _log.info("stopped")


def _collect_garbage_less_often() -> None:
    """A storm makes a hundred thousand short-lived tuples and no cycles; looking for some took a fifth of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def load_catalogs(settings: Settings) -> dict[str, Catalog]:
    """The catalogs that come along and those that the settings name, by name.

    Raises:
        CatalogError: one has a mistake.
    """
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in resources.files("master.domain.catalogs").iterdir()
        if file.name.endswith(".toml")
    }
    texts |= {str(path): path.read_text(encoding="utf-8") for path in settings.catalog_files}
    return {catalog.name: catalog for catalog in (read_catalog(text, file=file) for file, text in texts.items())}


def _serve_metrics(
    settings: Settings,
    metrics: Metrics,
    master: LicenseMaster,
    certificates: Certificates | None,
    clock: Callable[[], float],
) -> MetricsPage | None:
    if not settings.metrics_listen:
        return None
    loop = asyncio.get_running_loop()

    def read() -> list[Overview]:
        return asyncio.run_coroutine_threadsafe(master.overviews(), loop).result(_SCRAPE_TIMEOUT_SECONDS)

    metrics.registry.register(EstateCollector(read))
    return MetricsPage(settings.metrics_listen, metrics, certificates=certificates, clock=clock)
