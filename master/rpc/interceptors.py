"""What every call passes through, in this order: the gate, the caller's name, the service, the error table, the counts.

One interceptor, because each costs a call of its own; its handlers are made once per method, not once per call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from inspect import iscoroutinefunction
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from master.auth.identity import SCHEME, Identity
from master.leasing.requests import UnknownPbxError
from master.metrics import Metrics
from master.rpc.errors import InvalidArgumentError, abort, failure_of
from master.rpc.gate import Gate, identity_of_call
from master.sparing_log import SparingLog

_log = structlog.get_logger(__name__)
_STRANGERS_MAX, _STRANGERS_SECONDS = 10, 60.0
"""How many lines callers who name unknown PBXs may cost the log."""

_CALLER_MAX = 128
caller_of_call: ContextVar[str] = ContextVar("caller_of_call", default="unknown")
"""Who makes the call that is being served."""

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Lets in who may call, names the caller, turns errors into statuses, counts and times."""

    def __init__(self, metrics: Metrics, gate: Gate | None) -> None:
        """Without a gate, in plain text, everybody may do everything and is called what they call themselves."""
        self._metrics = metrics
        self._gate = gate
        self._handlers: dict[str, Handler] = {}
        self._strangers = SparingLog(_log, clock=monotonic, lines_max=_STRANGERS_MAX, seconds=_STRANGERS_SECONDS)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The method's handler, wrapped."""
        method = str(handler_call_details.method)
        found = self._handlers.get(method)
        if found is None:
            plain = await continuation(handler_call_details)
            if plain is None:
                return None
            found = self._handlers[method] = self._wrapped(method, plain)
        return found

    def _wrapped(self, method: str, plain: Handler) -> Handler:
        _, service, name = method.split("/")
        count = _Counts(self._metrics, service, name, self._strangers)
        read = _reader(plain.request_deserializer)
        if plain.request_streaming:  # reflection only; its requests name nobody
            return grpc.stream_stream_rpc_method_handler(
                _stream(plain.stream_stream, count, self._gate), read, plain.response_serializer
            )
        if plain.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _stream(plain.unary_stream, count, self._gate), read, plain.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _unary(plain.unary_unary, count, self._gate), read, plain.response_serializer
        )


class _Malformed:
    """Stands for a request whose bytes are none, so that it fails where all failures get their status."""

    def __init__(self, error: DecodeError) -> None:
        self._error = error

    def __getattr__(self, field: str) -> Any:
        raise InvalidArgumentError("request", f"{self._error}; send the message that this method takes")


def _reader(plain: Any) -> Any:
    def read(data: bytes) -> Any:
        try:
            return plain(data)
        except DecodeError as error:
            return _Malformed(error)

    return read


class _Counts:
    """The metrics of one method, and the log of who named unknown PBXs to it or others."""

    def __init__(self, metrics: Metrics, service: str, method: str, strangers: SparingLog) -> None:
        self.strangers = strangers
        self.method = f"{service}/{method}"
        self._handled = metrics.rpc_handled
        self._labels = (service, method)
        self._ok = metrics.rpc_handled.labels(service, method, "OK")
        self._seconds = metrics.rpc_seconds.labels(service, method)

    def succeeded(self, started: float) -> None:
        self._ok.inc()
        self._seconds.observe(perf_counter() - started)

    def failed(self, started: float, code: grpc.StatusCode) -> None:
        self._handled.labels(*self._labels, code.name).inc()
        self._seconds.observe(perf_counter() - started)


def _unary(serve: Any, count: _Counts, gate: Gate | None) -> Any:
    async def behaviour(request: Any, context: Context) -> Any:
        started = perf_counter()
        try:
            if gate is None:
                caller_of_call.set(_self_named(context))
            else:
                _prove((await gate.admit(count.method, request, context)).identity, context)
            response = await serve(request, context)
        except (asyncio.CancelledError, Exception) as error:
            await _failed(context, error, count, started)
            raise
        count.succeeded(started)
        return response

    return behaviour


def _stream(serve: Any, count: _Counts, gate: Gate | None) -> Any:
    async def yields(request: Any, context: Context) -> AsyncIterator[Any]:
        async with _streaming(request, context, count, gate):
            async for response in serve(request, context):
                yield response

    async def writes(request: Any, context: Context) -> None:
        async with _streaming(request, context, count, gate):
            await serve(request, context)

    return writes if iscoroutinefunction(serve) else yields  # health writes to its context


@asynccontextmanager
async def _streaming(request: Any, context: Context, count: _Counts, gate: Gate | None) -> AsyncIterator[None]:
    started = perf_counter()
    try:
        if gate is None:
            caller_of_call.set(_self_named(context))
            watched: AbstractContextManager[None] = nullcontext()
        else:
            shown = await gate.admit(count.method, request, context)
            _prove(shown.identity, context)
            watched = gate.stream(shown, count.method, context.peer())
        with watched:
            yield
    except (asyncio.CancelledError, Exception) as error:
        await _failed(context, error, count, started)
        raise
    count.succeeded(started)


def _prove(identity: Identity, context: Context) -> None:
    identity_of_call.set(identity)
    caller_of_call.set(f"{identity.uri} ({context.peer()})")


async def _failed(context: Context, error: BaseException, count: _Counts, started: float) -> None:
    """Count a failure, and tell the caller of it unless it is the caller who gave up."""
    if isinstance(error, asyncio.CancelledError):
        count.failed(started, grpc.StatusCode.CANCELLED)
        return
    if isinstance(error, grpc.aio.AbortError):  # whoever serves it has told already: health of an unknown service
        count.failed(started, _code_of(context))
        return
    failure = failure_of(error)
    if failure.code is grpc.StatusCode.INTERNAL:
        _log.error("an RPC failed", method=count.method, exc_info=error)
    elif isinstance(error, UnknownPbxError):  # with a good certificate, it may be, and nobody else would tell
        caller = caller_of_call.get()
        count.strangers.warning("an unknown PBX was named", method=count.method, caller=caller, why=str(error))
    count.failed(started, failure.code)
    await abort(context, failure)


def _code_of(context: Context) -> grpc.StatusCode:
    code: Any = context.code()
    return next((one for one in grpc.StatusCode if one is code or one.value[0] == code), grpc.StatusCode.UNKNOWN)


def _self_named(context: Context) -> str:
    """What the caller calls itself in plain text, and from where; nobody gets a name that only a certificate gives."""
    named = ""
    for key, value in context.invocation_metadata() or ():
        if key == "caller" and isinstance(value, str):
            named = value[:_CALLER_MAX]
    peer = context.peer()
    return f"{named} ({peer})" if named.isprintable() and named and not named.startswith(SCHEME) else peer
