"""Everything that one master is made of, each part made when first asked for: who needs what reads off the arguments.

Makes parts and decides nothing; `app.py` starts and stops them. Randomness enters here.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata

from master.auth.budgets import Budgets
from master.auth.certificates import Certificates
from master.auth.limits import Buckets, CallerLimits, Shares
from master.domain.catalog import Catalog
from master.domain.leases import LeaseTime
from master.domain.overview import Overview
from master.leasing.agreements import Agreements, RenewalRound, UseRound
from master.leasing.alarms import AlarmRound
from master.leasing.audit import Audit
from master.leasing.committer import CommitLimits, Committer
from master.leasing.estates import Estates
from master.leasing.expiry import Expiry
from master.leasing.fair_queue import QueueLimits
from master.leasing.learning import LearningRound, Learnings
from master.leasing.lease_clock import LeaseClock, lease_times
from master.leasing.leases import Leases, RenewalPace
from master.leasing.licenses import Licenses, ReleaseRound
from master.leasing.lines import Lines
from master.leasing.moves import MoveRules
from master.leasing.periodic import Periodic
from master.leasing.projects import Projects
from master.leasing.pulse import Clocks, Pulse
from master.leasing.questions import QuestionLimits, Questions
from master.leasing.refused import RefusedBook
from master.leasing.reports import Reports
from master.leasing.status import Status
from master.leasing.telling import Teller, TellRound
from master.leasing.usage import UsageRound
from master.leasing.watch import LookRound, WatchHub
from master.leasing.webhooks import Webhooks
from master.metrics import EstateCollector, Metrics
from master.open_files import connections_allowed
from master.rpc.admission import caller_of_call
from master.rpc.agreement_service import AgreementService
from master.rpc.aside import Aside
from master.rpc.audit_service import AuditService
from master.rpc.convert.incoming import pbx_name
from master.rpc.gate import Gate, identity_of_call
from master.rpc.lease_service import LeaseService
from master.rpc.license_service import LicenseService
from master.rpc.metrics_page import MetricsPage
from master.rpc.plan_service import PlanService
from master.rpc.project_service import ProjectService
from master.rpc.report_service import ReportService
from master.rpc.server import CallBounds, Keepalive, Server
from master.rpc.standby_service import StandbyService
from master.rpc.status_service import StatusService
from master.rpc.webhook_service import WebhookService
from master.settings import Settings
from master.signing import Signer
from master.store.database import Database
from master.store.rehearsal import Rehearsals
from master.tasks import Tasks

VERSION = metadata.version("license-master")
_SCRAPE_TIMEOUT_SECONDS = 5.0
_BURST_SECONDS = 10.0
_CALLER_MESSAGES, _ALL_MESSAGES = 8, 32
"""How many larger messages of one caller are read at a time; of how many of full length it, and all callers together,
may have the bytes under way."""
_LATE_TIMES, _PATIENCE_TIMES = 2, 3
"""After how many times as long as the database may take a commit is doubted, and the database taken for away."""


@dataclass(kw_only=True)
class Parts:
    """The parts of a master; the fields are what must be there before any of them."""

    settings: Settings
    catalogs: Mapping[str, Catalog]
    database: Database
    clocks: Clocks
    lease_clock: LeaseClock | None
    """None where somebody else says what time it is."""
    clock: Callable[[], float]
    """The time that leases go by: UNIX seconds."""
    stepped_seconds: Callable[[], float]
    """How far it was set forward while leases were in force."""
    signer: Signer
    certificates: Certificates | None
    """None in plain text."""
    _scraped: asyncio.Future[list[Overview]] | None = field(default=None, init=False)

    # --- What keeps time and counts ---------------------------------------------------------------------------------

    @cached_property
    def metrics(self) -> Metrics:
        """All counters and gauges of this process."""
        metrics = Metrics()
        metrics.build.labels(VERSION).set(1)
        metrics.queue_length.set_function(lambda: len(self.committer))
        metrics.queue_seats.set_function(lambda: self.committer.seats_waiting)
        if (certificates := self.certificates) is not None:
            metrics.certificate_end.set_function(lambda: certificates.current.ends_at)
            metrics.certificate_files_usable.set_function(lambda: certificates.problem is None)
            metrics.revocations_due.set_function(lambda: certificates.current.revocations_due or 0)
        return metrics

    @cached_property
    def tasks(self) -> Tasks:
        """Everything that lasts as long as this master."""
        return Tasks(self.metrics)

    @cached_property
    def pulse(self) -> Pulse:
        """Whether the database answers, and what time it is there."""
        return Pulse(
            database=self.database,
            clocks=self.clocks,
            lease_clock=self.lease_clock,
            metrics=self.metrics,
            interval_seconds=self.settings.pulse_interval_seconds,
            patience_seconds=self.settings.database_timeout_seconds * _PATIENCE_TIMES,
            clock_offset_max_seconds=self.settings.clock_offset_max_seconds,
            tell=self._serves,
        )

    async def _serves(self, serving: bool) -> None:
        if serving:
            self.lines.serves_again()
        await self.server.set_health(serving=serving)

    @cached_property
    def lease_time(self) -> Callable[[], LeaseTime]:
        """What leases are judged by."""
        allowance = self.settings.clock_allowance_seconds
        return lease_times(self.clock, self.stepped_seconds, clock_allowance_seconds=allowance)

    # --- Leasing ----------------------------------------------------------------------------------------------------

    @cached_property
    def estates(self) -> Estates:
        """The projects as last read."""
        return Estates(self.catalogs, self.settings.pace)

    @cached_property
    def rehearsals(self) -> Rehearsals:
        """Dry runs, and what is judged before it is written."""
        return Rehearsals(self.questions)

    @cached_property
    def hub(self) -> WatchHub:
        """Who is to be told of what."""
        return WatchHub()

    @cached_property
    def questions(self) -> Questions:
        """The database as those see it who ask, and who change something else than leases."""
        limits = QuestionLimits(self.settings.caller_questions_max, self.settings.questions_max)
        return Questions(self.database, caller=_caller, limits=limits)

    @cached_property
    def committer(self) -> Committer:
        """Group commit."""
        limits = CommitLimits(
            queue=QueueLimits(
                length_max=self.settings.queue_length_max,
                seats_max=self.settings.queue_seats_max,
                bytes_max=self.settings.queue_bytes_max,
            ),
            batch_seats_max=self.settings.batch_seats_max,
            hold_seconds=self.settings.hold_seconds,
            retry_after_seconds=self.settings.retry_after_seconds,
            late_seconds=self.settings.database_timeout_seconds * _LATE_TIMES,
        )
        return Committer(
            self.database,
            self.estates,
            self.lease_time,
            limits,
            self.metrics,
            doubt=self.pulse.doubt,
            vigil=lambda: self.lines.vigil,
        )

    @cached_property
    def leases(self) -> Leases:
        """Leases, seats and standbys."""
        return Leases(
            database=self.database,
            questions=self.questions,
            rehearsals=self.rehearsals,
            estates=self.estates,
            committer=self.committer,
            hub=self.hub,
            lease_time=self.lease_time,
            renewal_pace=RenewalPace(self.settings.renew_jitter, random.Random()),
            metrics=self.metrics,
            refused=self.refused,
            learnings=self.learnings,
            lines=self.lines,
        )

    @cached_property
    def projects(self) -> Projects:
        """What estates consist of."""
        return Projects(
            questions=self.questions,
            rehearsals=self.rehearsals,
            estates=self.estates,
            hub=self.hub,
            lease_time=self.lease_time,
        )

    @cached_property
    def status(self) -> Status:
        """How things stand."""
        return Status(questions=self.questions, estates=self.estates, lease_time=self.lease_time)

    @cached_property
    def lines(self) -> Lines:
        """What is seen of PBXs that have a standby."""
        return Lines(
            database=self.database,
            estates=self.estates,
            clock=self.clock,
            token=lambda: secrets.token_hex(16),
            interval_seconds=self.settings.watch_interval_seconds,
            settle_seconds=self.settings.takeover_settle_seconds,
            renew_jitter=self.settings.renew_jitter,
        )

    @cached_property
    def refused(self) -> RefusedBook:
        """Refusals of late."""
        return RefusedBook(judged_after_seconds=self.settings.denied_after_seconds)

    @cached_property
    def learnings(self) -> Learnings:
        """What a restored master learns."""
        return learnings_of(self.settings, self.catalogs, self.database, self.lease_time, self.hub)

    @cached_property
    def licenses(self) -> Licenses:
        """Licenses, and the keys behind them."""
        return Licenses(
            database=self.questions,
            rehearsals=self.rehearsals,
            estates=self.estates,
            hub=self.hub,
            lease_time=self.lease_time,
            metrics=self.metrics,
            rules=MoveRules(self.settings.cooling_off_seconds, lambda: secrets.token_bytes(16)),
            token=lambda: secrets.token_urlsafe(24),
            enrollment_seconds=self.settings.enrollment_seconds,
        )

    @cached_property
    def agreements(self) -> Agreements:
        """Agreements over time, and their ledger."""
        return Agreements(
            database=self.questions,
            rehearsals=self.rehearsals,
            estates=self.estates,
            hub=self.hub,
            lease_time=self.lease_time,
            metrics=self.metrics,
        )

    @cached_property
    def teller(self) -> Teller:
        """Sends messages to webhooks."""
        return Teller(
            clock=self.clocks.wall,
            timeout_seconds=self.settings.webhook_timeout_seconds,
            agent=f"license-master/{VERSION}",
            ca_file=self.settings.webhook_ca_file,
            networks=self.settings.webhook_networks,
        )

    # --- What happens by itself -------------------------------------------------------------------------------------

    @cached_property
    def expiry(self) -> Expiry:
        """Takes back the seats of leases that ended."""
        return Expiry(
            database=self.database,
            committer=self.committer,
            hub=self.hub,
            lease_time=self.lease_time,
            metrics=self.metrics,
            interval_seconds=self.settings.expiry_interval_seconds,
            holders_max=self.settings.expiry_holders_max,
        )

    @cached_property
    def learning(self) -> LearningRound:
        """Ends learning."""
        return LearningRound(self.learnings, interval_seconds=self.settings.expiry_interval_seconds)

    @cached_property
    def releases(self) -> ReleaseRound:
        """Completes releases."""
        return ReleaseRound(self.licenses, interval_seconds=self.settings.release_interval_seconds)

    @cached_property
    def renewals(self) -> RenewalRound:
        """Orders the renewals that are due."""
        return RenewalRound(self.agreements, interval_seconds=self.settings.agreement_interval_seconds)

    @cached_property
    def uses(self) -> UseRound:
        """Takes licenses away whose use has ended."""
        return UseRound(self.agreements, interval_seconds=self.settings.release_interval_seconds)

    @cached_property
    def looks(self) -> LookRound:
        """Notices what other masters did."""
        return LookRound(self.database, self.hub, interval_seconds=self.settings.watch_interval_seconds)

    @cached_property
    def usage(self) -> UsageRound:
        """Writes the usage history."""
        return UsageRound(
            database=self.questions,
            estates=self.estates,
            book=self.refused,
            lease_time=self.lease_time,
            interval_seconds=self.settings.usage_interval_seconds,
            denied_after_seconds=self.settings.denied_after_seconds,
            days_max=self.settings.usage_days_max,
            names_days_max=self.settings.denied_names_days_max,
        )

    @cached_property
    def telling(self) -> TellRound:
        """Tells webhooks what they are to be told."""
        return TellRound(
            database=self.database,
            teller=self.teller,
            clock=self.clock,
            metrics=self.metrics,
            interval_seconds=self.settings.webhook_interval_seconds,
        )

    @cached_property
    def alarms(self) -> AlarmRound:
        """Notices what webhooks are to be told."""
        return AlarmRound(
            database=self.questions,
            estates=self.estates,
            lease_time=self.lease_time,
            tell=self.telling.look,
            interval_seconds=self.settings.webhook_interval_seconds,
        )

    @property
    def rounds(self) -> tuple[Periodic, ...]:
        """All of these, in the order in which they start."""
        gate = () if self.gate is None else (self.gate,)
        return (
            self.expiry,
            self.lines,
            self.learning,
            self.releases,
            self.renewals,
            self.uses,
            self.looks,
            self.usage,
            self.telling,
            self.alarms,
            *gate,
        )

    # --- Services ---------------------------------------------------------------------------------------------------

    @cached_property
    def gate(self) -> Gate | None:
        """Lets calls in; None in plain text."""
        if self.certificates is None:
            return None
        settings = self.settings
        share = CallerLimits(
            calls_per_second=settings.caller_calls_per_second,
            burst_seconds=_BURST_SECONDS,
            streams_max=settings.caller_streams_max,
            calls_max=settings.caller_calls_max,
            reads_max=_CALLER_MESSAGES,
            bytes_per_second=settings.message_bytes_max,
            bytes_max=settings.message_bytes_max * _CALLER_MESSAGES,
            all_bytes_max=settings.message_bytes_max * _ALL_MESSAGES,
        )
        return Gate(
            self.certificates,
            clock=self.clocks.wall,
            metrics=self.metrics,
            stands_in=self._stands_in,
            shares=Shares(share, time.monotonic),
            refusals=Buckets(
                per_second=settings.refused_calls_per_second,
                burst_seconds=_BURST_SECONDS,
                clock=time.monotonic,
                what="calls a second of a certificate that is refused",
            ),
        )

    async def _stands_in(self, standby: str, primary: str) -> bool:
        return await self.leases.stands_in(pbx_name(standby), pbx_name(primary))

    @cached_property
    def aside(self) -> Aside:
        """Where large requests are read."""
        return Aside(_caller)

    @cached_property
    def server(self) -> Server:
        """All services, on one port."""
        settings = self.settings
        return Server(
            lease_service=LeaseService(
                leases=self.leases,
                signer=self.signer,
                clock=self.clock,
                metrics=self.metrics,
                aside=self.aside,
                seats_per_call_max=settings.seats_per_call_max,
                streams_max=settings.streams_max,
            ),
            license_service=LicenseService(self.licenses, signer=self.signer, clock=self.clock),
            project_service=ProjectService(self.projects, self.learnings, aside=self.aside),
            standby_service=StandbyService(self.leases),
            status_service=StatusService(
                self.status,
                master_version=VERSION,
                seats_per_call_max=settings.seats_per_call_max,
                aside=self.aside,
            ),
            audit_service=AuditService(Audit(self.questions), signer=self.signer, clock=self.clock),
            plan_service=PlanService(self.projects),
            report_service=ReportService(Reports(self.questions, self.estates, self.lease_time)),
            webhook_service=WebhookService(self._webhooks),
            agreement_service=AgreementService(self.agreements),
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
            gate=self.gate,
        )

    @cached_property
    def _webhooks(self) -> Webhooks:
        return Webhooks(
            database=self.questions,
            estates=self.estates,
            teller=self.teller,
            clock=self.clock,
            secret=lambda: secrets.token_urlsafe(32),
        )

    def metrics_page(self) -> MetricsPage | None:
        """The page that Prometheus reads, served from now on until it is closed; None where it is not wanted.

        Raises:
            OSError: its address cannot be listened on.
        """
        if not self.settings.metrics_listen:
            return None
        loop = asyncio.get_running_loop()

        async def overviews() -> list[Overview]:
            """Scrapes that come while one is answered get the same answer."""
            if self._scraped is None or self._scraped.done():
                self._scraped = asyncio.ensure_future(self.status.overviews())
            return await asyncio.shield(self._scraped)

        def read() -> list[Overview] | None:
            reading = asyncio.run_coroutine_threadsafe(overviews(), loop)
            try:
                return reading.result(_SCRAPE_TIMEOUT_SECONDS)
            except TimeoutError:
                reading.cancel()
                if self.pulse.there.is_set():
                    return None
                raise

        self.metrics.registry.register(EstateCollector(read))
        return MetricsPage(
            self.settings.metrics_listen, self.metrics, certificates=self.certificates, clock=self.clocks.wall
        )


def _caller() -> str:
    """Who makes the call that is being served; nobody where the master does something by itself."""
    identity = identity_of_call.get()
    return identity.uri if identity is not None else caller_of_call.get("")


def learnings_of(
    settings: Settings,
    catalogs: Mapping[str, Catalog],
    database: Database,
    lease_time: Callable[[], LeaseTime],
    hub: WatchHub,
) -> Learnings:
    """What a restored master learns; also for the command that says so while no master serves."""
    return Learnings(
        database=database,
        catalogs=catalogs,
        default_pace=settings.pace,
        lease_time=lease_time,
        hub=hub,
    )
