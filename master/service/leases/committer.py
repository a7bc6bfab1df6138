"""Group commit: requests that arrive while a commit runs form the next batch; nobody is answered before its commit.

The queue is bounded and fair between PBXs (`fair_queue`): beyond its bounds whoever has most waiting is told to come
back (`QueueFullError`), and who is in the next batch does not depend on how much others ask. A batch that fails as a
whole is tried again request by request, so that one bad request never harms its neighbours. Under load the next batch
is held back for a moment, because two small commits cost more than one; a lone caller never waits for that.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import cast

import structlog
from msgspec import Struct

from licensemaster.daemon.logs.sparing_log import SparingLog
from master.domain.leases.presence import Observer
from master.process.tasks import Kept, Tasks
from master.service.batch.batch import BatchAnswers, run_batch
from master.service.batch.request_queueing import lane_of, load_of, urgency_of
from master.service.batch.requests import Answer, CloseLease, DropWaiting, EndLease, OpenLease, Request, TakeOverLease
from master.service.estates.service_context import ServiceContext
from master.service.runtime.errors import QueueFullError, StoppedError
from master.service.runtime.fair_queue import FairQueue, QueueLimits
from master.store.backends.database import StorageError, StorageProblem, Tx
from master.values import Value

_FEW = 4
"""Up to this many callers at once have their answers sooner where no batch is held back."""
_KEPT_SECONDS = 0.005
"""How long a thread keeps the interpreter while a batch of many is committed: Python's own default. A master's threads
switch far more often, for those who ask alone; here, where reading what comes next never rests, that costs a tenth of
the CPU or more.
"""
_NEWS = (OpenLease, TakeOverLease, CloseLease, EndLease, DropWaiting)
"""The requests that watchers of a PBX's lease are told of at once; the caller may have gone by then."""
_LINES_MAX, _LINES_SECONDS = 10, 60.0
"""How many log lines failures of one kind may cost, in how many seconds; failures of one PBX hide no other PBX's."""


class CommitLimits(Value, kw_only=True):
    """How many requests a batch may have, and how long a batch is held back, in seconds."""

    queue: QueueLimits
    batch_seats_max: int
    hold_seconds: float
    """The longest time that a batch is held back under load."""
    retry_after_seconds: float
    late_seconds: float = 60.0
    """How long a commit may take before the master doubts that the database answers at all."""


class _Waiting(Struct, eq=False):
    request: Request[object]
    answer: asyncio.Future[object]

    def complete(self, answer: object) -> None:
        """Answer the waiting caller, unless the caller has gone meanwhile."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Committer:
    """Gathers requests and commits them in batches, one at a time.

    `doubt` is called with the reason, when the database did not answer; takeovers are decided by `observer`.
    """

    def __init__(
        self,
        context: ServiceContext,
        limits: CommitLimits,
        *,
        doubt: Callable[[str], None] = lambda reason: None,
        observer: Callable[[], Observer | None] = lambda: None,
    ) -> None:
        self._context = context
        self._limits = limits
        self._doubt = doubt
        self._observer = observer
        self._told = SparingLog(
            structlog.get_logger(__name__),
            clock=perf_counter,
            lines_max=_LINES_MAX,
            seconds=_LINES_SECONDS,
            each=("request", "pbx", "problem"),
        )
        self._queue: FairQueue[_Waiting] = FairQueue(limits.queue)
        self._arrived = asyncio.Event()
        self._kept: Kept | None = None
        self._stopping = False
        self._is_committing = False

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._queue)

    @property
    def is_busy(self) -> bool:
        """Whether any request waits, or is being committed."""
        return bool(self._queue) or self._is_committing

    @property
    def seats_waiting(self) -> int:
        """The number of seats that the waiting requests are about."""
        return self._queue.seats

    def start(self, tasks: Tasks) -> None:
        self._kept = tasks.keep("committer", self._run)

    async def stop(self) -> None:
        """Take no more requests, commit those that wait, and end."""
        self._stopping = True
        self._arrived.set()
        if self._kept is not None:
            await self._kept.finish()
        for waiting in self._queue.take(self._queue.seats):  # where it could not be kept going
            waiting.complete(StoppedError("the master is shutting down"))

    async def submit(self, request: Request[Answer]) -> Answer:
        """Have a request decided and committed.

        Raises:
            QueueFullError: too much waits already.
            StoppedError: the master is shutting down.
            StorageError: the database could not do it.
            LeaseError, UnknownPbxError: the request cannot be served.
        """
        if self._stopping:
            raise StoppedError("the master is shutting down")
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        lane, urgency, load = lane_of(request), urgency_of(request), load_of(request)
        for displaced in self._queue.put(waiting, lane=lane, urgency=urgency, load=load):
            displaced.complete(QueueFullError(self._limits.retry_after_seconds))
        self._arrived.set()
        try:
            return cast(Answer, await waiting.answer)  # it was asked for with this very request
        finally:
            self._queue.discard(waiting)  # whoever gave up leaves room for others

    async def _run(self) -> None:
        last_length = 0
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._queue.rest()
                self._arrived.clear()
                await self._arrived.wait()
                continue
            if last_length > _FEW and len(self._queue) < last_length / 2 and not self._stopping:
                await asyncio.sleep(self._limits.hold_seconds)
            taken = self._queue.take(self._limits.batch_seats_max, large=self._limits.batch_seats_max)
            batch = [waiting for waiting in taken if not waiting.answer.cancelled()]
            last_length = len(batch)
            if batch:
                self._is_committing = True
                try:
                    with self._switching_seldom(len(batch)):
                        await self._commit(batch)
                finally:
                    self._is_committing = False

    @contextmanager
    def _switching_seldom(self, requests: int) -> Iterator[None]:
        """Have threads keep the interpreter longer where a batch has many requests and no question is worked out."""
        usual = sys.getswitchinterval()
        if requests > _FEW and not self._context.questions:
            sys.setswitchinterval(max(usual, _KEPT_SECONDS))
        try:
            yield
        finally:
            sys.setswitchinterval(usual)

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit a batch and answer each request, whatever happens; then count and log the answers."""
        started = perf_counter()
        requests = [waiting.request for waiting in batch]
        unknown = StorageError(StorageProblem.STORAGE_UNAVAILABLE, "the commit was broken off; try again")
        answers: Sequence[object] = [unknown] * len(batch)
        failed: Exception | None = None
        try:
            answers = await self._transact(requests)
        except StorageError as error:
            failed, answers = error, [error] * len(batch)
        except Exception as error:
            failed, answers = error, [await self._alone(request) for request in requests]
        finally:  # also where this task is broken off: nobody waits for ever
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.complete(answer)
        self._tell(failed, len(batch), perf_counter() - started)

    def _tell(self, failed: Exception | None, requests: int, seconds: float) -> None:
        self._context.metrics.batch_requests.observe(requests)
        self._context.metrics.batch_seconds.observe(seconds)
        if isinstance(failed, StorageError):
            self._context.metrics.storage_failures.labels(failed.problem.name).inc()
            if failed.problem.ends_service:
                self._doubt(str(failed))  # and who looks then logs it once, not with every batch
            else:
                self._told.error("commit failed", problem=failed.problem.name, detail=str(failed), requests=requests)
        elif failed is not None:
            self._told.error(
                "a batch failed and was tried again request by request", requests=requests, exc_info=failed
            )

    async def _alone(self, request: Request[object]) -> object:
        try:
            return (await self._transact([request]))[0]
        except Exception as error:
            self._told.error("a request failed", request=type(request).__name__, pbx=str(request.pbx), exc_info=error)
            return error

    async def _transact(self, requests: Sequence[Request[object]]) -> list[object]:
        time, observer = self._context.lease_time(), self._observer()

        def work(tx: Tx) -> BatchAnswers:
            return run_batch(tx, self._context.estates, time, requests, observer=observer)

        why = f"a commit has no answer for {self._limits.late_seconds:g} s"
        late = asyncio.get_running_loop().call_later(self._limits.late_seconds, self._doubt, why)
        try:
            answered = await self._context.database.transact(work)
        finally:
            late.cancel()
        for request in requests:
            if isinstance(request, _NEWS):
                self._context.hub.wake(request.pbx)
        if answered.frees_seats:
            self._context.hub.seats_freed()
        return answered.answers
