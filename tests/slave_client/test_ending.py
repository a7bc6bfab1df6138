"""How a client ends: leaving keeps the lease for the restart, only closing gives it back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest

from licensemaster.v1 import lease_pb2
from slave_client import BlockingSlaveClient, CallKind, ClientConfig, HolderKind, NoticeKind, SlaveClient, State, Want
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster, estate
from tests.support.limits import HANG_SECONDS
from tests.support.masters import watch_streams, wire_to
from tests.support.waiting import until

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


async def test_a_lease_that_an_operator_ends_is_opened_anew_at_once(master: RestartableMaster) -> None:
    """The stream tells of it in the middle of the pause between two renewals, which no time ends here."""
    async with SlaveClient(master.config(), clock=HeldClock(master.clock)) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        over = asyncio.create_task(client.wait_for_state(State.EXPIRED, timeout_seconds=HANG_SECONDS))
        await asyncio.sleep(0)
        request = lease_pb2.EndLeaseRequest(pbx=client.config.pbx, reason="by mistake", request_id="end-1")
        async with wire_to(master.address) as wire:
            await wire.leases.EndLease(request)
        await over
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert (await client.acquire(PHONES[0])).granted


async def test_a_pbx_that_was_removed_is_told_at_once(master: RestartableMaster) -> None:
    """And it hears of everything at once again where it is put back."""
    without = estate()
    del without.pbxs[[pbx.name for pbx in without.pbxs].index("berlin")]
    client = SlaveClient(master.config(), clock=HeldClock(master.clock))
    async with client, asyncio.timeout(HANG_SECONDS):
        await client.wait_for_state(State.CONNECTED)
        await until(lambda: watch_streams(master.running))
        await master.apply(without)
        await client.wait_for_state(State.OFFLINE)
        assert [notice.kind for notice in client.notices] == [NoticeKind.MASTER_REFUSES]
        await master.apply(estate())
        await client.wait_for_state(State.CONNECTED)
        await until(lambda: watch_streams(master.running))


async def test_a_call_that_comes_as_a_blocking_client_ends_is_not_waited_for_for_ever(
    master: RestartableMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread's: it has found the client running, and hands its work over when that has stopped."""
    client = BlockingSlaveClient(master.config())
    await asyncio.to_thread(client.start)
    found_running, closing, hand_over = threading.Event(), threading.Event(), threading.Event()
    schedule, close = asyncio.run_coroutine_threadsafe, client._loop.close

    def slow_schedule(work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Future[Any]:
        if threading.current_thread() is late:
            found_running.set()
            closing.wait(1)  # as far as the other one comes
            hand_over.set()
        return schedule(work, loop)

    def slow_close() -> None:
        closing.set()
        hand_over.wait(HANG_SECONDS)
        time.sleep(0.1)
        close()

    def ask() -> None:
        with contextlib.suppress(CancelledError, RuntimeError):
            client.acquire(PHONES[0])

    late = threading.Thread(target=ask, daemon=True)
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", slow_schedule)
    monkeypatch.setattr(client._loop, "close", slow_close)
    late.start()
    await asyncio.to_thread(found_running.wait, HANG_SECONDS)
    await asyncio.to_thread(client.stop)
    await asyncio.to_thread(late.join, HANG_SECONDS)
    assert not late.is_alive()


async def test_a_blocking_client_waits_for_nobody_in_a_forked_process(
    master: RestartableMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork has none of its threads: nobody would ever answer there."""

    def use() -> None:
        with BlockingSlaveClient(master.config()) as client:
            client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            with monkeypatch.context() as forked:
                forked.setattr(os, "getpid", lambda: 0)
                for ask in (lambda: client.acquire(PHONES[0]), client.report, client.stop):
                    with pytest.raises(RuntimeError, match="make a client of its own here"):
                        ask()
                assert client.call_allowed(kind=CallKind.EMERGENCY)
            assert client.acquire(PHONES[0]).granted, "where it was started, it goes on"

    await asyncio.to_thread(use)
