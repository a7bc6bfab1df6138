"""A real server between a client and its master: it passes calls on, and can hold them, break them, or lose answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from licensemaster.tls.channels import open_channel

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[bytes, bytes]
_QUICKLY = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class Relay(grpc.GenericRpcHandler):
    """Methods are named without their service, e.g. "ReturnSeats"."""

    def __init__(self, target: str) -> None:
        self._channel = open_channel(target, options=_QUICKLY)
        self._server = grpc.aio.server()
        self._doors: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._broken: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self.address = ""
        self.rewrites: dict[str, Callable[[bytes], bytes]] = {}
        """What becomes of a master's answers, by method, as if the master had sent it."""
        self.answered: Counter[str] = Counter()
        """Calls that the master answered without an error, by method."""

    async def start(self) -> None:
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        for door in self._doors.values():
            door.set()
        await self._server.stop(0)
        await self._channel.close()

    def hold_requests(self, method: str) -> asyncio.Event:
        """Keep requests from the master until `let_through`; the event tells that one is waiting."""
        return self._shut(method)

    def hold_answers(self, method: str) -> asyncio.Event:
        """Keep answers from the client until `let_through`; the event tells that one is waiting."""
        return self._shut(f"{method} answered")

    def let_through(self, method: str) -> None:
        """Let go what is held, and hold no more."""
        for name in (method, f"{method} answered"):
            if door := self._doors.pop(name, None):
                door.set()

    def lose_answer(self, method: str) -> None:
        """The next call reaches the master, but its answer does not reach the client."""
        self._lost[method] += 1

    def break_off(self, method: str) -> None:
        """The next call does not reach the master."""
        self._broken[method] += 1

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        path = handler_call_details.method
        name = path.rpartition("/")[2]

        async def unary(request: bytes, context: Context) -> bytes:
            return await self._unary(path, name, request, context)

        async def stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
            async for message in self._stream(path, name, request, context):
                yield message

        if name == "WatchLease":
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    async def _unary(self, path: str, name: str, request: bytes, context: Context) -> bytes:
        await self._pass(name)
        if self._taken(self._broken, name):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the line broke on the way there")
        try:
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
            response = await ask(request, metadata=_caller(context))
        except grpc.aio.AioRpcError as failure:
            trailing = tuple(
                (key, value)
                for key, value in failure.trailing_metadata() or ()
                if key in ("error-reason", "retry-after-ms")
            )
            await context.abort(failure.code(), failure.details() or "", trailing)
        self.answered[name] += 1
        await self._pass(f"{name} answered")
        if self._taken(self._lost, name):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the line broke on the way back")
        return self.rewrites.get(name, bytes)(response)

    async def _stream(self, path: str, name: str, request: bytes, context: Context) -> AsyncIterator[bytes]:
        ask: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(path)
        call = ask(request, metadata=_caller(context))
        try:
            async for message in call:
                await self._pass(f"{name} answered")
                yield message
        except grpc.aio.AioRpcError as failure:
            await context.abort(failure.code(), failure.details() or "")
        finally:
            call.cancel()

    def _shut(self, name: str) -> asyncio.Event:
        self._doors[name] = asyncio.Event()
        waiting = self._waiting[name] = asyncio.Event()
        return waiting

    async def _pass(self, name: str) -> None:
        if door := self._doors.get(name):
            self._waiting[name].set()
            await door.wait()

    def _taken(self, of: Counter[str], name: str) -> bool:
        of[name] -= 1
        if of[name] >= 0:
            return True
        del of[name]
        return False


def _caller(context: Context) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((key, value) for key, value in context.invocation_metadata() or () if key == "caller")


@asynccontextmanager
async def relay_to(target: str) -> AsyncIterator[Relay]:
    relay = Relay(target)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()
