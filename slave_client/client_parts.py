"""What the parts of one client share, put together once when the client is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from slave_client.backoff import Backoff
from slave_client.book import Book
from slave_client.clocks import Clock
from slave_client.config import ClientConfig
from slave_client.masters import Masters
from slave_client.notices import NoticeBoard
from slave_client.seats import SeatChange
from slave_client.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    config: ClientConfig
    clock: Clock
    backoff: Backoff
    book: Book
    board: NoticeBoard
    standing: Standing
    masters: Masters
    tell: Callable[[SeatChange], None]
    """Hears what became of each seat."""
