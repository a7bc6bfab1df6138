"""The client that a PBX maker embeds: its whole interface. `runtime` says how the client's parts work together.

EMERGENCY RULE: emergency calls and running calls never depend on this client; see `calls`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from licensemaster.values import clean, plain
from licensemaster.values.given import checked
from slave_client.connection.clocks import Clock, SystemClock
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.runtime import ClientRuntime
from slave_client.seats.online_answers import Action
from slave_client.standby.takeover import Takeover, TakeoverError
from slave_client.values.callbacks import Callbacks, OnNotice, OnSeat, OnState
from slave_client.values.calls import CallKind, SeatPossession, call_allowed
from slave_client.values.config import ClientConfig
from slave_client.values.notices import Notice, NoticeKind
from slave_client.values.report import Loan, Report
from slave_client.values.seats import Awaited, Granted, Held, Outcome, ReturnOutcome, SeatKey, Synced, Want
from slave_client.values.states import State

TAKEOVER_WAIT_SECONDS = 30.0
"""Seconds that a takeover waits for evidence that the other PBX is gone, unless the call says otherwise."""


class SlaveClient:
    """Leases seats from a license master for one PBX.

    `on_state(old, new, why)`, `on_seat(want, change)` and `on_notice(notice)` are called on the event loop and must
    return at once; what they raise is logged and goes no further. `network` lets a simulation cut the network to the
    masters, `clock` and `chance` let tests control time and random numbers.

    Use it as an async context manager: leaving the block stops the client, and its lease and seats stay for the
    restart. Nothing but `close` gives them back: it is for a PBX that goes for good.
    """

    @checked
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
        self._carrying: dict[str, SlaveClient] = {}
        self._taking_over: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._is_leaving = False
        self._network = network or NetworkSwitch()
        self._clock = clock or SystemClock()
        self._runtime = ClientRuntime(
            config,
            callbacks=Callbacks(config.pbx, on_state=on_state, on_seat=on_seat, on_notice=on_notice),
            network=self._network,
            clock=self._clock,
            chance=chance or random.Random(),
            takeover=takeover,
        )
        parts = self._runtime.parts
        self._local_seats, self._board, self._client_state = parts.local_seats, parts.board, parts.client_state
        self._seat_manager = self._runtime.seat_manager

    # Starting and ending.

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Load what was kept on disk and begin to look for a master. Returns without waiting for a master; never
        raises because none answers, or because of what the state directory holds.

        Raises:
            ConfigError: a file that the configuration names cannot be used; names it.
            FolderInUseError: another client uses the state directory, or the directory that it was copied from.
            RuntimeError: the client was started before.
        """
        await self._runtime.start()

    async def close(self) -> int:
        """Close the lease, which returns its seats to the pool; return how many seats were returned.

        Returns 0 where no master could be reached: the seats then go back when the lease ends, and a notice says so.
        """
        await self._stop_carrying()
        return await self._runtime.close()

    async def stop(self) -> None:
        """Stop the client without closing its lease: a restart with the same state directory keeps lease and seats."""
        await self._stop_carrying()
        await self._runtime.stop()

    async def crash(self) -> None:
        """Stop as a killed process would: notify nobody, write nothing more. For simulations and tests."""
        self._is_leaving = True
        for carrying in tuple(self._carrying.values()):
            await carrying.crash()
        self._runtime.kept.state_writer.abandon()
        await self._runtime.stop()

    async def _stop_carrying(self) -> None:
        self._is_leaving = True
        for carrying in tuple(self._carrying.values()):
            await carrying.stop()

    # Seats.

    @checked
    async def acquire(self, want: Want, *, wait: bool = False) -> Outcome:
        """Acquire one seat; safe to repeat. Refusals of every kind are outcomes, never exceptions.

        Takes `give_up_after_seconds` at most, and no time at all for a seat that is held already. Offline, a seat that
        was returned since and is reassignable may be granted; everything else is refused with OFFLINE.

        `wait` has the PBX wait for a seat that is short, where the operator lets it: the outcome is Refused with the
        reason WAITING and the `place`, at once, and `on_seat` hears when it is granted. The place is kept over
        reconnects and other masters. `return_seat` gives it up; so does whoever goes away while this is under way.
        """
        return (await self.acquire_many((want,), wait=wait))[0]

    @checked
    async def acquire_many(self, wants: Iterable[Want], *, wait: bool = False) -> list[Outcome]:
        """Acquire seats, each granted or refused by itself; return one outcome per want, in order. See `acquire`."""
        return await self._seat_manager.acquire_many(wants, Action.AWAIT if wait else Action.ACQUIRE)

    @checked
    async def return_seat(self, want: Want) -> ReturnOutcome:
        """Return one seat; safe to repeat. Refused only where other seats depend on it (rule H5).

        Where the master does not answer, the client stops using the seat at once and tells the master later.
        """
        return (await self._seat_manager.return_many((want,)))[0]

    @checked
    async def return_seats(self, wants: Iterable[Want]) -> list[ReturnOutcome]:
        """Return seats to the pool; return one outcome per seat, in order. See `return_seat`."""
        return await self._seat_manager.return_many(wants)

    @checked
    async def sync(self, wants: Sequence[Want]) -> Synced:
        """Make the seats that this PBX holds equal to the whole set that it wants, in one step.

        For a PBX that starts and knows what is configured and registered. Offline, missing seats are asked for when
        the master is reached again, and `on_seat` hears the answer. Raises ValueError where a seat is wanted twice.
        """
        synced = await self._seat_manager.sync(wants)
        self._board.clear_own(NoticeKind.SEATS_FROM_BEFORE)
        return synced

    @property
    def held(self) -> tuple[Held, ...]:
        """The seats in use; none once the signed end of the lease has come."""
        return () if self._client_state.is_over else self._local_seats.held

    @property
    def awaited(self) -> tuple[Awaited, ...]:
        """The seats that are waited for, with their places."""
        return self._local_seats.places

    @checked
    def already_held(self, want: Want) -> Granted | None:
        """Return the grant of a seat that is in use exactly as wanted, without a call; None for any other seat."""
        return self._seat_manager.known(want)

    @checked
    def held_seat(self, key: SeatKey) -> Held | None:
        """Return the seat in use that has this name; None where there is none, or the lease's signed end has come."""
        return None if self._client_state.is_over else self._local_seats.held_seat(key)

    def call_allowed(self, *, kind: CallKind, holder: str = "", license_type: str = "") -> bool:
        """Tell whether a call may be made or go on, at once and in any state, started or not.

        Emergency and running calls always may. A new one may where `holder` uses a seat (of `license_type`, if given),
        and the lease runs: a machine that slept past its signed end does not go on for the moment until it notices.
        """
        if kind is not CallKind.NEW:
            return call_allowed(kind)
        names = clean(str(holder)), plain(str(license_type))  # spelt as those of seats
        has_seat = not self._client_state.is_over and self._local_seats.holder_has_seat(*names)
        return call_allowed(kind, SeatPossession.HELD if has_seat else SeatPossession.NOT_HELD)

    # Standing in for another PBX.

    @checked
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

        Safe to repeat, also while it is under way: whoever comes second waits for what the first one brings.

        Raises TakeoverError where the master refuses, or where none answers and there is no standby lease in force, and
        ConfigError where `primary` is no name of a PBX.
        """
        primary = replace(self._config, pbx=primary).pbx  # looked at before it names a file
        async with self._taking_over.setdefault(primary, asyncio.Lock()):
            before = self._carrying.get(primary)
            if before is not None:
                if not before.state.is_final:
                    return before
                await before.stop()  # its folder is needed
            await self._runtime.standby_leases.load(primary)
            await self._client_state.judged.wait()  # it takes a lease of its own, or that no master answers
            takeover = Takeover(
                standby=self._config,
                primary=primary,
                reason=reason,
                force=force,
                own=self._client_state,
                standby_leases=self._runtime.standby_leases,
            )
            client = SlaveClient(
                takeover.config(self._runtime.kept.trusted_keys()),
                on_state=on_state,
                on_seat=on_seat,
                on_notice=on_notice,
                network=self._network,
                clock=self._clock,
                takeover=takeover,
            )
            await client.start()
            self._carrying[primary] = client  # from here on, whoever stops this client stops that one
            try:
                if self._is_leaving:
                    raise TakeoverError(f"{self._config.pbx} is leaving")
                await takeover.decide(client._client_state, wait_seconds)
            except BaseException:
                await client.stop()
                del self._carrying[primary]
                raise
            return client

    # How it stands.

    @property
    def config(self) -> ClientConfig:
        return self._config

    @property
    def state(self) -> State:
        """The client's state toward its master."""
        return self._client_state.state

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The notices that hold now, from the master and from the client itself."""
        return self._board.current

    def report(self) -> Report:
        """Return the client's state, lease, loans and notices at this moment."""
        client_state, now = self._client_state, self._clock.now()
        state = client_state.state
        end = client_state.verified.end_time if client_state.verified else None
        return Report(
            state=state,
            why=client_state.why,
            epoch=client_state.epoch,
            lease_end=datetime.fromtimestamp(end, UTC) if end is not None else None,
            remaining_seconds=client_state.remaining_seconds(),
            seats_held=len(self._local_seats.held),
            loans=tuple(
                Loan(
                    license_type=loan.verified.license_type,
                    seats=loan.verified.seats,
                    end_time=datetime.fromtimestamp(loan.verified.end_time, UTC),
                    remaining_seconds=loan.end - now,
                )
                for loan in self._runtime.parts.loans.running(now)
            ),
            master=self._runtime.parts.masters.address,
            notices=self._board.current,
        )

    @checked
    async def wait_for_state(self, *states: State, timeout_seconds: float | None = None) -> State:
        """Wait until one of the states is entered (or is the present one) and return it.

        A state that is left again at once counts, too. Raises TimeoutError, and ValueError where no state is named.
        """
        if not states:
            raise ValueError("states: none is named; write such as wait_for_state(State.CONNECTED)")
        async with asyncio.timeout(timeout_seconds):
            return await self._client_state.wait_for(frozenset(states))

    def look_again(self) -> None:
        """Try to reach a master now rather than after the pause, because the PBX has reason to think that the
        network is back.
        """
        self._runtime.look_again()
