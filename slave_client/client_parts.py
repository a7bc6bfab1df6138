"""What the parts of one client share, put together once when the client is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from slave_client.connection.backoff import Backoff
from slave_client.connection.client_state import ClientState
from slave_client.connection.clocks import Clock
from slave_client.connection.masters import Masters
from slave_client.holdings.local_seats import LocalSeats
from slave_client.values.config import ClientConfig
from slave_client.values.notices import NoticeBoard
from slave_client.values.seats import SeatChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    config: ClientConfig
    clock: Clock
    backoff: Backoff
    local_seats: LocalSeats
    board: NoticeBoard
    client_state: ClientState
    masters: Masters
    tell: Callable[[SeatChange], None]
    """Is called with what became of each seat."""
