"""Tells systemd that the agent serves, and again and again that it is alive (Type=notify, WatchdogSec=)."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress


def tell_systemd(state: str) -> None:
    """Send a state such as `READY=1` to systemd; do nothing where systemd did not start this process."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as telling:
        telling.connect(f"\0{place[1:]}" if place.startswith("@") else place)
        telling.send(state.encode())


async def keep_watchdog_quiet() -> None:
    """Tell systemd twice per watchdog period that the event loop runs; end at once where there is no watchdog."""
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    while microseconds:
        tell_systemd("WATCHDOG=1")
        await asyncio.sleep(microseconds / 2_000_000)
