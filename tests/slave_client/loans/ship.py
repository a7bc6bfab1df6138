"""A PBX that is cut off and started again, and comes home."""

from __future__ import annotations

from pathlib import Path

from slave_client import Lost, NetworkSwitch, NoticeKind, SeatChange, SlaveClient, State, Want
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.slave_client.phones import connected
from tests.support.limits import HANG_SECONDS
from tests.support.waiting import until


class Ship:
    """Berlin's PBX, which may be cut off and started again; what became of its seats is kept."""

    def __init__(self, master: RestartableMaster, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._config = master.config(state_dir=state_dir)
        self.time, self.line = HeldClock(master.clock), NetworkSwitch()
        self.changes: list[SeatChange] = []
        self.noticed: set[NoticeKind] = set()
        self.client = self._made()

    def _made(self) -> SlaveClient:
        return SlaveClient(
            self._config,
            network=self.line,
            clock=self.time,
            on_seat=lambda _, change: self.changes.append(change),
            on_notice=lambda notice: self.noticed.add(notice.kind),
        )

    async def restart(self, *, crash: bool = False) -> None:
        await (self.client.crash() if crash else self.client.stop())
        self.client = self._made()
        await self.client.start()

    async def cut_off(self) -> None:
        self.line.cut()
        self.client.look_again()
        await self.client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)

    async def come_home(self) -> None:
        self.line.restore()
        self.client.look_again()
        await connected(self.client)

    async def reaches(self, state: State) -> None:
        await self.client.wait_for_state(state, timeout_seconds=HANG_SECONDS)

    @property
    def lost(self) -> list[Want]:
        return [change.want for change in self.changes if isinstance(change, Lost)]

    @property
    def holders(self) -> list[Want]:
        return [held.want for held in self.client.held]


async def given_up(master: RestartableMaster) -> None:
    """Wait until the master has taken back what the ship held under its lease."""

    async def is_over() -> bool:
        return not await master.holders("berlin")

    await until(is_over)
