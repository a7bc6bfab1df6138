"""Finds what is wrong, notes whom to tell in the same transaction, and tells them, at least once.

Several masters may look and tell: an alarm begins once, and a message is taken by one of them for a while. What was not
taken by its receiver is tried again, ever more rarely, then it is dead: listed, and tried again when an operator says
so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

import structlog

from master.domain.alarms import CALM_SECONDS, Alarm, alarms, body_of, signature, wait_seconds
from master.domain.overview import Overview
from master.leasing.estates import Estates
from master.leasing.periodic import Periodic
from master.leasing.reading import read_overviews
from master.metrics import Metrics
from master.store import webhooks as store
from master.store.database import Database, Tx

if TYPE_CHECKING:
    import aiohttp

_log = structlog.get_logger(__name__)
_AT_ONCE_MAX = 20


class Teller:
    """Sends one message to one receiver."""

    def __init__(self, *, clock: Callable[[], float], timeout_seconds: float, agent: str) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._agent = agent
        self._session: aiohttp.ClientSession | None = None

    @property
    def timeout_seconds(self) -> float:
        """How long a receiver may take."""
        return self._timeout_seconds

    async def post(self, webhook: store.Webhook, body: str) -> str:
        """Send it; what went wrong, empty where the receiver took it. The URL and the secret are in no answer."""
        import aiohttp  # 7 MiB, for masters that have somebody to tell

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeout_seconds)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            "License-Master-Signature": signature(webhook.secret, body, int(self._clock())),
        }
        try:
            async with self._session.post(
                webhook.url, data=body.encode(), headers=headers, allow_redirects=False
            ) as answer:
                return "" if 200 <= answer.status < 300 else f"the receiver answered {answer.status}"
        except TimeoutError:
            return f"the receiver did not answer within {self._timeout_seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"the receiver could not be reached: {type(error).__name__}"

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()


class TellRound(Periodic):
    """Looks for what is wrong, then tells what is due."""

    def __init__(
        self,
        *,
        database: Database,
        estates: Estates,
        teller: Teller,
        clock: Callable[[], float],
        metrics: Metrics,
        interval_seconds: float,
    ) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._database = database
        self._estates = estates
        self._teller = teller
        self._clock = clock
        self._metrics = metrics

    async def look(self) -> None:
        """Once round; nothing but one small query where no webhook is."""
        told = await self._database.read(store.projects_with_webhooks)
        if not told:
            return
        now = self._clock()
        for estate in await self._database.read(lambda tx: read_overviews(tx, self._estates, now)):
            if estate.project_id in told:
                await self._note(estate, now)
        while await self._tell():
            pass

    async def _note(self, estate: Overview, now: float) -> None:
        """Begin and end alarms, and note for each who is to be told; nothing is written where nothing changed."""
        known = await self._database.read(lambda tx: store.standing(tx, estate.project_id))
        news = _news(tuple(alarms(estate, now)), known, now)
        if not news:
            return

        def write(tx: Tx) -> None:
            receivers = store.webhooks(tx, estate.project_id)
            for what, one in news:
                if what is News.GONE or what is News.BACK:
                    store.mark(tx, estate.project_id, one, now if what is News.GONE else None)
                    continue
                change = store.begin if what is News.BEGAN else store.end
                if change(tx, estate.project_id, one):
                    ids = [receiver.id for receiver in receivers if receiver.wants(one.kind)]
                    store.tell(tx, ids, _body(estate.project, one, what, now), now)

        await self._database.transact(write)
        for what, one in news:
            if what is News.BEGAN:
                _log.warning("alarm", project=estate.project, kind=one.kind, subject=one.subject, message=one.message)

    async def _tell(self) -> bool:
        """Send some of what is due; whether there may be more."""
        now = self._clock()
        until = now + 2 * self._teller.timeout_seconds + 30
        due = await self._database.transact(lambda tx: store.take_due(tx, now=now, until=until, limit=_AT_ONCE_MAX))
        problems = await asyncio.gather(*(self._teller.post(one.webhook, one.body) for one in due))
        if due:
            pairs = list(zip(due, problems, strict=True))
            await self._database.transact(lambda tx: self._settle(tx, pairs))
            for one, problem in pairs:
                self._metrics.webhook_messages.labels("failed" if problem else "taken").inc()
                if problem:
                    _log.warning("webhook failed", webhook=one.webhook.name, attempt=one.attempts + 1, problem=problem)
        return len(due) == _AT_ONCE_MAX

    def _settle(self, tx: Tx, pairs: Sequence[tuple[store.Delivery, str]]) -> None:
        now = self._clock()
        for one, problem in pairs:
            if not problem:
                store.delivered(tx, one.id)
                continue
            attempts = one.attempts + 1
            wait = wait_seconds(attempts)
            due_at = None if wait is None else now + wait
            store.failed(tx, one.id, attempts=attempts, due_at=due_at, problem=problem)


class News(Enum):
    """What happened to an alarm."""

    BEGAN = "began"
    GONE = "gone"
    """Its condition is false, but not for long yet."""
    BACK = "back"
    ENDED = "ended"


def _news(found: Sequence[Alarm], known: Sequence[store.Standing], now: float) -> list[tuple[News, store.Standing]]:
    wrong = {(one.kind.value, one.subject): one for one in found}
    news = []
    for one in known:
        is_wrong = wrong.pop((one.kind, one.subject), None) is not None
        if is_wrong and one.gone_at is not None:
            news.append((News.BACK, one))
        elif not is_wrong and one.gone_at is None:
            news.append((News.GONE, one))
        elif not is_wrong and one.gone_at is not None and now - one.gone_at >= CALM_SECONDS:
            news.append((News.ENDED, one))
    news += [
        (News.BEGAN, store.Standing(one.kind.value, one.subject, one.message, now, None)) for one in wrong.values()
    ]
    return sorted(news, key=lambda pair: (pair[1].kind, pair[1].subject))


def _body(project: str, one: store.Standing, what: News, now: float) -> str:
    return body_of(
        project=project,
        kind=one.kind,
        subject=one.subject,
        message=one.message,
        state=what.value,
        began_at=one.began_at,
        told_at=now,
    )
