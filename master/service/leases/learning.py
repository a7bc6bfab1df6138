"""Learning after a restore: begins, goes on as long as any lease may that was signed before, and ends.

Everything that the backup says is out is set aside when it begins, and comes back as PBXs prove it
(`service/batch/claims/proofs.py`). It begins by an operator's word after a restore, or by itself when a PBX shows what
the database has never heard of. Each step is one transaction under the project's lock, audited, and safe to repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from master.domain.estate.estate import Estate
from master.domain.estate.learning import Learning
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.learning import first_number, longest_lease_seconds
from master.service.batch.answers import DatabaseOutdatedError
from master.service.estates.estate_cache import EstateCache
from master.service.estates.overdrafts import overdraft_events
from master.service.estates.service_context import ServiceContext
from master.service.runtime.names import UnknownProjectError
from master.service.runtime.request_answers import AnsweredBefore, RequestKey, answered_before, keep_answer
from master.store.backends.database import Database, Tx, json_text
from master.store.backends.stopping import Stop, until_ended
from master.store.statements import learning as store
from master.store.statements.events import Event, write_events
from master.store.statements.projects.projects import load_estate, lock_for_apply
from master.store.statements.seats import read_pools
from master.values import Value, replace

_log = structlog.get_logger(__name__)
_CALLER = "master:learning"
_ENDED = "learning.ended"


class NotLearningError(Exception):
    def __init__(self, project: str) -> None:
        super().__init__(f"projects/{project} is not learning; `license-master status` shows when one is")


class Ended(Value):
    """The seats at risk where learning was ended early."""

    pbxs_silent: int
    seats_at_risk: int
    """Seats that PBXs held in the backup which have not been heard of since."""


class _By(Value):
    """Who begins or ends learning and why, and the request that asks for it, where there is a request."""

    caller: str
    reason: str = ""
    key: RequestKey[Ended] | None = None


async def begin_learning(
    database: Database, estates: EstateCache, project: str, why: str, *, caller: str, time: LeaseTime
) -> float:
    """Begin learning, or learn anew where the project is learning already; return the end of learning, UNIX seconds.
    Raises UnknownProjectError if there is no such project."""
    return await database.transact(lambda tx: _begin(tx, _locked(tx, estates, project), _By(caller, why), time))


class Learnings:
    """Begins and ends the learning of projects while a master serves."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def learn_from(self, shown: DatabaseOutdatedError) -> None:
        """Learn because of what a PBX has shown: anew, or for longer; do nothing where another PBX or master was first.

        Learning begins and PBXs are notified whether or not the calling PBX stays: other PBXs lose seats by it.
        """
        await until_ended(asyncio.ensure_future(self._learn_from(shown)), Stop())

    async def _learn_from(self, shown: DatabaseOutdatedError) -> None:
        context, time = self._context, self._context.lease_time()

        def work(tx: Tx) -> float | None:
            estate = _locked(tx, context.estates, shown.project)
            running = estate.learning if estate.learns(time.ends_by) else None
            if shown.is_news and running == shown.learning:
                return _begin(tx, estate, _By(_CALLER, shown.why), time, shown)
            if running is None or shown.until <= running.until:
                return None
            store.write_learning(tx, estate.project_id, replace(running, until=shown.until))
            extended = _event(time.now, estate, "learning.extended", _By(_CALLER, shown.why), {"until": shown.until})
            write_events(tx, [extended])
            return shown.until

        until = await context.database.transact(work)
        if until is not None:
            context.hub.wake_all()
            _log.warning("learning", project=shown.project, why=shown.why, until=until)

    async def end(self, project: str, *, reason: str, key: RequestKey[Ended], caller: str) -> Ended | AnsweredBefore:
        """End a project's learning before its time, on an operator's request.

        Raises:
            UnknownProjectError: there is no such project.
            NotLearningError: the project is not learning.
            RequestIdTakenError: the request id was used for something else.
        """

        def work(tx: Tx, estates: EstateCache, time: LeaseTime) -> Ended | AnsweredBefore:
            estate = _locked(tx, estates, project)
            if (before := answered_before(tx, estate.project_id, key)) is not None:
                return before
            if not estate.learns(time.ends_by):
                raise NotLearningError(project)
            return _end(tx, estate, time, _By(caller, reason, key))

        ended = await self._context.change(work)
        if isinstance(ended, Ended):
            self._context.hub.wake_all()
            _log.warning("learning ended early", project=project, reason=reason, seats_at_risk=ended.seats_at_risk)
        return ended

    async def end_what_is_over(self) -> list[str]:
        """End the learning that has lasted long enough; return the names of the projects."""
        over_by = self._context.lease_time().ends_by
        ended = []
        for project in await self._context.database.read(lambda tx: store.learned_long_enough(tx, over_by)):

            def work(tx: Tx, estates: EstateCache, time: LeaseTime) -> bool:
                estate = _locked(tx, estates, project)  # noqa: B023  # awaited before the next one
                if estate.learning is None or estate.learns(time.ends_by):
                    return False  # another master was first, or it was extended
                _end(tx, estate, time, _By(_CALLER))
                return True

            if await self._context.change(work):
                ended.append(project)
                self._context.hub.wake_all()
                _log.info("learning ended", project=project)
        return ended


def _begin(tx: Tx, estate: Estate, by: _By, time: LeaseTime, shown: DatabaseOutdatedError | None = None) -> float:
    number, shown_until = (shown.number, shown.until) if shown is not None else (0, 0.0)
    until = max(time.now + longest_lease_seconds(estate), shown_until) + time.clock_allowance_seconds
    pools = read_pools(tx, estate.shared_pools)
    store.set_aside(tx, estate.project_id, first_number=first_number(time.now, number), now=time.now)
    store.write_learning(tx, estate.project_id, Learning(time.now, until, by.reason))
    learned = store.learned(tx, estate.project_id)
    details = {"until": until, "pbxs": learned.pbxs_silent, "seats_known": learned.known}
    began = _event(time.now, estate, "learning.began", by, details)
    # an overdraft that stays is told of as well: its budget is gone, and the backup's audit ends before that
    overdrafts = overdraft_events(tx, estate, pools, time.now, is_told=lambda was, is_now: was > 0 or is_now > 0)
    write_events(tx, [began, *overdrafts])
    return until


def _end(tx: Tx, estate: Estate, time: LeaseTime, by: _By) -> Ended:
    early = by.key is not None  # an operator asked for it
    learned = store.learned(tx, estate.project_id)
    ended = Ended(learned.pbxs_silent, learned.seats_of_silent)
    # what was proven is nobody's clock's affair: the next run of expiry frees it
    store.forget_learning(tx, estate.project_id, claims_ended_at=time.reclaimed_by - 1)
    details = {
        "early": early,
        "pbxs_silent": ended.pbxs_silent,
        "seats_at_risk": ended.seats_at_risk if early else 0,
        "seats_proven": learned.proven,
        "seats_unplaced": learned.unplaced,
    }
    if by.key is not None:
        keep_answer(tx, estate.project_id, by.key, ended, now=time.now)
    write_events(tx, [_event(time.now, estate, _ENDED, by, details)])
    return ended


def _locked(tx: Tx, estates: EstateCache, project: str) -> Estate:
    lock_for_apply(tx, project)
    estate = load_estate(tx, project, estates.catalogs, estates.default_pace)
    if estate is None:
        raise UnknownProjectError(project)
    return estate


def _event(now: float, estate: Estate, kind: str, by: _By, details: Mapping[str, object]) -> Event:
    text = json_text(details)
    request_id = by.key.request_id if by.key is not None else None
    return Event(now, estate.project_id, "", kind, by.caller, request_id, text, by.reason)
