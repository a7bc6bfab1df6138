"""Phones of one site, and their client."""

from __future__ import annotations

from slave_client import HolderKind, SlaveClient, State, Want
from tests.slave_client.conftest import PORTS
from tests.support.limits import HANG_SECONDS


def port(holder: str) -> Want:
    return Want("port", HolderKind.USER, holder)


PHONES = [port(f"phone-{number}") for number in range(PORTS)]


async def connected(client: SlaveClient) -> None:
    await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
