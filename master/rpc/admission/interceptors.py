"""What every call passes, in this order: admission, the service, the error table, the counts.

Before all of these a call that is in no hurry waits (`unhurried_calls`).

There is one interceptor, because each costs a call of its own; its handlers are made once per method, not once per
call. By itself gRPC reads and parses a request before anything is known of its caller. So every method is served as one
whose requests are a stream, which callers cannot tell apart: its message is read when `admission.py` says so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from licensemaster.daemon.logs.sparing_log import SparingLog
from master.auth.callers.budgets import Budgets
from master.auth.callers.limits import Share
from master.metrics import Metrics
from master.rpc.admission.admission import Admission, caller_of_call, turn_away
from master.rpc.admission.authorizer import Authorizer
from master.rpc.admission.large_requests import Aside
from master.rpc.admission.message_deadline import MessageDeadline
from master.rpc.admission.unhurried_calls import METHODS, UnhurriedCalls
from master.rpc.errors import Failure, abort, failure_of, let_go
from master.service.runtime.names import UnknownPbxError
from master.store.backends.problems import UnstorableError

__all__ = ["CallInterceptor", "caller_of_call"]
_log = structlog.get_logger(__name__)
_LINES_MAX, _LINES_SECONDS = 10, 60.0
"""The most log lines, and in how many seconds, about what one caller sends to one method."""

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Admits calls, names their caller, turns errors into statuses, counts and times the calls."""

    def __init__(
        self, metrics: Metrics, authorizer: Authorizer | None, *, budgets: Budgets, message_seconds: float, aside: Aside
    ) -> None:
        """A call without a message after `message_seconds` is ended; large messages are checked by `aside`."""
        self._metrics = metrics
        self._authorizer = authorizer
        self._budgets = budgets
        self._message_deadline = MessageDeadline(message_seconds)
        self._aside = aside
        self.unhurried_calls = UnhurriedCalls()
        self._handlers: dict[str, Handler] = {}
        self._sparing_log = SparingLog(
            _log, clock=monotonic, lines_max=_LINES_MAX, seconds=_LINES_SECONDS, each=("method", "caller")
        )

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        method = str(handler_call_details.method)
        handler = self._handlers.get(method)
        if handler is None:
            plain = await continuation(handler_call_details)
            if plain is None:
                return None if self._authorizer is None else _unknown(method, self._authorizer)
            handler = self._handlers[method] = self._wrapped(method, plain)
        return handler

    def _wrapped(self, method: str, plain: Handler) -> Handler:
        _, service, name = method.split("/")
        count = _Counts(self._metrics, service, name, self._sparing_log, self._authorizer)
        admission = Admission(
            count.method,
            plain,
            authorizer=self._authorizer,
            budgets=self._budgets,
            message_deadline=self._message_deadline,
            aside=self._aside,
        )
        serialize: Any = plain.response_serializer
        if not plain.response_streaming:
            unhurried = self.unhurried_calls if count.method in METHODS else None
            behaviour = _unary(plain.unary_unary, count, admission, serialize, unhurried)
            return grpc.stream_unary_rpc_method_handler(behaviour)
        serve: Any = plain.stream_stream if plain.request_streaming else plain.unary_stream
        admitted = admission.conversation if plain.request_streaming else admission.call
        return grpc.stream_stream_rpc_method_handler(_yielding(serve, count, admitted, serialize))


class _Counts:
    """The metrics of one method, and the log of its calls' failures."""

    def __init__(
        self, metrics: Metrics, service: str, method: str, sparing_log: SparingLog, authorizer: Authorizer | None
    ) -> None:
        self.log = sparing_log
        self.authorizer = authorizer
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


def _unary(serve: Any, count: _Counts, admission: Admission, serialize: Any, unhurried: UnhurriedCalls | None) -> Any:
    async def behaviour(_: object, context: Context) -> bytes | None:
        async with _Ending(context, count), AsyncExitStack() as served:
            if unhurried is not None:
                await unhurried.wait(context)
            request, share = await admission.call(context, served)
            return _weighed(serialize(await serve(request, context)), share)
        return None  # it failed, and gRPC knows

    return behaviour


def _yielding(serve: Any, count: _Counts, admitted: Any, serialize: Any) -> Any:
    async def behaviour(_: object, context: Context) -> AsyncIterator[bytes]:
        async with _Ending(context, count), AsyncExitStack() as served:
            request, share = await admitted(context, served)
            async for response in serve(request, context):
                yield _weighed(serialize(response), share)

    return behaviour


def _weighed(answer: bytes, share: Share | None) -> bytes:
    if share is not None:
        share.answer(len(answer))
    return answer


def _unknown(method: str, authorizer: Authorizer) -> Handler:
    async def behaviour(_: object, context: Context) -> None:
        try:
            await turn_away(authorizer, method, context)
        except Exception as error:
            authorizer.report(error, None, context)
            failure = failure_of(error)
            let_go(error)
        await _refuse(context, failure)

    return grpc.stream_unary_rpc_method_handler(behaviour)


class _Ending:
    """Counts how a call ends, and answers the caller with the failure unless the caller gave up."""

    __slots__ = ("_context", "_count", "_started")

    def __init__(self, context: Context, count: _Counts) -> None:
        self._context = context
        self._count = count
        self._started = perf_counter()

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            self._count.succeeded(self._started)
            return False
        if isinstance(error, asyncio.CancelledError):
            self._count.failed(self._started, grpc.StatusCode.CANCELLED)
            return False
        if not isinstance(error, Exception):
            return False
        if isinstance(error, grpc.aio.AbortError):  # whoever serves it has answered: health of an unknown service
            self._count.failed(self._started, _code_of(self._context))
            let_go(error)
            return True
        failure = _reported(error, self._count, self._context)
        let_go(error)
        self._count.failed(self._started, failure.code)
        await _refuse(self._context, failure)
        return True


def _reported(error: Exception, count: _Counts, context: Context) -> Failure:
    failure = failure_of(error)
    if count.authorizer is not None:
        count.authorizer.report(error, count.method, context)
    caller = _without_port(caller_of_call.get())
    if failure.code is grpc.StatusCode.INTERNAL:
        count.log.error("an RPC failed", method=count.method, caller=caller, exc_info=error)
    elif isinstance(error, UnstorableError):
        count.log.error("no database keeps a value", method=count.method, caller=caller, why=str(error))
    elif isinstance(error, UnknownPbxError):  # with a good certificate, it may be, and nobody else would report it
        count.log.warning("an unknown PBX was named", method=count.method, caller=caller, why=str(error))
    return failure


async def _refuse(context: Context, failure: Failure) -> None:
    try:
        await abort(context, failure)
    except grpc.aio.AbortError as error:  # gRPC raises it itself once the call's handler has returned
        let_go(error)


def _without_port(caller: str) -> str:
    """Return a caller's name without its port, which is another one for each connection."""
    return re.sub(r":\d+(?=\)?$)", "", caller)


def _code_of(context: Context) -> grpc.StatusCode:
    code: Any = context.code()
    return next(
        (status_code for status_code in grpc.StatusCode if status_code is code or status_code.value[0] == code),
        grpc.StatusCode.UNKNOWN,
    )
