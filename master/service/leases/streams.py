"""What this master sees of the lines to PBXs that have a standby: their streams, opened and broken (F5).

Written beside the hot path as soon as it happens, so that every master can go by it; what cannot be written while the
database is away is written when it is back. Leaves to others: what it shows (`domain/leases/presence.py`), who may
watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from master.domain.leases.presence import Observer
from master.service.estates.service_context import ServiceContext
from master.service.runtime.names import PbxName, UnknownPbxError
from master.service.runtime.periodic import PeriodicTask
from master.store.backends.database import Tx
from master.store.statements.streams import StreamNews, write_streams

_GATHER_SECONDS = 0.1
"""How many seconds news are gathered, so that many lines that break at once take few commits."""


class StreamSeen(NamedTuple):
    """A stream that this master serves."""

    name: PbxName
    epoch: int
    stream: str
    opened_at: float
    lost_at: float | None = None


class StreamRecorder(PeriodicTask):
    """Notes streams, and writes what happened to them."""

    def __init__(
        self,
        context: ServiceContext,
        *,
        clock: Callable[[], float],
        token: Callable[[], str],
        interval_seconds: float,
        settle_seconds: float,
        renew_jitter: float,
    ) -> None:
        """`token` makes names that no other master makes; `interval_seconds` is the pause after a failure to write."""
        super().__init__(interval_seconds=interval_seconds)
        self._context = context
        self._clock = clock
        self._token = token
        self._settle_seconds = settle_seconds
        self._renew_jitter = renew_jitter
        self._serving_since = clock()
        self._news: dict[PbxName, StreamSeen] = {}
        self._happened = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def observer(self) -> Observer:
        """What takeovers are decided by: how this master sees PBXs."""
        return Observer(
            serving_since=self._serving_since, settle_seconds=self._settle_seconds, renew_jitter=self._renew_jitter
        )

    def serves_again(self) -> None:
        """Note that this master serves again after it could not: what it saw before says little."""
        self._serving_since = self._clock()

    def opened(self, name: PbxName, epoch: int) -> StreamSeen:
        """Note that the user of a lease gets its notices over a stream from now on."""
        line = StreamSeen(name, epoch, self._token(), self._clock())
        self._note(line)
        return line

    def lost(self, line: StreamSeen) -> None:
        """Note that a stream broke, and that this master did not end it."""
        self._note(line._replace(lost_at=self._clock()))

    async def run_once(self) -> None:
        """Write what happened to streams; one run at a time, so that older news are never written last."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        news = list(self._news.values())
        if not news:
            return

        def write(tx: Tx) -> None:
            rows = []
            for line in news:
                with suppress(UnknownPbxError):  # it was removed meanwhile
                    pbx_id = self._context.estates.find(tx, line.name)[1].id
                    rows.append(StreamNews(pbx_id, line.epoch, line.stream, line.opened_at, line.lost_at))
            write_streams(tx, rows)

        await self._context.database.transact(write)
        for line in news:
            if self._news[line.name] is line:
                del self._news[line.name]

    def _note(self, line: StreamSeen) -> None:
        known = self._news.get(line.name)
        if known is None or known.stream == line.stream or line.lost_at is None:  # else an older one broke
            self._news[line.name] = line
            self._happened.set()

    async def _rest(self, seconds: float) -> None:
        if self._news:  # it could not be written, or there is more by now
            await asyncio.sleep(seconds)
            return
        self._happened.clear()
        await self._happened.wait()
        await asyncio.sleep(_GATHER_SECONDS)
