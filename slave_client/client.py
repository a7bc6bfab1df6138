"""The client that a PBX maker embeds: what it offers, and the one place where its parts are put together.

Decides: what is done on entering a state (seats are lost, files are removed, callbacks are called), and in which order
a client starts and ends. The parts: `keeper` keeps the lease, `watcher` listens, `desk` acquires and returns, `book`
and `standing` remember, `keepsake` writes to disk.

EMERGENCY RULE: emergency calls and running calls never depend on this client; see `calls`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from licensemaster.v1 import lease_pb2
from slave_client.backoff import Backoff
from slave_client.book import Book, Held
from slave_client.callbacks import Callbacks, OnNotice, OnSeat, OnState
from slave_client.calls import CallKind, SeatPossession, call_allowed
from slave_client.certifying import Certifier
from slave_client.clocks import Clock, SystemClock
from slave_client.config import ClientConfig, ConfigError
from slave_client.desk import SeatDesk
from slave_client.device_key import DeviceKey, DeviceKeyError
from slave_client.keeper import LeaseKeeper, Memory
from slave_client.keepsake import Keepsake
from slave_client.line import Line
from slave_client.masters import MasterError, Masters
from slave_client.notices import Notice, NoticeBoard, NoticeKind
from slave_client.promise import Promise, WallClock, proof_of, remaining_after_restart
from slave_client.report import Report
from slave_client.seats import LossCause, Lost, Outcome, ReturnOutcome, Synced, Want
from slave_client.shelf import NoShelf, Shelf
from slave_client.standby import OwnOpener, Takeover, TakeoverError
from slave_client.standing import Standing
from slave_client.state_dir import Identity, KeptLease, StateDir, recover
from slave_client.states import Event, State
from slave_client.watcher import LeaseWatcher, Listener

_log = logging.getLogger("slave_client")

_AGING_SECONDS = 60.0
TAKEOVER_WAIT_SECONDS = 30.0
"""How long a takeover waits for evidence that the other PBX is gone, unless it is told otherwise."""
_DECIDED = frozenset({State.CONNECTED, State.OFFLINE, *(state for state in State if state.is_final)})


class SlaveClient:
    """Leases seats from a license master for one PBX.

    `on_state(old, new, why)`, `on_seat(want, change)` and `on_notice(notice)` are called on the event loop and must
    return at once; what they raise is logged and goes no further. `line` lets a simulation cut the line to the masters,
    `clock` and `chance` let tests hold time and luck.

    Use it as an async context manager: leaving the block stops the client, and its lease and seats stay for the
    restart. Nothing but `close` gives them back: it is for a PBX that goes for good.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        on_state: OnState | None = None,
        on_seat: OnSeat | None = None,
        on_notice: OnNotice | None = None,
        line: Line | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
        takeover: Takeover | None = None,
    ) -> None:
        self._config = config
        self._takeover = takeover
        self._carrying: dict[str, SlaveClient] = {}
        self._line = line or Line()
        self._callbacks = Callbacks(config.pbx, on_state=on_state, on_seat=on_seat, on_notice=on_notice)
        self._clock = clock or SystemClock()
        self._backoff = Backoff(
            base_seconds=config.backoff_base_seconds,
            max_seconds=config.backoff_max_seconds,
            chance=chance or random.Random(),
        )
        self._book = Book()
        self._board = NoticeBoard(self._callbacks.notice)
        self._standing = Standing(self._clock, self._entered)
        self._masters = Masters(config, self._line, tell=self._tell_tls)
        self._identity = Identity(pbx=config.pbx, instance_id=uuid.uuid4().hex)
        self._state_dir = state_dir = StateDir(config.state_dir) if config.state_dir else None
        self._shelf = Shelf(
            standby=config.pbx,
            state_dir=state_dir,
            clock=self._clock,
            board=self._board,
            trusted_keys=self._trusted_keys,
        )
        self._keepsake = Keepsake(
            state_dir,
            snapshot=self._snapshot,
            problem=self._tell_disk_problem,
            every_seconds=config.save_every_seconds,
            clock=self._clock,
        )
        self._desk = SeatDesk(
            config=config,
            book=self._book,
            standing=self._standing,
            masters=self._masters,
            keepsake=self._keepsake,
            clock=self._clock,
            backoff=self._backoff,
            check_line=self._check_line,
            look_again=self.look_again,
            tell=self._callbacks.seat,
        )
        self._certifier = Certifier(device_dir=config.device_dir, masters=self._masters, board=self._board)
        self._keeper: LeaseKeeper | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._chores: set[asyncio.Task[None]] = set()

    # Starting and ending.

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Load what was kept and begin to look for a master. Returns without waiting for one; never raises for want of
        a master, or for what a state directory holds.

        Raises:
            ConfigError: a file that the configuration names cannot be used; names it.
            FolderInUseError: somebody else uses the state directory, or that of which it is a copy.
            RuntimeError: the client was started before.
        """
        if self._tasks or self._standing.state is not State.STARTING:
            raise RuntimeError("a client is started once; make a new one")
        try:
            await self._check_files()
            memory = await self._resume()
        except BaseException:
            self._leave_state_dir()
            raise
        listener = Listener(
            standing=self._standing,
            masters=self._masters,
            board=self._board,
            revoker=self._desk.revoker,
            certifier=self._certifier,
        )
        self._keeper = LeaseKeeper(
            config=self._config,
            opener=(
                OwnOpener(
                    config=self._config,
                    masters=self._masters,
                    instance_id=self._identity.instance_id,
                    proof=self._proof,
                )
                if self._takeover is None
                else self._takeover.opener(
                    masters=self._masters,
                    instance_id=self._identity.instance_id,
                    book=self._book,
                    clock=self._clock,
                )
            ),
            shelf=self._shelf if self._takeover is None else NoShelf(),
            standing=self._standing,
            masters=self._masters,
            desk=self._desk,
            board=self._board,
            heed=listener.heed,
            clock=self._clock,
            backoff=self._backoff,
            memory=memory,
            trusted_keys=self._trusted_keys,
            on_lease=self._lease_came,
        )
        watcher = LeaseWatcher(
            pbx=self._config.pbx,
            standing=self._standing,
            masters=self._masters,
            heed=listener.heed,
            clock=self._clock,
            backoff=self._backoff,
            hurry=self._keeper.hurry,
        )
        work = (self._keeper.run(), self._keeper.run_out(), watcher.run(), self._age())
        self._tasks = tuple(asyncio.create_task(part) for part in work)
        for task in self._tasks:
            task.add_done_callback(_log_crash)

    async def close(self) -> int:
        """Close the lease, so that its seats go back, and return how many did.

        Returns 0 where no master could be told; they go back when the lease ends then, and a notice says so.
        """
        await self._end_tasks()
        returned = 0
        try:
            if not self._standing.state.is_final:
                returned = await self._desk.close_lease()
        except MasterError as failure:
            self._board.raise_own(NoticeKind.SEATS_NOT_TOLD, f"the lease was closed without the master: {failure}")
        self._standing.happened(Event.CLOSED, "the PBX closed its lease")
        await self._leave()
        return returned

    async def stop(self) -> None:
        """Leave without closing: a restart that finds the state directory carries on with the lease and its seats."""
        await self._end_tasks()
        if not self._standing.state.is_final:
            await self._keepsake.save_now()
        self._standing.happened(Event.STOPPED, "the PBX stopped the client and keeps its lease")
        await self._leave()

    async def crash(self) -> None:
        """Leave as a killed process would: nothing is told, nothing more is written. For simulations and tests."""
        for carrying in self._carrying.values():
            await carrying.crash()
        self._keepsake.abandon()
        await self.stop()

    # Seats.

    async def acquire(self, want: Want) -> Outcome:
        """Acquire one seat; safe to repeat. Refusals of every kind are outcomes, never exceptions.

        Takes `give_up_after_seconds` at most, and no time at all for a seat that is held already. Offline, a seat that
        was returned since and is reassignable may be granted; everything else is refused with OFFLINE.
        """
        return (await self._desk.acquire_many((want,)))[0]

    async def acquire_many(self, wants: Sequence[Want]) -> list[Outcome]:
        """Acquire seats, each granted or refused by itself; returns one outcome per want, in order."""
        return await self._desk.acquire_many(wants)

    async def return_seat(self, want: Want) -> ReturnOutcome:
        """Return one seat; safe to repeat. Refused only where other seats depend on it (rule H5).

        Where the master does not answer, the seat is given up at once all the same, and it is told later.
        """
        return (await self._desk.return_many((want,)))[0]

    async def return_seats(self, wants: Sequence[Want]) -> list[ReturnOutcome]:
        """Return seats; returns one outcome per seat, in order."""
        return await self._desk.return_many(wants)

    async def sync(self, wants: Sequence[Want]) -> Synced:
        """Make what this PBX holds equal to the whole set it wants, in one step.

        For a PBX that starts and knows what is configured and registered. Offline, what cannot be had is asked for when
        the master is reached again, and `on_seat` hears the answer. Raises ValueError where a seat is wanted twice.
        """
        synced = await self._desk.sync(wants)
        self._board.clear_own(NoticeKind.SEATS_FROM_BEFORE)
        return synced

    @property
    def held(self) -> tuple[Held, ...]:
        """The seats in use; none once the signed end has come."""
        return () if self._standing.is_over else self._book.held

    def call_allowed(self, *, kind: CallKind, holder: str = "", license_type: str = "") -> bool:
        """Tell whether a call may be made or go on, at once and in any state, started or not.

        Emergency and running calls always may. A new one may where `holder` uses a seat (of `license_type`, if given),
        and the lease runs: a machine that slept past its signed end does not go on for the moment until it notices.
        """
        if kind is not CallKind.NEW:
            return call_allowed(kind)
        has_seat = not self._standing.is_over and self._book.holder_has_seat(holder, license_type)
        return call_allowed(kind, SeatPossession.HELD if has_seat else SeatPossession.NOT_HELD)

    # Standing in for another PBX.

    async def take_over(
        self,
        primary: str,
        *,
        reason: str = "",
        force: bool = False,
        wait_seconds: float = TAKEOVER_WAIT_SECONDS,
        on_state: OnState | None = None,
        on_seat: OnSeat | None = None,
        on_notice: OnNotice | None = None,
    ) -> SlaveClient:
        """Carry the seats of a PBX that failed, and return a client for them: a lease of that PBX, under a new epoch.

        Where no master answers, the client starts OFFLINE on the strength of the standby lease that this one keeps, and
        takes over as soon as one does. Call its `sync` with the whole set that is wanted. When the PBX returns, the
        client becomes FENCED and its seats are lost with the cause HANDED_BACK; this client is untouched, and may take
        over again. `stop` it to leave, `close` it only if the PBX's seats are to go back.

        A PBX that may be alive, by what the master sees, is left alone; for `wait_seconds` it is asked again and again
        whether it is gone by now. A dead one is taken over from within seconds. `force` takes over at once, as for
        planned work: a PBX that is alive is told; one that is alive and out of reach goes on using its seats as well,
        until its signed end.

        Raises TakeoverError where the master refuses, or where none answers and there is no standby lease in force.
        """
        before = self._carrying.get(primary)
        if before is not None and not before.state.is_final:
            return before
        if before is not None:
            await before.stop()  # its folder is needed
        await self._shelf.load(primary)
        await self._standing.judged.wait()  # it takes a lease of its own, or that no master answers
        takeover = Takeover(
            standby=self._config, primary=primary, reason=reason, force=force, own=self._standing, shelf=self._shelf
        )
        name = primary.rpartition("/")[2]
        state_dir = self._config.state_dir / f"carrying-{name}" if self._config.state_dir is not None else None
        client = SlaveClient(
            replace(
                self._config,
                pbx=primary,
                state_dir=state_dir,
                device_dir=None,  # it has not that PBX's device
                trusted_keys=self._trusted_keys(),
            ),
            on_state=on_state,
            on_seat=on_seat,
            on_notice=on_notice,
            line=self._line,
            clock=self._clock,
            takeover=takeover,
        )
        await client.start()
        try:
            await client._standing.judged.wait()
            if takeover.waits:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_seconds):
                        await client._standing.wait_for(_DECIDED)
        except BaseException:
            await client.stop()
            raise
        if takeover.problems or client.state not in (State.CONNECTED, State.OFFLINE):
            why = client.report().why
            await client.stop()
            message = "; ".join(problem.message for problem in takeover.problems) or (
                f"no master answers, and no standby lease for {primary} is in force ({why})"
            )
            raise TakeoverError(message, takeover.problems)
        self._carrying[primary] = client
        return client

    # How it stands.

    @property
    def config(self) -> ClientConfig:
        """What the client was made with."""
        return self._config

    @property
    def state(self) -> State:
        """Where the client stands with its master."""
        return self._standing.state

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What holds now, from the master and from the client itself."""
        return self._board.current

    def report(self) -> Report:
        """Return how the client stands at this moment."""
        standing = self._standing
        state = standing.state
        end = standing.promise.end_time if standing.promise else None
        return Report(
            state=state,
            why=standing.why,
            epoch=standing.epoch,
            lease_end=datetime.fromtimestamp(end, UTC) if end is not None else None,
            remaining_seconds=standing.remaining_seconds(),
            seats_held=len(self._book.held),
            master=self._masters.address,
            notices=self._board.current,
        )

    async def wait_for_state(self, *states: State, timeout_seconds: float | None = None) -> State:
        """Wait until one of the states is entered (or is the present one) and return it.

        A state that is left again at once counts, too. Raises TimeoutError.
        """
        async with asyncio.timeout(timeout_seconds):
            return await self._standing.wait_for(frozenset(states))

    def look_again(self) -> None:
        """Try to reach a master now rather than after the pause: the PBX has reason to think that the line is back."""
        if self._keeper is not None:
            self._keeper.hurry()

    # How the parts work together.

    async def _resume(self) -> Memory:
        """Take over what the state directory has, as far as it can be relied on."""
        if self._state_dir is None:
            self._rely_on_standby_lease()
            return Memory.BLANK
        await asyncio.to_thread(self._state_dir.claim)
        found = await asyncio.to_thread(
            recover, self._state_dir, pbx=self._config.pbx, trusted_keys=self._config.trusted_keys
        )
        if found.problems:
            self._board.raise_own(NoticeKind.STATE_SET_ASIDE, " ".join(found.problems))
        if found.identity is not None:
            self._state_dir.claim_identity(found.identity.instance_id)
            self._identity = found.identity
        else:
            self._state_dir.claim_identity(self._identity.instance_id)
            await self._keepsake.save_identity(self._identity)
        if found.lease is not None:
            self._rely_on(found.lease)
        else:
            self._rely_on_standby_lease()
        return Memory.BLANK if found.identity is None or found.problems else Memory.INTACT

    def _rely_on_standby_lease(self) -> None:
        found = self._takeover.find_document() if self._takeover is not None else None
        if found is not None:
            lease, end = found
            self._book.allow(lease.seats)
            self._standing.hold(lease.promise, end=end)

    def _rely_on(self, kept: KeptLease) -> None:
        wall = self._clock.wall()
        remaining, clock = remaining_after_restart(
            kept.promise, wall=wall, saved_wall=kept.saved_wall, saved_remaining_seconds=kept.remaining_seconds
        )
        if clock is WallClock.SET_BACK:
            message = (
                f"the clock reads less than before the restart; of the kept lease {remaining:.0f} s remain at most"
            )
            self._board.raise_own(NoticeKind.CLOCK_SET_BACK, message)
        self._book.restore(held=kept.held, idle=kept.idle)
        self._standing.hold(kept.promise, end=self._clock.now() + remaining)

    async def _lease_came(self, promise: Promise) -> None:
        if not self._config.trusted_keys and self._identity.pinned_key != promise.public_key:
            self._identity = replace(self._identity, pinned_key=promise.public_key)
            await self._keepsake.save_identity(self._identity)
        self._keepsake.changed()

    def _proof(self) -> lease_pb2.LeaseProof | None:
        promise = self._standing.promise
        return None if promise is None else proof_of(promise, self._book.in_use())

    def _trusted_keys(self) -> tuple[bytes, ...]:
        if self._config.trusted_keys:
            return self._config.trusted_keys
        return (self._identity.pinned_key,) if self._identity.pinned_key else ()

    def _snapshot(self) -> KeptLease | None:
        standing = self._standing
        by_document = self._takeover is not None and self._takeover.document is not None
        if standing.promise is None or (by_document and standing.epoch is None):
            return None
        return KeptLease(
            promise=standing.promise,
            remaining_seconds=standing.remaining_seconds(),
            saved_wall=self._clock.wall(),
            held=self._book.held,
            idle=self._book.idle,
        )

    def _entered(self, old: State, new: State, event: Event, why: str) -> None:
        if new is State.EXPIRED:
            self._lose_seats(LossCause.EXPIRED, why)
        elif new is State.FENCED:
            self._lose_seats(LossCause.FENCED if self._takeover is None else LossCause.HANDED_BACK, why)
            self._book.forget_all()
        if self._takeover is not None:
            self._pass_through(self._takeover, new)
        if new in (State.EXPIRED, State.FENCED):
            self._keepsake.changed_for_good()
        elif not new.is_final:
            self._keepsake.changed()
        self._callbacks.state(old, new, why)
        if event is Event.LEASE_UNKNOWN:
            self.look_again()

    def _pass_through(self, takeover: Takeover, new: State) -> None:
        """What a state means for the takeover that this client is."""
        if new is State.OFFLINE:
            takeover.carries_offline(self._clock.now())
        elif new is State.CONNECTED:
            self._book.allow_no_more()
            self._do(takeover.connected(self._standing.epoch or 0))
        elif new in (State.EXPIRED, State.FENCED):
            self._do(takeover.ended())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        task.add_done_callback(_log_crash)

    def _lose_seats(self, cause: LossCause, why: str) -> None:
        for want in self._book.lose_all():
            self._callbacks.seat(Lost(want=want, cause=cause, message=why))

    async def _age(self) -> None:
        """While offline, note on disk now and then how much of the lease is used up, whatever the wall clock says."""
        while not self._standing.state.is_final:
            await self._clock.sleep(_AGING_SECONDS)
            if self._standing.state is State.OFFLINE:
                self._keepsake.changed()

    async def _check_line(self) -> None:
        if self._keeper is not None:
            await self._keeper.check_line()

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _leave(self) -> None:
        for carrying in self._carrying.values():
            await carrying.stop()
        try:
            await asyncio.gather(*self._chores)
            await self._masters.close()
            await self._certifier.stop()
            await self._desk.stop()
            await self._keepsake.stop()
        finally:
            self._leave_state_dir()

    def _leave_state_dir(self) -> None:
        if self._state_dir is not None:
            self._state_dir.leave()

    async def _check_files(self) -> None:
        """Find out now what would otherwise show as a master that does not answer; raises ConfigError."""
        try:
            await self._masters.read_certificates()
        except ValueError as failure:
            raise ConfigError(str(failure)) from failure
        if self._config.device_dir is not None:
            try:
                await asyncio.to_thread(DeviceKey.load, self._config.device_dir)
            except DeviceKeyError as failure:
                raise ConfigError(f"device_dir: {failure}") from failure

    def _tell_tls(self, kind: NoticeKind, problem: str | None) -> None:
        if problem is None:
            self._board.clear_own(kind)
        else:
            self._board.raise_own(kind, problem)

    def _tell_disk_problem(self, problem: OSError | None) -> None:
        if problem is None:
            self._board.clear_own(NoticeKind.STATE_NOT_SAVED)
        else:
            message = f"{self._config.state_dir} cannot be written ({problem}); after a restart nothing will be known"
            self._board.raise_own(NoticeKind.STATE_NOT_SAVED, message)


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.error("a background task of the slave client failed", exc_info=failure)
