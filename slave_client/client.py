"""The client that a PBX maker embeds: what it offers, and the one place where its parts are put together.

Decides: what is done on entering a state (seats are lost, files are removed, callbacks are called), and in which order
a client starts and ends. The parts: `lease_keeper` keeps the lease, `lease_watcher` receives notices,
`seat_manager` acquires and returns seats, `local_seats` and `client_state` remember, `kept_state` has what a restart
needs.

EMERGENCY RULE: emergency calls and running calls never depend on this client; see `calls`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from slave_client.connection.background import Background
from slave_client.connection.backoff import Backoff
from slave_client.connection.client_state import ClientState
from slave_client.connection.clocks import Clock, SystemClock
from slave_client.connection.master_failures import MasterError
from slave_client.connection.masters import Masters
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.device.certification import Certifier
from slave_client.kept_state import KeptState
from slave_client.lease.lease_keeper import KeptLeases, LeaseKeeper
from slave_client.lease.lease_watcher import LeaseWatcher, Listener
from slave_client.client_parts import ClientParts
from slave_client.holdings.local_seats import LocalSeats
from slave_client.seats.seat_manager import Action, SeatManager
from slave_client.standby.standby_leases import NoStandbyLeases, StandbyLeases
from slave_client.standby.takeover import OwnOpener, Takeover
from slave_client.values.callbacks import Callbacks, OnNotice, OnSeat, OnState
from slave_client.values.calls import CallKind, SeatPossession, call_allowed
from slave_client.values.config import ClientConfig
from slave_client.values.notices import Notice, NoticeBoard, NoticeKind
from slave_client.values.report import Report
from slave_client.values.seats import (
    Awaited,
    Granted,
    Held,
    LossCause,
    Lost,
    Outcome,
    ReturnOutcome,
    SeatKey,
    Synced,
    Want,
)
from slave_client.values.states import Event, State

TAKEOVER_WAIT_SECONDS = 30.0
"""How long a takeover waits for evidence that the other PBX is gone, unless the call says otherwise."""


class SlaveClient:
    """Leases seats from a license master for one PBX.

    `on_state(old, new, why)`, `on_seat(want, change)` and `on_notice(notice)` are called on the event loop and must
    return at once; what they raise is logged and goes no further. `network` lets a simulation cut the network to the
    masters, `clock` and `chance` let tests control time and random numbers.

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
        network: NetworkSwitch | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
        takeover: Takeover | None = None,
    ) -> None:
        self._config = config
        self._takeover = takeover
        self._carrying: dict[str, SlaveClient] = {}
        self._network = network or NetworkSwitch()
        self._callbacks = Callbacks(config.pbx, on_state=on_state, on_seat=on_seat, on_notice=on_notice)
        self._clock = clock or SystemClock()
        self._local_seats = LocalSeats()
        self._board = NoticeBoard(self._callbacks.notice)
        self._client_state = ClientState(self._clock, self._entered)
        self._masters = Masters(config, self._network, tell=self._board.set_own)
        self._parts = parts = ClientParts(
            config=config,
            clock=self._clock,
            backoff=Backoff(
                base_seconds=config.backoff_base_seconds,
                max_seconds=config.backoff_max_seconds,
                chance=chance or random.Random(),
            ),
            local_seats=self._local_seats,
            board=self._board,
            client_state=self._client_state,
            masters=self._masters,
            tell=self._callbacks.seat,
        )
        self._kept = KeptState(parts, takeover=takeover)
        self._state_writer = self._kept.state_writer
        self._standby_leases = StandbyLeases(
            standby=config.pbx,
            state_dir=self._kept.state_dir,
            clock=self._clock,
            board=self._board,
            trusted_keys=self._kept.trusted_keys,
        )
        self._seat_manager = SeatManager(
            parts, state_writer=self._state_writer, check_connection=self._check_connection, look_again=self.look_again
        )
        self._certifier = Certifier(device_dir=config.device_dir, masters=self._masters, board=self._board)
        self._keeper: LeaseKeeper | None = None
        self._background = Background()

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
        if self._keeper is not None or self._client_state.state is not State.STARTING:
            raise RuntimeError("a client is started once; make a new one")
        try:
            await self._masters.read_certificates()
            await self._certifier.check_device()
            memory = await self._kept.resume()
        except BaseException:
            self._kept.leave()
            raise
        listener = Listener(
            self._parts,
            revoker=self._seat_manager.revoker,
            awaited=self._seat_manager.awaited,
            certifier=self._certifier,
        )
        self._keeper = LeaseKeeper(
            self._parts,
            opener=(
                OwnOpener(self._parts, instance_id=self._kept.instance_id, proof=self._kept.proof)
                if self._takeover is None
                else self._takeover.opener(self._parts, instance_id=self._kept.instance_id)
            ),
            standby_leases=self._standby_leases if self._takeover is None else NoStandbyLeases(),
            seat_manager=self._seat_manager,
            on_notices=listener.on_notices,
            kept=KeptLeases(memory, self._kept.trusted_keys, self._kept.lease_came, self._kept.block_uses),
        )
        watcher = LeaseWatcher(self._parts, on_notices=listener.on_notices, hurry=self._keeper.hurry)
        for work in (self._keeper.run(), self._keeper.run_out(), watcher.run(), self._kept.age()):
            self._background.run(work)

    async def close(self) -> int:
        """Close the lease, so that its seats go back, and return how many did.

        Returns 0 where no master could be reached; they go back when the lease ends then, and a notice says so.
        """
        await self._background.cancel()
        returned = 0
        try:
            if not self._client_state.state.is_final:
                returned = await self._seat_manager.close_lease()
        except MasterError as failure:
            self._board.raise_own(NoticeKind.SEATS_NOT_TOLD, f"the lease was closed without the master: {failure}")
        self._client_state.happened(Event.CLOSED, "the PBX closed its lease")
        await self._leave()
        return returned

    async def stop(self) -> None:
        """Leave without closing: a restart that finds the state directory carries on with the lease and its seats."""
        await self._background.cancel()
        if not self._client_state.state.is_final:
            await self._state_writer.save_now()
        self._client_state.happened(Event.STOPPED, "the PBX stopped the client and keeps its lease")
        await self._leave()

    async def crash(self) -> None:
        """Leave as a killed process would: nobody is notified, nothing more is written. For simulations and tests."""
        for carrying in self._carrying.values():
            await carrying.crash()
        self._state_writer.abandon()
        await self.stop()

    # Seats.

    async def acquire(self, want: Want, *, wait: bool = False) -> Outcome:
        """Acquire one seat; safe to repeat. Refusals of every kind are outcomes, never exceptions.

        Takes `give_up_after_seconds` at most, and no time at all for a seat that is held already. Offline, a seat that
        was returned since and is reassignable may be granted; everything else is refused with OFFLINE.

        `wait` has the PBX wait for a seat that is short, where the operator lets it: the outcome is Refused with the
        reason WAITING and the `place`, at once, and `on_seat` hears when it is granted. The place is kept over
        reconnects and other masters. `return_seat` gives it up; so does whoever goes away while this is under way.
        """
        return (await self.acquire_many((want,), wait=wait))[0]

    async def acquire_many(self, wants: Sequence[Want], *, wait: bool = False) -> list[Outcome]:
        """Acquire seats, each granted or refused by itself; returns one outcome per want, in order. `wait` as above."""
        return await self._seat_manager.acquire_many(wants, Action.AWAIT if wait else Action.ACQUIRE)

    async def return_seat(self, want: Want) -> ReturnOutcome:
        """Return one seat; safe to repeat. Refused only where other seats depend on it (rule H5).

        Where the master does not answer, the seat is given up at once all the same, and the master hears of it later.
        """
        return (await self._seat_manager.return_many((want,)))[0]

    async def return_seats(self, wants: Sequence[Want]) -> list[ReturnOutcome]:
        """Return seats; returns one outcome per seat, in order."""
        return await self._seat_manager.return_many(wants)

    async def sync(self, wants: Sequence[Want]) -> Synced:
        """Make what this PBX holds equal to the whole set it wants, in one step.

        For a PBX that starts and knows what is configured and registered. Offline, what cannot be had is asked for when
        the master is reached again, and `on_seat` hears the answer. Raises ValueError where a seat is wanted twice.
        """
        synced = await self._seat_manager.sync(wants)
        self._board.clear_own(NoticeKind.SEATS_FROM_BEFORE)
        return synced

    @property
    def held(self) -> tuple[Held, ...]:
        """The seats in use; none once the signed end has come."""
        return () if self._client_state.is_over else self._local_seats.held

    @property
    def awaited(self) -> tuple[Awaited, ...]:
        """The seats that are waited for, with their places."""
        return self._local_seats.places

    def already_held(self, want: Want) -> Granted | None:
        """Return the grant of a seat that is in use just as wanted, at once and without a call; None for any other."""
        return self._seat_manager.known(want)

    def held_seat(self, key: SeatKey) -> Held | None:
        """Return a seat in use by its name; none once the signed end has come."""
        return None if self._client_state.is_over else self._local_seats.held_seat(key)

    def call_allowed(self, *, kind: CallKind, holder: str = "", license_type: str = "") -> bool:
        """Tell whether a call may be made or go on, at once and in any state, started or not.

        Emergency and running calls always may. A new one may where `holder` uses a seat (of `license_type`, if given),
        and the lease runs: a machine that slept past its signed end does not go on for the moment until it notices.
        """
        if kind is not CallKind.NEW:
            return call_allowed(kind)
        has_seat = not self._client_state.is_over and self._local_seats.holder_has_seat(holder, license_type)
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
        planned work: a PBX that is alive is notified; one that is alive and out of reach goes on using its seats as
        well, until its signed end.

        Raises TakeoverError where the master refuses, or where none answers and there is no standby lease in force.
        """
        before = self._carrying.get(primary)
        if before is not None:
            if not before.state.is_final:
                return before
            await before.stop()  # its folder is needed
        await self._standby_leases.load(primary)
        await self._client_state.judged.wait()  # it takes a lease of its own, or that no master answers
        takeover = Takeover(
            standby=self._config,
            primary=primary,
            reason=reason,
            force=force,
            own=self._client_state,
            standby_leases=self._standby_leases,
        )
        client = SlaveClient(
            takeover.config(self._kept.trusted_keys()),
            on_state=on_state,
            on_seat=on_seat,
            on_notice=on_notice,
            network=self._network,
            clock=self._clock,
            takeover=takeover,
        )
        await client.start()
        try:
            await takeover.decide(client._client_state, wait_seconds)
        except BaseException:
            await client.stop()
            raise
        self._carrying[primary] = client
        return client

    # How it stands.

    @property
    def config(self) -> ClientConfig:
        return self._config

    @property
    def state(self) -> State:
        """Where the client stands with its master."""
        return self._client_state.state

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The notices that hold now, from the master and from the client itself."""
        return self._board.current

    def report(self) -> Report:
        """Return how the client stands at this moment."""
        client_state = self._client_state
        state = client_state.state
        end = client_state.verified.end_time if client_state.verified else None
        return Report(
            state=state,
            why=client_state.why,
            epoch=client_state.epoch,
            lease_end=datetime.fromtimestamp(end, UTC) if end is not None else None,
            remaining_seconds=client_state.remaining_seconds(),
            seats_held=len(self._local_seats.held),
            master=self._masters.address,
            notices=self._board.current,
        )

    async def wait_for_state(self, *states: State, timeout_seconds: float | None = None) -> State:
        """Wait until one of the states is entered (or is the present one) and return it.

        A state that is left again at once counts, too. Raises TimeoutError.
        """
        async with asyncio.timeout(timeout_seconds):
            return await self._client_state.wait_for(frozenset(states))

    def look_again(self) -> None:
        """Try to reach a master now rather than after the pause: the PBX has reason to think that the network is
        back.
        """
        if self._keeper is not None:
            self._keeper.hurry()

    # How the parts work together.

    def _entered(self, old: State, new: State, event: Event, why: str) -> None:
        if new is State.EXPIRED:
            self._lose_seats(LossCause.EXPIRED, why)
        elif new is State.FENCED:
            self._lose_seats(LossCause.FENCED if self._takeover is None else LossCause.HANDED_BACK, why)
            self._local_seats.forget_all()
        elif new is State.CONNECTED:
            self._local_seats.allow_no_more()
        if self._takeover is not None:
            self._takeover.entered(new, now=self._clock.now(), epoch=self._client_state.epoch or 0)
        if new in (State.EXPIRED, State.FENCED):
            self._state_writer.changed_for_good()
        elif not new.is_final:
            self._state_writer.changed()
        self._callbacks.state(old, new, why)
        if event is Event.LEASE_UNKNOWN:
            self.look_again()

    def _lose_seats(self, cause: LossCause, why: str) -> None:
        for want in self._local_seats.lose_all():
            self._callbacks.seat(Lost(want=want, cause=cause, message=why))

    async def _check_connection(self) -> None:
        if self._keeper is not None:
            await self._keeper.check_connection()

    async def _leave(self) -> None:
        for carrying in self._carrying.values():
            await carrying.stop()
        try:
            if self._takeover is not None:
                await self._takeover.finish()
            await self._masters.close()
            await self._certifier.stop()
            await self._seat_manager.stop()
            await self._state_writer.stop()
        finally:
            self._kept.leave()
