"""Moments in the past as people type them: a date, a time of day, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

SINCE_HELP = 'Only from then on: "2026-11-25", "2026-11-25 14:30" (in your time zone), "30m", "2h", "7d".'
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def past_moment(text: str) -> datetime:
    """Return the moment that a text means, in UTC.
    Raises typer.BadParameter if the text means no moment, or a moment before 1970."""
    ago = re.fullmatch(r"\s*([0-9]{1,6})\s*(s|m|min|h|d|w)\s*", text)
    try:
        if ago:
            moment = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(text.strip()).astimezone(UTC)
        if moment.year >= 1970:
            return moment
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"{text!r} is no moment; write it like 2026-11-25, 2026-11-25T14:30+01:00, 30m, 2h or 7d")
