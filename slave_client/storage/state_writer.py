"""The times at which the state directory is written.

Decides: at most every so often for what may wait, at once for what may not. A file that lags behind an *acquire* costs
the site an offline seat after a crash; one that lags behind a *return* would let it use a seat that the master has lent
to somebody else. So returns are on disk before the master hears of them (`save_now`); where they cannot be written
what is there is removed, and where that fails too whoever reads the `problem` is told. Seats that are used from now on
are handed to the operating system, a line each (`note`), and what else changes is written soon (`changed`).
The whole is written on a thread; the event loop never waits for a disk. Leaves to others: the format (`state_dir`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from slave_client.connection.clocks import Clock
from slave_client.storage.kept_lease import KeptLease
from slave_client.storage.state_dir import Identity, StateDir
from slave_client.values.seats import Held


class OldStateStaysError(OSError):
    """Raised where the state can neither be written nor removed: a restart will rely on the older state."""


class StateWriter:
    """Writes one client's state, from `begin` to `stop`; before and after, the directory may be another client's.

    `snapshot` returns what is to be kept now, None for "no lease". `problem` is called with an OSError, and with None
    once writing works.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], KeptLease | None],
        problem: Callable[[OSError | None], None],
        every_seconds: float,
        clock: Clock,
    ) -> None:
        self._state_dir: StateDir | None = None
        self._snapshot = snapshot
        self._problem = problem
        self._every_seconds = every_seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._later: asyncio.Task[None] | None = None
        self._is_due = False
        """Whether there is a change that is not being written yet."""
        self._is_saved = False
        self.keeps_lease = False
        """True where the last writing had a lease: only then does a restart read the seats in the journal."""

    def begin(self, state_dir: StateDir) -> None:
        """Write to a directory from now on."""
        self._state_dir = state_dir

    @property
    def is_saved(self) -> bool:
        """True where the last state to be written is on disk, or there is no directory to write to."""
        return self._state_dir is None or self._is_saved

    def note(self, seats: Collection[Held]) -> bool:
        """Add seats that are used from now on to the journal; return whether that succeeded.

        The lines outlive a killed process: the operating system has them, and writes them to disk soon. A power cut may
        lose them, and ends the phones' use of the seats as well.
        """
        if self._state_dir is None or not seats:
            return True
        try:
            self._state_dir.append(seats)
        except OSError as failure:
            self._problem(failure)
            return False
        return True

    def changed(self) -> None:
        self._is_due = True
        if self._state_dir is not None and self._later is None:
            self._later = asyncio.create_task(self._save_later(self._every_seconds))

    def changed_for_good(self) -> None:
        """Start to write at once without waiting, because the lease is over and a restart must not rely on it."""
        self._is_due = True
        if self._state_dir is not None:
            if self._later is not None:
                self._later.cancel()
            self._later = asyncio.create_task(self._save_later(0.0))

    async def save_now(self) -> None:
        """Write the state; return when it is on disk, or cannot be written, which is reported."""
        self._is_due = True
        await self._in_turn(lambda state_dir: self._reported(self._save(state_dir)))

    async def save_identity(self, identity: Identity) -> None:
        """Write the identity; return when it is on disk, or cannot be written, which is reported."""
        await self._in_turn(lambda state_dir: self._reported(asyncio.to_thread(state_dir.save_identity, identity)))

    async def write(self, work: Callable[[StateDir], None]) -> None:
        """Have `work` write another file to the directory, when its turn comes; raises OSError."""
        await self._in_turn(lambda state_dir: asyncio.to_thread(work, state_dir))

    async def stop(self) -> None:
        """Write what is still to be written, and nothing afterwards."""
        if self._later is not None:
            self._later.cancel()
        if self._is_due:
            await self.save_now()
        await self._in_turn(self._end)

    def abandon(self) -> None:
        """Write nothing any more, as if the process had been killed."""
        self._state_dir = None

    async def _save_later(self, pause: float) -> None:
        await self._clock.sleep(pause)
        self._later = None
        await self.save_now()

    async def _in_turn(self, work: Callable[[StateDir], Awaitable[None]]) -> None:
        """Have `work` use the directory when no other work does, whether or not the caller still waits."""

        async def work_alone() -> None:
            async with self._lock:
                if self._state_dir is not None:  # asked inside: it may be another client's by now
                    await work(self._state_dir)

        await asyncio.shield(asyncio.ensure_future(work_alone()))

    async def _reported(self, saving: Awaitable[None]) -> None:
        try:
            await saving
        except OSError as failure:
            self._is_saved = False
            self._problem(failure)
        else:
            self._is_saved = True
            self._problem(None)

    async def _save(self, state_dir: StateDir) -> None:
        """Write the state as it is when its turn has come, so that an older state never follows a newer one."""
        self._is_due, self.keeps_lease = False, False
        lease, journal = self._snapshot(), state_dir.journal.begin()
        await asyncio.to_thread(_write_lease, state_dir, lease, journal)
        self.keeps_lease = lease is not None

    async def _end(self, state_dir: StateDir) -> None:
        self._state_dir = None


def _write_lease(state_dir: StateDir, lease: KeptLease | None, journal: int) -> None:
    try:
        if lease is not None:
            state_dir.save_lease(lease, journal=journal)
            return
    except OSError:
        _remove_lease(state_dir, journal)  # an old file may name seats that were returned since
        raise
    _remove_lease(state_dir, journal)


def _remove_lease(state_dir: StateDir, journal: int) -> None:
    try:
        state_dir.remove_lease(journal=journal)
    except OSError as failure:
        raise OldStateStaysError(str(failure)) from failure
