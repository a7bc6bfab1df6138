"""The synchronous interface of the client, for a PBX without an event loop.

Methods have the names and meanings of `SlaveClient`; each call blocks the caller's thread until the answer is there.
The client lives on an event loop in a thread of its own, where the callbacks run, too. `call_allowed` never blocks: see
the emergency rule in `calls`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from licensemaster.values.given import checked
from slave_client.client import SlaveClient
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.values.callbacks import OnNotice, OnSeat, OnState
from slave_client.values.calls import CallKind, call_allowed
from slave_client.values.config import ClientConfig
from slave_client.values.report import Report
from slave_client.values.seats import Held
from slave_client.values.states import State

Answer = TypeVar("Answer")
Given = ParamSpec("Given")


def _blocking(
    method: Callable[Concatenate[SlaveClient, Given], Coroutine[Any, Any, Answer]],
) -> Callable[Concatenate[BlockingSlaveClient, Given], Answer]:
    """Return a blocking version of a coroutine method, with the same parameters, types and docstring."""

    @functools.wraps(method)
    def call(client: BlockingSlaveClient, /, *given: Given.args, **named: Given.kwargs) -> Answer:
        return client._wait(method(client._running, *given, **named))

    return call


def _blocking_with_a_client(
    method: Callable[Concatenate[SlaveClient, Given], Coroutine[Any, Any, SlaveClient]],
) -> Callable[Concatenate[BlockingSlaveClient, Given], BlockingSlaveClient]:
    """Do as `_blocking`, for a method that returns a client: that client runs in the same thread as the first one."""

    @functools.wraps(method)
    def call(client: BlockingSlaveClient, /, *given: Given.args, **named: Given.kwargs) -> BlockingSlaveClient:
        return client._beside(client._wait(method(client._running, *given, **named)))

    return call


class BlockingSlaveClient:
    """A `SlaveClient` for threads. Safe to use from several at once, but not from its own callbacks.

    Use it as a context manager: leaving the block stops the client, and its lease and seats stay for the restart.
    Nothing but `close` gives them back.
    """

    @checked
    def __init__(
        self,
        config: ClientConfig,
        *,
        on_state: OnState | None = None,
        on_seat: OnSeat | None = None,
        on_notice: OnNotice | None = None,
        network: NetworkSwitch | None = None,
    ) -> None:
        self._make = functools.partial(
            SlaveClient, config, on_state=on_state, on_seat=on_seat, on_notice=on_notice, network=network
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slave-client", daemon=True)
        self._client: SlaveClient | None = None
        self._ended = False
        self._process = 0
        self._entering = threading.Lock()
        """Held while work is handed to the thread, or the thread is ended: later work would never be answered."""
        self._carrying: list[BlockingSlaveClient] = []
        self._is_carried = False

    def __enter__(self) -> Self:
        if not self._is_carried:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Load what was kept on disk and begin to look for a master; raises as `SlaveClient.start` does."""
        if self._client is not None or self._ended:
            raise RuntimeError("a client is started once; make a new one")
        self._process = os.getpid()
        self._thread.start()
        try:
            self._client = self._wait(self._started())
        except BaseException:
            self._end_thread()
            raise

    def close(self) -> int:
        """Close the lease; return how many seats were returned to the pool. See `SlaveClient.close`."""
        returned = 0 if self._ended else self._wait(self._running.close())
        self._end_thread()
        return returned

    def stop(self) -> None:
        """Stop the client without closing its lease: lease and seats stay for the restart."""
        if not self._ended:
            self._wait(self._running.stop())
        self._end_thread()

    acquire = _blocking(SlaveClient.acquire)
    acquire_many = _blocking(SlaveClient.acquire_many)
    return_seat = _blocking(SlaveClient.return_seat)
    return_seats = _blocking(SlaveClient.return_seats)
    sync = _blocking(SlaveClient.sync)
    wait_for_state = _blocking(SlaveClient.wait_for_state)
    take_over = _blocking_with_a_client(SlaveClient.take_over)

    def call_allowed(self, *, kind: CallKind, holder: str = "", license_type: str = "") -> bool:
        """Tell whether a call may be made or go on: at once, from any thread, in any state, started or not."""
        client = self._client
        if client is None:
            return call_allowed(kind)
        return client.call_allowed(kind=kind, holder=holder, license_type=license_type)

    @property
    def state(self) -> State:
        """The client's state toward its master."""
        return self.report().state

    @property
    def held(self) -> tuple[Held, ...]:
        """The seats in use."""
        return self._running.held

    def report(self) -> Report:
        """Return the client's state, lease, loans and notices at this moment."""
        if self._ended:
            return self._running.report()
        return self._wait(self._reported())

    def _beside(self, client: SlaveClient) -> BlockingSlaveClient:
        """Return the blocking client for a client on this client's event loop; make it where there is none."""
        for known in self._carrying:
            if known._client is client:
                return known
        carried = BlockingSlaveClient(client.config)
        carried._loop.close()
        carried._loop, carried._thread, carried._client, carried._is_carried = self._loop, self._thread, client, True
        carried._entering, carried._process = self._entering, self._process
        self._carrying = [*(known for known in self._carrying if not known._ended), carried]
        return carried

    async def _started(self) -> SlaveClient:
        client = self._make()
        await client.start()
        return client

    async def _reported(self) -> Report:
        return self._running.report()

    @property
    def _running(self) -> SlaveClient:
        if self._client is None:
            raise RuntimeError("the client was not started")
        return self._client

    def _wait(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a callback must not block the client that called it")
        if self._process != os.getpid():  # none of its threads came along, so that nobody would ever answer
            work.close()
            raise RuntimeError("this client runs in the process that forked this one: make a client of its own here")
        with self._entering:
            if self._ended:
                work.close()
                raise RuntimeError("the client was closed")
            waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        return waiting.result()

    def _end_thread(self) -> None:
        with self._entering:
            if self._ended:
                return
            self._ended = True
            if self._is_carried:
                return  # the thread is another client's
            for carried in self._carrying:
                carried._ended = True
        asyncio.run_coroutine_threadsafe(_break_off_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _break_off_all() -> None:
    """Cancel all tasks that other threads still wait for; those threads would wait for ever otherwise."""
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.wait(waiting)
