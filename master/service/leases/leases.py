"""Leases, seats and standbys as services see them: every verb once, without transport.

Leases go through the committer; what else is asked and changed, through `questions`; streams are told by the hub.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from time import monotonic

import structlog

from licensemaster.daemon.logs.sparing_log import SparingLog
from master.domain.estate.estate import Estate, LeasePace, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import Lease, running
from master.domain.leases.loans import Loan
from master.domain.leases.notices import DRAINING, Notice, notices
from master.domain.leases.standby import Readiness
from master.domain.seats.refusals.reasons import Refusal, RefusalReason
from master.service.batch.answers import (
    DatabaseOutdatedError,
    LeaseClosed,
    LeaseEnded,
    LeaseGranted,
    SeatsAcquired,
    SeatsReturned,
    SeatsSynced,
    TakeOverRefused,
)
from master.service.batch.batch import answer_to
from master.service.batch.claims.standby_pairs import read_standby_pairs
from master.service.batch.requests import (
    AcquireSeats,
    BorrowSeats,
    CloseLease,
    EndLease,
    OpenLease,
    RenewLease,
    ReturnSeats,
    SyncSeats,
    TakeOverLease,
)
from master.service.batch.resolved_request import caller_id
from master.service.estates.estate_cache import read_estate
from master.service.estates.service_context import ServiceContext
from master.service.leases.committer import Committer
from master.service.leases.drill import DrillReport, drill, drilled_event
from master.service.leases.learning import Learnings
from master.service.leases.lease_views import read_loans, read_seat_news
from master.service.leases.loan_preview import LoanPreview, preview_loan
from master.service.leases.streams import StreamRecorder, StreamSeen
from master.service.leases.waiting import WaitingTask
from master.service.leases.waiting_lists import WaitingList, read_waiting
from master.service.monitoring.denial_buffer import DenialBuffer
from master.service.runtime.names import PbxName, UnknownPbxError, UnknownProjectError
from master.service.runtime.request_answers import AnsweredBefore
from master.store.backends.database import Tx
from master.store.dry_runs.rehearsals import of_pair
from master.store.statements.events import write_events
from master.store.statements.seats import read_leases
from master.store.statements.streams import stream_of
from master.values import Value, replace

_log = structlog.get_logger(__name__)
_LINES_MAX, _LINES_SECONDS = 200, 60.0
"""How many log lines a PBX that opens leases or takes them over may cost, in how many seconds; some PBXs flap."""


class RenewalPace(Value):
    """When PBXs should renew: their usual time, moved at random so that renewals spread."""

    jitter: float
    random: random.Random

    def renew_after_seconds(self, pace: LeasePace) -> float:
        """Return in how many seconds from now a PBX should renew."""
        return pace.renew_every_seconds * (1 + self.random.uniform(-self.jitter, self.jitter))


class Leases:
    """What PBXs ask for their leases and seats, and what operators do to leases and standbys."""

    def __init__(
        self,
        context: ServiceContext,
        *,
        committer: Committer,
        renewal_pace: RenewalPace,
        refused: DenialBuffer,
        learnings: Learnings,
        stream_recorder: StreamRecorder,
        waiting_interval_seconds: float,
    ) -> None:
        self._context = context
        self._committer = committer
        self._renewal_pace = renewal_pace
        self._refused = refused
        self._learnings = learnings
        self._stream_recorder = stream_recorder
        self._log = SparingLog(
            _log, clock=monotonic, lines_max=_LINES_MAX, seconds=_LINES_SECONDS, each=("pbx", "kind")
        )
        self.waiting = WaitingTask(
            context, committer=committer, interval_seconds=waiting_interval_seconds, granted=self._count
        )
        """The task that hands seats on to those who wait."""

    def renew_after_seconds(self, pbx: Pbx) -> float:
        """Return in how many seconds from now a PBX should renew next."""
        return self._renewal_pace.renew_after_seconds(pbx.pace)

    # --- Leases -------------------------------------------------------------------------------------------------------

    async def open_lease(self, request: OpenLease) -> LeaseGranted:
        """Open a lease and acquire seats under it; an older lease of the same PBX is fenced and its
        watchers notified.
        """
        answer = await self._submit_having_learned(request)
        self._context.metrics.leases_opened.inc()
        if answer.acquired is not None:
            self._count(request.pbx, answer.acquired)
        for notice in answer.notices:
            self._log.warning("notice", pbx=str(request.pbx), kind=notice.kind.name, message=notice.message)
        return self._with_draining(answer)

    async def _submit_having_learned(self, request: OpenLease) -> LeaseGranted:
        """Submit an opening; first learn from what the opening shows and the database has never heard of."""
        while True:
            try:
                return await self._committer.submit(request)
            except DatabaseOutdatedError as error:
                await self._learnings.learn_from(error)

    async def take_over_lease(self, request: TakeOverLease) -> LeaseGranted | TakeOverRefused:
        """Give a PBX's lease to its standby; whoever had the lease before is fenced, and watchers are notified."""
        answer = await self._committer.submit(request)
        if isinstance(answer, TakeOverRefused):
            self._context.hub.wake(request.pbx)  # its stream may have been asked for
            self._context.metrics.takeovers.labels("refused").inc()
            problems = [problem.message for problem in answer.problems]
            self._log.warning("takeover refused", pbx=str(request.pbx), standby=str(request.standby), problems=problems)
            return answer
        self._context.metrics.takeovers.labels("granted").inc()
        self._log.warning("taken over", pbx=str(request.pbx), standby=str(request.standby), reason=request.reason)
        return self._with_draining(answer)

    async def renew_lease(self, request: RenewLease) -> LeaseGranted:
        answer = await self._committer.submit(request)
        self._context.metrics.leases_renewed.inc()
        return self._with_draining(answer)

    async def close_lease(self, request: CloseLease) -> LeaseClosed:
        answer = await self._committer.submit(request)
        self._context.metrics.seats_returned.inc(answer.seats_returned)
        return answer

    async def end_lease(self, request: EndLease, *, dry_run: bool) -> LeaseEnded | AnsweredBefore:
        """End a PBX's lease for an operator, or return what that would do; whoever had the lease is notified.
        Raises UnknownPbxError or NoLeaseToEndError if there is nothing to end, RequestIdTakenError if the request id
        was used for something else."""
        if dry_run:  # by the code that would do it, on a copy
            return await self._context.rehearse(
                request.pbx.project,
                lambda tx, estates, time: answer_to(tx, estates, time, request),
                seats_of=of_pair(request.pbx.pbx),
            )
        answer = await self._committer.submit(request)
        if isinstance(answer, AnsweredBefore):
            return answer
        self._context.metrics.seats_returned.inc(answer.seats_returned)
        risk = sum(answer.at_risk.values())
        _log.warning("lease ended by an operator", pbx=str(request.pbx), seats_at_risk=risk, reason=request.reason)
        return answer

    async def watch_lease(
        self, name: PbxName, epoch: int, *, watcher: PbxName | None
    ) -> AsyncGenerator[tuple[Notice, ...]]:
        """Yield the notices for the holder of an epoch: at once, and whenever they change; end when the lease ends.

        `watcher` is who proved to ask; None in plain text.
        Raises LeaseError or UnknownPbxError if there is nothing to watch.
        """
        stream_seen: StreamSeen | None = None
        known: tuple[Notice, ...] | None = None
        is_lost = False
        try:
            async with aclosing(self._watched(name, epoch, watcher)) as stream:
                async for news, is_shown in stream:
                    if news is None:
                        is_lost = True
                        return
                    if stream_seen is None and is_shown:
                        stream_seen = self._stream_recorder.opened(name, epoch)
                    if news != known:
                        known = news
                        yield news
        except (asyncio.CancelledError, GeneratorExit):  # nobody listens any more; all else is this master's doing
            is_lost = True
            raise
        finally:
            if is_lost and stream_seen is not None and not self._context.hub.draining:
                self._stream_recorder.lost(stream_seen)

    async def _watched(
        self, name: PbxName, epoch: int, watcher: PbxName | None
    ) -> AsyncGenerator[tuple[tuple[Notice, ...] | None, bool]]:
        """Yield the notices, changed or not, and whether the stream shows that the user of the lease is present. Yield
        None for the notices where the stream is to end, to see whether the user comes back.
        """
        is_known = False
        opened_at = self._context.lease_time().now

        def look(tx: Tx, time: LeaseTime) -> tuple[tuple[Notice, ...] | None, bool]:
            eligibilities, pbx = self._context.estates.find(tx, name)
            lease = read_leases(tx, [pbx.id]).get(pbx.id)
            if not is_known or lease is None:
                watcher_id = caller_id(eligibilities.estate, watcher) if watcher is not None else None
                lease = running(lease, pbx=str(name), epoch=epoch, time=time, caller_id=watcher_id)
            seats = read_seat_news(tx, eligibilities.estate, [pbx.id], time.now)[pbx.id]
            news = notices(eligibilities.estate, pbx, lease, epoch=epoch, time=time, seats=seats)
            is_shown = _shows_its_user(eligibilities.estate, lease)
            stream = stream_of(tx, pbx.id) if is_shown else None
            is_asked_for = stream is not None and stream.is_asked_for(max(lease.renewed_at, opened_at))
            return None if is_asked_for else news, is_shown

        with self._context.hub.watching(name) as woken:
            while True:
                woken.clear()
                now_true, is_shown = await self._context.database.read(partial(look, time=self._context.lease_time()))
                if now_true is None:
                    yield None, is_shown
                    return
                if self._context.hub.draining:
                    now_true = (*now_true, DRAINING)
                is_known = True
                yield now_true, is_shown
                if self._context.hub.draining or any(notice.kind.ends_lease for notice in now_true):
                    return
                await woken.wait()

    def _with_draining(self, answer: LeaseGranted) -> LeaseGranted:
        if not self._context.hub.draining:
            return answer
        return replace(answer, notices=(*answer.notices, DRAINING))

    # --- Seats --------------------------------------------------------------------------------------------------------

    async def acquire_seats(self, request: AcquireSeats) -> SeatsAcquired:
        """Grant or refuse each seat."""
        answer = await self._committer.submit(request)
        self._count(request.pbx, answer)
        return answer

    async def return_seats(self, request: ReturnSeats) -> SeatsReturned:
        answer = await self._committer.submit(request)
        held = sum(1 for outcome in answer.outcomes if not isinstance(outcome, Refusal) and outcome.was_held)
        self._context.metrics.seats_returned.inc(held)
        return answer

    async def sync_seats(self, request: SyncSeats) -> SeatsSynced:
        """Make the seats that a PBX holds equal to those that it wants."""
        answer = await self._committer.submit(request)
        self._context.metrics.seats_returned.inc(answer.seats_returned)
        self._count(request.pbx, answer)
        return answer

    def _count(self, name: PbxName, answer: SeatsAcquired | SeatsSynced) -> None:
        tally = answer.tally
        for license_type, count in tally.debited.items():
            self._context.metrics.seats_acquired.labels(license_type).inc(count)
        for (reason, license_type), count in tally.refused.items():
            known = any(license_type in catalog.types for catalog in self._context.estates.catalogs.values())
            self._context.metrics.refusals.labels(reason, license_type if known else "unknown").inc(count)
        if any(reason == RefusalReason.WAITING.name for reason, _ in tally.refused):
            self.waiting.began()
        if tally.refused:
            self._context.metrics.site_refused(name.project, tally.site, sum(tally.refused.values()))
        self._refused.note(name, tally, answer.outcomes, now=self._context.lease_time().now)

    async def list_waiting(self, project: str, license_type: str) -> WaitingList:
        """Return who waits for seats of a license type, or of any type where none is named.
        Raises UnknownProjectError if there is no such project."""
        now = self._context.lease_time().now
        return await self._context.read_project(
            project, lambda tx, estate: read_waiting(tx, estate, license_type, now=now)
        )

    # --- Loans --------------------------------------------------------------------------------------------------------

    async def preview_loan(self, request: BorrowSeats) -> LoanPreview:
        """Return what lending would do, decided on a copy by the code that lends.
        Raises UnknownProjectError, UnknownPbxError, LeaseError or LoanError if the loan would be refused."""
        return await self._context.rehearse(
            request.pbx.project,
            lambda tx, estates, time: preview_loan(tx, estates, request, time),
            seats_of=of_pair(request.pbx.pbx),
        )

    async def list_loans(self, project: str) -> list[tuple[PbxName, Loan]]:
        """Return everything that is borrowed in a project, by PBX and license type."""
        return await self._context.read_project(project, read_loans)

    # --- Standby ------------------------------------------------------------------------------------------------------

    async def check_standby(self, project: str, *, pbx: str) -> tuple[Estate, list[Readiness]]:
        """Return the standby pairs of a project with their readiness; only those of one PBX where a PBX is named."""
        time = self._context.lease_time()

        def look(tx: Tx, estate: Estate) -> tuple[Estate, list[Readiness]]:
            if pbx and pbx not in estate.pbx_ids:
                raise UnknownPbxError(PbxName(project, pbx))
            readinesses = read_standby_pairs(tx, estate, time)
            return estate, [
                readiness for readiness in readinesses if pbx in ("", readiness.standby.name, readiness.primary.name)
            ]

        return await self._context.read_project(project, look)

    async def stands_in(self, standby: PbxName, primary: PbxName) -> bool:
        """Tell whether one PBX is the standby of another; False where either does not exist."""

        def look(tx: Tx) -> bool:
            if standby.project != primary.project:
                return False
            try:
                estate = read_estate(tx, self._context.estates, standby.project)
            except UnknownProjectError:
                return False
            standby_id = estate.pbx_ids.get(standby.pbx)
            return standby_id is not None and estate.pbxs[standby_id].standby_for == primary.pbx

        return await self._context.database.read(look)

    async def drill_standby(self, name: PbxName, *, caller: str) -> DrillReport:
        """Prove a takeover on a copy, and record in the audit that this was done.
        Raises UnknownPbxError or NoPairError if there is nothing to drill."""
        report = await self._context.rehearse(
            name.project,
            lambda tx, estates, time: drill(tx, estates, name, caller=caller, time=time),
            seats_of=of_pair(name.pbx),
        )
        event = drilled_event(report, caller=caller, now=self._context.lease_time().now)
        await self._context.questions.transact(lambda tx: write_events(tx, [event]))
        _log.info("standby drilled", standby=str(name), passed=report.passed)
        return report


def _shows_its_user(estate: Estate, lease: Lease) -> bool:
    """Tell whether it matters that a stream shows the user of a lease to be present: where the PBX has a standby."""
    return lease.user_id in estate.pbxs and estate.pbxs[lease.pbx_id].name in estate.stood_in_for
