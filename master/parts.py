"""Everything that one master is made of, each part made when first asked for: who needs what reads off the arguments.

Makes parts and decides nothing; `app.py` starts and stops them. What the services stand on is in `service_parts.py`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import cached_property

from licensemaster.daemon.open_files import connections_allowed
from master.auth.callers.authorization import Authorization
from master.auth.callers.budgets import Budgets
from master.auth.callers.limits import CallerLimits, Paces, Shares
from master.domain.monitoring.overview import Overview
from master.metrics import EstateCollector
from master.rpc.admission.authorizer import Allowances, Authorizer
from master.rpc.admission.large_requests import Aside
from master.rpc.admission.turns import WAIT_SECONDS_MAX
from master.rpc.convert.incoming import pbx_name
from master.rpc.server.metrics_page import MetricsPage
from master.rpc.server.server import CallBounds, Keepalive, Server
from master.rpc.services.agreement_service import AgreementService
from master.rpc.services.allocation_service import AllocationService
from master.rpc.services.audit_service import AuditService
from master.rpc.services.lease_service import LeaseLimits, LeaseService
from master.rpc.services.license_service import LicenseService
from master.rpc.services.loan_service import LoanService
from master.rpc.services.plan_service import PlanService
from master.rpc.services.project_service import ProjectService
from master.rpc.services.report_service import ReportService
from master.rpc.services.standby_service import StandbyService
from master.rpc.services.status_service import StatusService
from master.rpc.services.webhook_service import WebhookService
from master.service.leases.expiry import Expiry
from master.service.monitoring.alarms import AlarmTask
from master.service.monitoring.audit import Audit
from master.service.monitoring.usage import UsageTask
from master.service.monitoring.webhook_delivery import WebhookDelivery
from master.service.monitoring.webhooks import Webhooks
from master.service.runtime.periodic import PeriodicCall, PeriodicTask, RareCall
from master.service.runtime.watch import ChangePoller
from master.service_parts import VERSION, ServiceParts, current_caller

_SCRAPE_TIMEOUT_SECONDS = 5.0
_BURST_SECONDS = 4.0
_CALLER_MESSAGES, _ALL_MESSAGES = 8, 32
"""How many messages of one caller are read at a time; of how many of full length it, and all callers together,
may have the bytes under way."""


class Parts(ServiceParts, kw_only=True):
    """All parts of a master: what happens by itself and the services that are called, on what keeps the state."""

    _scraped: asyncio.Future[list[Overview]] | None = None

    # --- What happens by itself -------------------------------------------------------------------------------------

    @cached_property
    def expiry(self) -> Expiry:
        """Takes back the seats of leases that ended."""
        return Expiry(
            self.context,
            committer=self.committer,
            interval_seconds=self.settings.expiry_interval_seconds,
            holders_max=self.settings.expiry_holders_max,
        )

    @cached_property
    def usage(self) -> UsageTask:
        return UsageTask(
            self.context,
            denials=self.refused,
            interval_seconds=self.settings.usage_interval_seconds,
            denied_after_seconds=self.settings.denied_after_seconds,
            days_max=self.settings.usage_days_max,
            names_days_max=self.settings.denied_names_days_max,
        )

    @cached_property
    def webhook_delivery(self) -> WebhookDelivery:
        """Sends webhooks their messages."""
        return WebhookDelivery(
            database=self.database,
            webhook_sender=self.webhook_sender,
            clock=self.clock,
            metrics=self.metrics,
            interval_seconds=self.settings.webhook_interval_seconds,
        )

    @cached_property
    def alarms(self) -> AlarmTask:
        """Notices what webhooks get messages about."""
        return AlarmTask(
            self.context, send=self.webhook_delivery.run_once, interval_seconds=self.settings.webhook_interval_seconds
        )

    @cached_property
    def periodic_tasks(self) -> tuple[PeriodicTask, ...]:
        """All periodic tasks, in the order in which they start."""
        expiry_seconds = self.settings.expiry_interval_seconds
        release_seconds = self.settings.release_interval_seconds
        renew, renewal_seconds = self.agreements.renew_and_reconcile, self.settings.agreement_interval_seconds
        poller = ChangePoller(self.database, self.hub, interval_seconds=self.settings.watch_interval_seconds)
        authorizer = () if self.authorizer is None else (self.authorizer,)
        return (
            self.expiry,
            self.leases.waiting,
            self.stream_recorder,
            PeriodicCall("LearningTask", self.learnings.end_what_is_over, interval_seconds=expiry_seconds),
            PeriodicCall("ReleaseTask", self.licenses.complete_releases, interval_seconds=release_seconds),
            PeriodicCall("ShrinkTask", self.licenses.shrink_pools, interval_seconds=release_seconds),
            RareCall("AutoRenewalTask", renew, interval_seconds=renewal_seconds),
            PeriodicCall("AgreementUseTask", self.agreements.end_uses, interval_seconds=release_seconds),
            *((poller,) if self.database.is_shared else ()),
            self.usage,
            self.webhook_delivery,
            self.alarms,
            *authorizer,
        )

    # --- Services ---------------------------------------------------------------------------------------------------

    @cached_property
    def authorizer(self) -> Authorizer | None:
        """Checks who may call; None in plain text."""
        if self.certificates is None:
            return None
        settings = self.settings
        share = CallerLimits(
            burst_seconds=_BURST_SECONDS,
            streams_max=settings.caller_streams_max,
            calls_max=settings.caller_calls_max,
            reads_max=_CALLER_MESSAGES,
            bytes_per_second=settings.message_bytes_max,
            bytes_max=settings.message_bytes_max * _CALLER_MESSAGES,
            all_bytes_max=settings.message_bytes_max * _ALL_MESSAGES,
        )
        return Authorizer(
            self.certificates,
            clock=self.clocks.wall,
            metrics=self.metrics,
            authorization=Authorization(self._stands_in),
            allowances=Allowances(
                shares=Shares(share, time.monotonic),
                calls=_paces(settings.caller_calls_per_second),
                refusals=_paces(settings.refused_calls_per_second),
            ),
        )

    async def _stands_in(self, standby: str, primary: str) -> bool:
        return await self.leases.stands_in(pbx_name(standby), pbx_name(primary))

    @cached_property
    def aside(self) -> Aside:
        return Aside(current_caller)

    async def _serves(self, serving: bool) -> None:
        await super()._serves(serving)
        self.server.health.set(serving=serving)

    @cached_property
    def server(self) -> Server:
        settings, sender = self.settings, self.webhook_sender
        webhooks = Webhooks(self.context, webhook_sender=sender, secret=lambda: secrets.token_urlsafe(32))
        services = [
            LeaseService(
                leases=self.leases,
                signer=self.signer,
                clock=self.clock,
                metrics=self.metrics,
                aside=self.aside,
                limits=LeaseLimits(settings.seats_per_call_max, settings.streams_max),
            ),
            LicenseService(self.licenses, signer=self.signer, clock=self.clock),
            ProjectService(self.projects, self.learnings, aside=self.aside),
            AllocationService(self.projects, self.leases, self.committer),
            LoanService(self.leases, self.committer, signer=self.signer, clock=self.clock),
            StandbyService(self.leases),
            StatusService(
                self.status, master_version=VERSION, seats_per_call_max=settings.seats_per_call_max, aside=self.aside
            ),
            AuditService(Audit(self.questions), signer=self.signer, clock=self.clock),
            PlanService(self.context),
            ReportService(self.context),
            WebhookService(webhooks),
            AgreementService(self.agreements),
        ]
        return Server(
            services,
            metrics=self.metrics,
            bounds=CallBounds(
                budgets=Budgets(settings.message_bytes_max, settings.seats_per_call_max),
                aside=self.aside,
                message_seconds=settings.message_timeout_seconds,
                handshake_seconds=settings.handshake_timeout_seconds,
                connection_calls_max=None if settings.plaintext else settings.connection_calls_max,
                connections_max=connections_allowed(),
            ),
            keepalive=Keepalive(settings.keepalive_seconds, settings.keepalive_timeout_seconds),
            authorizer=self.authorizer,
        )

    def metrics_page(self) -> MetricsPage | None:
        """Serve the page that Prometheus reads, until it is closed; return None where no page is wanted.
        Raises OSError if its address cannot be listened on."""
        if not self.settings.metrics_listen:
            return None
        loop = asyncio.get_running_loop()

        async def overviews() -> list[Overview]:
            """Return the overviews; scrapes that come while one is answered get the same answer."""
            if self._scraped is None or self._scraped.done():
                self._scraped = asyncio.ensure_future(self.status.overviews())
            return await asyncio.shield(self._scraped)

        def read() -> list[Overview] | None:
            reading = asyncio.run_coroutine_threadsafe(overviews(), loop)
            try:
                return reading.result(_SCRAPE_TIMEOUT_SECONDS)
            except TimeoutError:
                reading.cancel()
                if self.database_health.there.is_set():
                    return None
                raise

        self.metrics.registry.register(EstateCollector(read))
        return MetricsPage(
            self.settings.metrics_listen, self.metrics, certificates=self.certificates, clock=self.clocks.wall
        )


def _paces(per_second: float) -> Paces:
    return Paces(
        per_second=per_second, burst_seconds=_BURST_SECONDS, clock=time.monotonic, wait_seconds_max=WAIT_SECONDS_MAX
    )
