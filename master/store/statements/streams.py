"""Streams of PBXs that have a standby: what one master sees of a stream, written for all masters (F5).

Written when a stream opens or breaks, and when the standby asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from master.domain.leases.presence import Stream
from master.store.backends.database import Tx

_WRITE = """
    INSERT INTO lease_stream (pbx_id, epoch, stream, opened_at, lost_at) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (pbx_id) DO UPDATE SET
        epoch = excluded.epoch, stream = excluded.stream, opened_at = excluded.opened_at, lost_at = excluded.lost_at
    WHERE excluded.epoch > lease_stream.epoch
       OR excluded.stream = lease_stream.stream
       OR (excluded.epoch = lease_stream.epoch AND excluded.opened_at > lease_stream.opened_at)
       OR (excluded.epoch = lease_stream.epoch AND excluded.opened_at = lease_stream.opened_at
           AND excluded.lost_at IS NULL)
"""
"""Writes a newer stream in place of an older one, whichever master writes first; an older one's end changes nothing."""


class StreamNews(NamedTuple):
    pbx_id: int
    epoch: int
    stream: str
    """The id of the stream among all masters."""
    opened_at: float
    lost_at: float | None


def write_streams(tx: Tx, news: Iterable[StreamNews]) -> None:
    """Write the state of streams, one for each PBX."""
    tx.many(_WRITE, sorted(news))


def stream_of(tx: Tx, pbx_id: int) -> Stream | None:
    """Return the newest stream of a PBX; None where there is none."""
    rows = tx.rows("SELECT epoch, opened_at, lost_at, asked_at FROM lease_stream WHERE pbx_id = ?1", pbx_id)
    return Stream(*rows[0]) if rows else None


def ask_for_stream(tx: Tx, pbx_id: int, now: float) -> None:
    """Ask the master that serves a PBX's stream to end it, to see whether the stream comes back."""
    tx.rows("UPDATE lease_stream SET asked_at = ?2 WHERE pbx_id = ?1", pbx_id, now)
