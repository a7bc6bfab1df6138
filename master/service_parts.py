"""What keeps leases, licenses and agreements, each part made when first asked for; `parts.py` adds who calls it.

Makes parts and decides nothing. Randomness enters here.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import metadata

from msgspec import Struct

from master.auth.certificates.certificates import Certificates
from master.domain.catalog.catalog import Catalog
from master.domain.estate.lease_time import LeaseTime
from master.metrics import Metrics
from master.process.tasks import Tasks
from master.rpc.admission.admission import caller_of_call
from master.rpc.admission.authorizer import identity_of_call
from master.service.agreements.agreements import Agreements
from master.service.estates.estate_cache import EstateCache
from master.service.estates.service_context import ServiceContext
from master.service.leases.committer import CommitLimits, Committer
from master.service.leases.learning import Learnings
from master.service.leases.leases import Leases, RenewalPace
from master.service.leases.status import Status
from master.service.leases.streams import StreamRecorder
from master.service.licenses.licenses import Licenses
from master.service.licenses.moves import MoveRules
from master.service.monitoring.denial_buffer import DenialBuffer
from master.service.monitoring.webhook_delivery import WebhookSender
from master.service.projects.projects import Projects
from master.service.runtime.database_health import Clocks, DatabaseHealth, HealthTimes
from master.service.runtime.fair_queue import QueueLimits
from master.service.runtime.lease_clock import LeaseClock, lease_times
from master.service.runtime.questions import QuestionLimits, Questions
from master.service.runtime.watch import WatchHub
from master.settings import Settings
from master.signing import Signer
from master.store.backends.database import Database
from master.store.dry_runs.rehearsals import Rehearsals

VERSION = metadata.version("license-master")
_LATE_TIMES, _ANSWER_TIMES = 2, 3
"""How many times the database's time limit may pass before a commit is doubted, and before the database
counts as away.
"""


class ServiceParts(Struct, kw_only=True, dict=True):
    """The parts that keep leases, licenses and agreements; the fields are what must exist before any of these parts."""

    settings: Settings
    catalogs: Mapping[str, Catalog]
    database: Database
    clocks: Clocks
    lease_clock: LeaseClock | None
    """The clock that leases go by; None where the caller gives another clock."""
    clock: Callable[[], float]
    """The time that leases go by: UNIX seconds."""
    stepped_seconds: Callable[[], float]
    """How many seconds the time was set forward while leases were in force."""
    signer: Signer
    certificates: Certificates | None
    """The master's certificates; None in plain text."""

    # --- What keeps time and counts ---------------------------------------------------------------------------------

    @cached_property
    def metrics(self) -> Metrics:
        """All counters and gauges of this process."""
        metrics = Metrics()
        metrics.build.labels(VERSION).set(1)
        metrics.lease_clock.set_function(self.clock)
        metrics.queue_length.set_function(lambda: len(self.committer))
        metrics.queue_seats.set_function(lambda: self.committer.seats_waiting)
        if (certificates := self.certificates) is not None:
            metrics.certificate_end.set_function(lambda: certificates.current.ends_at)
            metrics.certificate_files_usable.set_function(lambda: certificates.problem is None)
            metrics.revocations_due.set_function(lambda: certificates.current.revocations_due or 0)
        return metrics

    @cached_property
    def tasks(self) -> Tasks:
        """The tasks that last as long as this master."""
        return Tasks(self.metrics)

    @cached_property
    def database_health(self) -> DatabaseHealth:
        """Whether the database answers, and what time it is there."""
        return DatabaseHealth(
            database=self.database,
            clocks=self.clocks,
            lease_clock=self.lease_clock,
            metrics=self.metrics,
            times=HealthTimes(
                interval_seconds=self.settings.database_health_interval_seconds,
                answer_seconds_max=self.settings.database_timeout_seconds * _ANSWER_TIMES,
                clock_offset_max_seconds=self.settings.clock_offset_max_seconds,
            ),
            tell=self._serves,
        )

    async def _serves(self, serving: bool) -> None:
        """Note whether the database answers again, or no longer."""
        if serving:
            self.stream_recorder.serves_again()

    @cached_property
    def lease_time(self) -> Callable[[], LeaseTime]:
        allowance = self.settings.clock_allowance_seconds
        return lease_times(self.clock, self.stepped_seconds, clock_allowance_seconds=allowance)

    # --- Leasing ----------------------------------------------------------------------------------------------------

    @cached_property
    def estates(self) -> EstateCache:
        return EstateCache(self.catalogs, self.settings.pace)

    @cached_property
    def rehearsals(self) -> Rehearsals:
        """The rehearsals, which carry out dry runs and judge changes before they are written."""
        return Rehearsals(self.questions)

    @cached_property
    def hub(self) -> WatchHub:
        return WatchHub()

    @cached_property
    def questions(self) -> Questions:
        """The database as it is used for questions, and for changes of anything but leases."""
        limits = QuestionLimits(self.settings.caller_questions_max, self.settings.questions_max)
        return Questions(
            self.database, caller=current_caller, limits=limits, leases_wait=lambda: self.committer.is_busy
        )

    @cached_property
    def context(self) -> ServiceContext:
        return ServiceContext(
            database=self.database,
            questions=self.questions,
            rehearsals=self.rehearsals,
            estates=self.estates,
            hub=self.hub,
            lease_time=self.lease_time,
            metrics=self.metrics,
        )

    @cached_property
    def committer(self) -> Committer:
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
            self.context, limits, doubt=self.database_health.doubt, observer=lambda: self.stream_recorder.observer
        )

    @cached_property
    def leases(self) -> Leases:
        return Leases(
            self.context,
            committer=self.committer,
            renewal_pace=RenewalPace(self.settings.renew_jitter, random.Random()),
            refused=self.refused,
            learnings=self.learnings,
            stream_recorder=self.stream_recorder,
            waiting_interval_seconds=self.settings.expiry_interval_seconds,
        )

    @cached_property
    def projects(self) -> Projects:
        return Projects(self.context)

    @cached_property
    def status(self) -> Status:
        return Status(self.context)

    @cached_property
    def stream_recorder(self) -> StreamRecorder:
        """Records the streams of PBXs that have a standby."""
        return StreamRecorder(
            self.context,
            clock=self.clock,
            token=lambda: secrets.token_hex(16),
            interval_seconds=self.settings.watch_interval_seconds,
            settle_seconds=self.settings.takeover_settle_seconds,
            renew_jitter=self.settings.renew_jitter,
        )

    @cached_property
    def refused(self) -> DenialBuffer:
        return DenialBuffer(judged_after_seconds=self.settings.denied_after_seconds)

    @cached_property
    def learnings(self) -> Learnings:
        """Begins and ends learning after a restore."""
        return Learnings(self.context)

    @cached_property
    def licenses(self) -> Licenses:
        return Licenses(
            self.context,
            rules=MoveRules(self.settings.cooling_off_seconds, lambda: secrets.token_bytes(16)),
            token=lambda: secrets.token_urlsafe(24),
            enrollment_seconds=self.settings.enrollment_seconds,
        )

    @cached_property
    def agreements(self) -> Agreements:
        return Agreements(self.context)

    @cached_property
    def webhook_sender(self) -> WebhookSender:
        return WebhookSender(
            clock=self.clocks.wall,
            timeout_seconds=self.settings.webhook_timeout_seconds,
            agent=f"license-master/{VERSION}",
            ca_file=self.settings.webhook_ca_file,
            networks=self.settings.webhook_networks,
        )


def current_caller() -> str:
    """Return who makes the call that is being served; nobody where the master does something by itself."""
    identity = identity_of_call.get()
    return identity.uri if identity is not None else caller_of_call.get("")
