"""The objects that the parts of one client share, made once with the client."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from slave_client.connection.backoff import Backoff
from slave_client.connection.client_state import ClientState, OnEnter
from slave_client.connection.clocks import Clock
from slave_client.connection.masters import Masters
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.holdings.loans import Loans
from slave_client.holdings.local_seats import LocalSeats
from slave_client.values.callbacks import Callbacks
from slave_client.values.config import ClientConfig
from slave_client.values.notices import NoticeBoard
from slave_client.values.seats import SeatChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    config: ClientConfig
    clock: Clock
    backoff: Backoff
    local_seats: LocalSeats
    loans: Loans
    board: NoticeBoard
    client_state: ClientState
    masters: Masters
    tell: Callable[[SeatChange], None]
    """Called with each change of a seat."""

    @classmethod
    def of(
        cls,
        config: ClientConfig,
        *,
        callbacks: Callbacks,
        on_enter: OnEnter,
        network: NetworkSwitch,
        clock: Clock,
        chance: random.Random,
    ) -> Self:
        """Make the shared parts of a client with this configuration; `on_enter` is called with each new state."""
        board, loans = NoticeBoard(callbacks.notice), Loans()
        return cls(
            config=config,
            clock=clock,
            backoff=Backoff(
                base_seconds=config.backoff_base_seconds, max_seconds=config.backoff_max_seconds, chance=chance
            ),
            local_seats=LocalSeats(),
            loans=loans,
            board=board,
            client_state=ClientState(clock, on_enter, loans.next_end),
            masters=Masters(config, network, clock=clock, tell=board.set_own),
            tell=callbacks.seat,
        )
