"""What people and their programs ask of the database, beside what leases need: bounded, and by turns.

Decides: how many questions one caller, and all together, may have under way, and who is served next. A caller's own are
answered one after the other, so that of many callers each has its turn whatever another one asks; of plans and
explanations one is worked out at a time, and of changes two are made. Who asks too much is told when to come back, at
the first question of a call or not at all: what was begun is ended. While requests of leases wait, questions rest for
longer than they work, so that the interpreter is there for leases. What the master does by itself has its turn
without being counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TypeVar

from msgspec import Struct

from master.auth.callers.limits import CallerLimitError
from master.store.backends.database import Database, Tx
from master.store.backends.stopping import Stop, until_ended
from master.values import Value, field

T = TypeVar("T")
Seen = TypeVar("Seen")
_COME_BACK_SECONDS = 1.0
_CHANGES_MAX = 2
_WORK_SECONDS = 0.005
"""How many seconds a question works before it looks whether leases wait."""
_REST_TIMES = 2.0
"""How many times as long as it worked a question rests while leases wait."""
_let_in: ContextVar[bool] = ContextVar("let_in", default=False)
"""Whether the call that is being served was let in for a question or change before."""


class QuestionLimits(Value):
    """How many questions may be under way, waiting ones included."""

    caller_max: int
    all_max: int


class _Asker(Struct):
    reads: asyncio.Lock = field(default_factory=asyncio.Lock)
    plans: asyncio.Lock = field(default_factory=asyncio.Lock)
    changes: asyncio.Lock = field(default_factory=asyncio.Lock)
    under_way: int = 0


class _Pace:
    """Ends work whose caller gave up, and has work rest while leases wait. Called from the thread that works."""

    def __init__(self, stop: Stop, leases_wait: Callable[[], bool]) -> None:
        self._stop = stop
        self._leases_wait = leases_wait
        self._since = time.monotonic()

    def __call__(self) -> None:
        self._stop.check()
        worked = time.monotonic() - self._since
        if worked < _WORK_SECONDS:
            return
        if self._leases_wait():
            time.sleep(worked * _REST_TIMES)
        self._since = time.monotonic()


class Questions:
    """The database as services use it for questions and changes of callers."""

    def __init__(
        self,
        database: Database,
        *,
        caller: Callable[[], str],
        limits: QuestionLimits,
        leases_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        """`caller` returns who makes the call that is being served; nobody where the master does something by itself.
        `leases_wait` tells whether requests of leases wait for their commit.
        """
        self._database = database
        self._caller = caller
        self._limits = limits
        self._leases_wait = leases_wait
        self._askers: dict[str, _Asker] = {}
        self._under_way = 0
        self._planning = asyncio.Lock()
        self._changing = asyncio.Semaphore(_CHANGES_MAX)

    def __len__(self) -> int:
        """Return how many questions and changes of callers are under way."""
        return self._under_way

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Read for a question of a caller; see `Database.ask`.
        Raises CallerLimitError if the caller, or all callers, ask too much at a time, StorageError if it could not be
        done."""
        self._check_bounds()
        async with self._place() as asker:
            return await self._read(asker, work)

    async def work_out(self, look: Callable[[Tx], Seen], compute: Callable[[Seen, Callable[[], None]], T]) -> T:
        """Read, and compute the answer in a thread. `compute` must call the function that it is given now and then;
        that function raises where nobody waits for the answer any more.
        Raises CallerLimitError or StorageError as `read` does."""
        self._check_bounds()
        stop = Stop()
        async with self._place() as asker, asker.plans, self._planning:
            seen = await self._read(asker, look)
            pace = _Pace(stop, self._leases_wait)
            return await until_ended(asyncio.ensure_future(asyncio.to_thread(compute, seen, pace)), stop)

    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Change something for a caller, after what leases wait for; see `Database.transact`."""
        if not self._caller():
            return await self._database.transact(work)
        async with self._place() as asker, asker.changes, self._changing:
            # whoever gives up does not break it off, and begins no other before it has ended
            return await until_ended(asyncio.ensure_future(self._database.transact(work)), Stop())

    async def _read(self, asker: _Asker, work: Callable[[Tx], T]) -> T:
        async with asker.reads:
            began = time.monotonic()
            answer = await self._database.ask(work)
            if self._leases_wait():
                await asyncio.sleep((time.monotonic() - began) * _REST_TIMES)
            return answer

    def _check_bounds(self) -> None:
        """Check how many questions are under way; raise CallerLimitError where the caller, or all callers, ask too much
        at a time.
        """
        caller, limits = self._caller(), self._limits
        if not caller or _let_in.get():
            return
        asker = self._askers.get(caller)
        if asker is not None and asker.under_way >= limits.caller_max:
            raise CallerLimitError(f"{asker.under_way} questions of this caller are under way", _COME_BACK_SECONDS)
        if self._under_way >= limits.all_max:
            raise CallerLimitError("too many questions of all callers are under way", _COME_BACK_SECONDS)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[_Asker]:
        """Count a question or change among those of its caller while it is under way."""
        caller = self._caller()
        if not caller:
            yield _Asker()
            return
        asker = self._askers.get(caller, _Asker())
        _let_in.set(True)
        self._askers[caller] = asker
        asker.under_way += 1
        self._under_way += 1
        try:
            yield asker
        finally:
            asker.under_way -= 1
            self._under_way -= 1
            if not asker.under_way:
                del self._askers[caller]
