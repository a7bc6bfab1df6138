"""How a client ends: leaving keeps the lease for the restart, only closing gives it back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from slave_client import BlockingSlaveClient, ClientConfig, HolderKind, SlaveClient, State, Want
from tests.slave_client.conftest import PORTS, RestartableMaster
from tests.support.limits import HANG_SECONDS

PHONES = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(PORTS)]


async def _left(config: ClientConfig) -> None:
    async with SlaveClient(config) as client:
        assert all(outcome.granted for outcome in await client.acquire_many(PHONES))


async def _failed(config: ClientConfig) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with SlaveClient(config) as client:
            await client.acquire_many(PHONES)
            raise ZeroDivisionError


async def _blocking_left(config: ClientConfig) -> None:
    def use() -> None:
        with BlockingSlaveClient(config) as client:
            assert all(outcome.granted for outcome in client.acquire_many(PHONES))

    await asyncio.to_thread(use)


@pytest.mark.parametrize("use", [_left, _failed, _blocking_left])
async def test_a_pbx_that_reboots_while_its_master_is_away_has_its_seats(
    master: RestartableMaster, tmp_path: Path, use: Callable[[ClientConfig], object]
) -> None:
    config = master.config(state_dir=tmp_path / "state")
    await use(config)  # type: ignore[misc]
    await master.stop()
    async with SlaveClient(config) as client:
        assert await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS) is State.OFFLINE
        assert len(client.held) == PORTS
        assert all(outcome.granted for outcome in await client.acquire_many(PHONES))
    await master.start()
    assert len(await master.holders("berlin")) == PORTS


async def test_a_pbx_that_goes_for_good_gives_them_back(master: RestartableMaster, tmp_path: Path) -> None:
    async with SlaveClient(master.config(state_dir=tmp_path / "state")) as client:
        await client.acquire_many(PHONES)
        assert await client.close() == PORTS
    assert client.state is State.CLOSED
    assert not await master.holders("berlin")
