"""Notices what is wrong, and notes in the same transaction whom to notify; `webhook_delivery.py` sends.

Several masters may check: an alarm begins once. Nothing here waits for a receiver, so what begins is noted within an
interval whatever receivers do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from master.domain.monitoring.alarms import CALM_SECONDS, Alarm, AlarmState, News, alarms, body_of
from master.domain.monitoring.overview import Overview
from master.service.estates.service_context import ServiceContext
from master.service.monitoring.overviews import read_overviews
from master.service.runtime.periodic import PeriodicTask
from master.store.backends.database import Tx
from master.store.statements import webhooks as store
from master.store.statements.licenses import lock_project

_log = structlog.get_logger(__name__)


class AlarmTask(PeriodicTask):
    """Finds alarms that began and ended, at an interval."""

    def __init__(
        self, context: ServiceContext, *, send: Callable[[], Awaitable[None]], interval_seconds: float
    ) -> None:
        """`send` begins to send the messages that are due, and does not wait for them."""
        super().__init__(interval_seconds=interval_seconds)
        self._context = context
        self._send = send

    async def run_once(self) -> None:
        """Check for alarms once; where no webhook exists, make only one small query."""
        projects = await self._context.questions.read(store.projects_with_webhooks)
        if not projects:
            return
        time = self._context.lease_time()
        for estate in await self._context.questions.read(lambda tx: read_overviews(tx, self._context.estates, time)):
            if estate.project_id in projects:
                await self._note(estate, time.now)
        await self._send()

    async def _note(self, estate: Overview, now: float) -> None:
        """Begin and end alarms of an estate, and note for each alarm which webhooks get a message; write nothing where
        nothing changed.
        """
        known = await self._context.questions.read(lambda tx: store.alarm_states(tx, estate.project_id))
        news = _news(tuple(alarms(estate, now)), known, now)
        if not news:
            return

        def write(tx: Tx) -> None:
            lock_project(tx, estate.project)  # whoever adds one meanwhile sends it what holds
            receivers = store.webhooks(tx, estate.project_id)
            if not receivers:
                return
            for what, alarm in news:
                if what is News.GONE or what is News.BACK:
                    store.mark(tx, estate.project_id, alarm, now if what is News.GONE else None)
                    continue
                change = store.begin if what is News.BEGAN else store.end
                if change(tx, estate.project_id, alarm):
                    ids = [receiver.id for receiver in receivers if receiver.wants(alarm.kind)]
                    store.tell(tx, ids, body_of(estate.project, alarm, what, sent_at=now), now)

        await self._context.questions.transact(write)
        for what, alarm in news:
            if what is News.BEGAN:
                _log.warning(
                    "alarm", project=estate.project, kind=alarm.kind, subject=alarm.subject, message=alarm.message
                )


def _news(current: Sequence[Alarm], known: Sequence[AlarmState], now: float) -> list[tuple[News, AlarmState]]:
    wrong = {(alarm.kind.value, alarm.subject): alarm for alarm in current}
    news = []
    for state in known:
        is_wrong = wrong.pop((state.kind, state.subject), None) is not None
        if is_wrong and state.gone_at is not None:
            news.append((News.BACK, state))
        elif not is_wrong and state.gone_at is None:
            news.append((News.GONE, state))
        elif not is_wrong and state.gone_at is not None and now - state.gone_at >= CALM_SECONDS:
            news.append((News.ENDED, state))
    news += [
        (News.BEGAN, AlarmState(alarm.kind.value, alarm.subject, alarm.message, now, None)) for alarm in wrong.values()
    ]
    return sorted(news, key=lambda change: (change[1].kind, change[1].subject))
