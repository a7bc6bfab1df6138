"""One client put together: its parts, the order in which they start and end, and what is done on entering a state.

Decides: that seats are lost, files are removed and callbacks are called as a state is entered. The parts:
`lease_keeper` keeps the lease, `lease_watcher` receives notices, `seat_manager` acquires and returns seats,
`local_seats` and `client_state` remember, `kept_state` has what a restart needs.
"""

from __future__ import annotations

import random

from slave_client.client_parts import ClientParts
from slave_client.connection.background import Background
from slave_client.connection.clocks import Clock
from slave_client.connection.master_failures import MasterError
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.device.certification import Certifier
from slave_client.kept_state import KeptState
from slave_client.lease.lease_keeper import KeptLeases, LeaseKeeper
from slave_client.lease.lease_watcher import LeaseWatcher, Listener
from slave_client.seats.seat_manager import SeatManager
from slave_client.standby.standby_leases import NoStandbyLeases, StandbyLeases
from slave_client.standby.takeover import OwnOpener, Takeover
from slave_client.values.callbacks import Callbacks
from slave_client.values.config import ClientConfig
from slave_client.values.notices import NoticeKind
from slave_client.values.seats import LossCause, Lost
from slave_client.values.states import Event, State


class ClientRuntime:
    """What runs behind one `SlaveClient`; `takeover` is set where it carries the seats of another PBX, else None."""

    def __init__(
        self,
        config: ClientConfig,
        *,
        callbacks: Callbacks,
        network: NetworkSwitch,
        clock: Clock,
        chance: random.Random,
        takeover: Takeover | None,
    ) -> None:
        self._callbacks = callbacks
        self._takeover = takeover
        self.parts = parts = ClientParts.of(
            config, callbacks=callbacks, on_enter=self._entered, network=network, clock=clock, chance=chance
        )
        parts.local_seats.knows_all = takeover is None
        self._client_state, self._masters, self._board = parts.client_state, parts.masters, parts.board
        self.kept = KeptState(parts, takeover=takeover)
        self.standby_leases = StandbyLeases(
            standby=config.pbx,
            state_dir=self.kept.state_dir,
            state_writer=self.kept.state_writer,
            clock=clock,
            board=parts.board,
            trusted_keys=self.kept.trusted_keys,
        )
        self.seat_manager = SeatManager(
            parts,
            state_writer=self.kept.state_writer,
            check_connection=self.check_connection,
            look_again=self.look_again,
        )
        self._certifier = Certifier(device_dir=config.device_dir, masters=parts.masters, board=parts.board)
        self._keeper: LeaseKeeper | None = None
        self._background = Background()

    async def start(self) -> None:
        """Load what was kept on disk and begin to look for a master; raises as `SlaveClient.start` does."""
        if self._keeper is not None or self._client_state.state is not State.STARTING:
            raise RuntimeError("a client is started once; make a new one")
        try:
            await self._masters.read_certificates()
            await self._certifier.check_device()
            memory = await self.kept.resume()
        except BaseException:
            await self.kept.leave()
            raise
        self._client_state.started()
        listener = Listener(
            self.parts, revoker=self.seat_manager.revoker, awaited=self.seat_manager.awaited, certifier=self._certifier
        )
        self._keeper = LeaseKeeper(
            self.parts,
            opener=(
                OwnOpener(self.parts, instance_id=self.kept.instance_id, proof=self.kept.proof)
                if self._takeover is None
                else self._takeover.opener(self.parts, instance_id=self.kept.instance_id)
            ),
            standby_leases=self.standby_leases if self._takeover is None else NoStandbyLeases(),
            seat_manager=self.seat_manager,
            on_notices=listener.on_notices,
            kept=KeptLeases(
                memory, self.kept.trusted_keys, self.kept.lease_came, self.kept.loans_came, self.kept.block_uses
            ),
        )
        watcher = LeaseWatcher(self.parts, on_notices=listener.on_notices, hurry=self._keeper.hurry)
        for work in (self._keeper.run(), self._keeper.run_out(), watcher.run(), self.kept.age()):
            self._background.run(work)

    async def close(self) -> int:
        """Close the lease; return how many seats went back to the pool, 0 where no master was reached."""
        await self._background.cancel()
        returned = 0
        try:
            if not self._client_state.state.is_final:
                returned = await self.seat_manager.close_lease()
        except MasterError as failure:
            self._board.raise_own(NoticeKind.SEATS_NOT_TOLD, f"the lease was closed without the master: {failure}")
        self._client_state.happened(Event.CLOSED, "the PBX closed its lease")
        await self._leave()
        return returned

    async def stop(self) -> None:
        """Stop without closing the lease, after writing the state to disk."""
        await self._background.cancel()
        if not self._client_state.state.is_final:
            await self.kept.state_writer.save_now()
        self._client_state.happened(Event.STOPPED, "the PBX stopped the client and keeps its lease")
        await self._leave()

    def look_again(self) -> None:
        """Try to reach a master now rather than after the pause."""
        if self._keeper is not None:
            self._keeper.hurry()

    async def check_connection(self) -> None:
        """Wait until the lease keeper has tried the masters once more."""
        if self._keeper is not None:
            await self._keeper.check_connection()

    def _entered(self, old: State, new: State, event: Event, why: str) -> None:
        local_seats, state_writer = self.parts.local_seats, self.kept.state_writer
        if new in (State.BORROWING, State.EXPIRED):
            self._lose_seats(LossCause.EXPIRED, why)
        elif new is State.FENCED:
            self.parts.loans.forget()
            self._lose_seats(LossCause.FENCED if self._takeover is None else LossCause.HANDED_BACK, why)
            local_seats.forget_all()
        elif new is State.CONNECTED:
            local_seats.allow_no_more()
        if self._takeover is not None:
            self._takeover.entered(new, now=self.parts.clock.now(), epoch=self._client_state.epoch or 0)
        if new in (State.BORROWING, State.EXPIRED, State.FENCED):
            state_writer.changed_for_good()
        elif not new.is_final:
            state_writer.changed()
        if new is not old:
            self._callbacks.state(old, new, why)
            if event in _LEASE_GONE:  # as a stream tells, in the middle of the pause between two renewals
                self.look_again()

    def _lose_seats(self, cause: LossCause, why: str) -> None:
        lent = self.parts.loans.seats(self.parts.clock.now())
        for want in self.parts.local_seats.lose_all(lent=lent):
            self._callbacks.seat(Lost(want=want, cause=cause, message=why))

    async def _leave(self) -> None:
        try:
            if self._takeover is not None:
                await self._takeover.finish()
            await self._masters.close()
            await self._certifier.stop()
            await self.seat_manager.stop()
        finally:
            await self.kept.leave()


_LEASE_GONE = frozenset({Event.LEASE_UNKNOWN, Event.LEASE_ENDED, Event.LOAN_LEFT})
