"""How a moment is written for people: in UTC, whatever the machine's time zone is."""

from __future__ import annotations

from datetime import UTC, datetime


def minute_text(at: float) -> str:
    """Return UNIX seconds as text, to the minute, for things that last for days."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def second_text(at: float) -> str:
    """Return UNIX seconds as text, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
