"""What is checked of every call before it is served: its certificate, its message and the size of that, its names.

What a call may cost is bounded at every step. Who calls, whether the certificate is valid and whether its role may
call the method are known before anything of the message is read. Then the message must come in time, with no more
bytes and no more elements than its method and role may bring (`auth/callers/budgets.py`). Only then is it parsed, and
the names in it are judged. Leaves to others: what else is in the message, and how a failure is reported.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

from licensemaster.elements import MalformedError, bad_text, crowded, excess
from master.auth.callers.budgets import BUDGETS, KIB, Budget, Budgets, SeatBudget
from master.auth.callers.identity import SCHEME, Identity, Role
from master.auth.callers.limits import Share
from master.rpc.admission.authorizer import Authorizer, identity_of_call
from master.rpc.admission.large_requests import Aside
from master.rpc.admission.message_deadline import MessageDeadline
from master.rpc.errors import InvalidArgumentError, UnknownMethodError

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]

_CALLER_MAX = 128
_LOOP_BYTES = 64 * KIB
"""Bytes above which a message is checked beside the event loop, so that other calls need not wait."""
_AT_ONCE_BYTES = 2 * KIB
"""Bytes above which one message of each caller is served at a time: some 70 seats, each of which may be refused for a
reason of its own, which takes ten times as long as to grant it. Clients ask one thing at a time anyway."""

caller_of_call: ContextVar[str] = ContextVar("caller_of_call", default="unknown")
"""The caller of the call that is being served."""


class Admission:
    """Admits the calls of one method, or refuses them."""

    def __init__(
        self,
        method: str,
        plain: Handler,
        *,
        authorizer: Authorizer | None,
        budgets: Budgets,
        message_deadline: MessageDeadline,
        aside: Aside,
    ) -> None:
        """`plain` serves the method without any check. Without an authorizer, in plain text, every caller may call
        everything, under the name that it gives itself; the limits of messages, in bytes and seconds, hold even then.
        """
        self._method = method
        self._authorizer = authorizer
        self._message_deadline = message_deadline
        self._aside = aside
        self._answers_by_stream = plain.response_streaming
        parse: Any = plain.request_deserializer
        self._parse = parse
        self._kind: Descriptor = parse.__self__.DESCRIPTOR
        self._asks_for_seats = isinstance(BUDGETS.get(method), SeatBudget)
        self._budgets: dict[Role | None, Budget] = {role: budgets.of(method, role) for role in (*Role, None)}

    async def call(self, context: Context, served: AsyncExitStack) -> tuple[Any, Share | None]:
        """Return the request of a call, and the call's part of its caller's share (None in plain text); `served` gives
        back what is taken only for the time of serving. A call that is answered by a stream may last: from here on it
        counts among its caller's streams, and its certificate is checked meanwhile.

        Raises:
            AccessDeniedError: the caller may not make this call.
            CallerLimitError: the caller makes too many calls, or brings too much.
            InvalidArgumentError: the message is too large, or is no request.
            MessageLateError: no message came in time.
        """
        if (authorizer := self._authorizer) is None:
            caller_of_call.set(_self_named(context))
            return await self._parsed(await self._message(context, None), None), None
        peer_certificate = await authorizer.enter(self._method, context)
        _prove(peer_certificate.identity, context)
        share = authorizer.call(peer_certificate)
        served.callback(share.bring, 0)
        data = await self._message(context, share)
        if len(data) > _AT_ONCE_BYTES:
            await served.enter_async_context(share.large)
            await authorizer.wait_for_turn(peer_certificate)
        request = await self._parsed(data, peer_certificate.identity.role)
        del data
        if self._asks_for_seats:
            authorizer.charge(peer_certificate, len(request.seats))
        await authorizer.authorization.authorize(peer_certificate.identity, self._method, request)
        if self._answers_by_stream:
            await served.aclose()
            served.enter_context(authorizer.stream(peer_certificate, share))
        return request, share

    async def conversation(self, context: Context, served: AsyncExitStack) -> tuple[AsyncIterator[Any], Share | None]:
        """Return the requests of a call that sends them as a stream, and its share as in `call`: such is reflection,
        whose requests name nobody."""
        if (authorizer := self._authorizer) is None:
            caller_of_call.set(_self_named(context))
            return self._requests(context, None), None
        peer_certificate = await authorizer.enter(self._method, context)
        _prove(peer_certificate.identity, context)
        share = authorizer.call(peer_certificate)
        served.enter_context(authorizer.stream(peer_certificate, share))
        return self._requests(context, peer_certificate.identity.role), share

    async def _requests(self, context: Context, role: Role | None) -> AsyncIterator[Any]:
        """Yield the requests of a conversation; each counts as a call of its caller, as does the conversation."""
        while (data := await context.read()) is not grpc.aio.EOF:
            if self._authorizer is not None:
                await self._authorizer.enter(self._method, context)
            yield await self._parsed(data, role)

    async def _message(self, context: Context, share: Share | None) -> bytes:
        data: Any = await self._message_deadline.within(context.read() if share is None else _read(context, share))
        if data is grpc.aio.EOF:
            raise InvalidArgumentError("request", "none came; send the message that this method takes")
        if share is not None:  # whatever the method may bring: it is told only once all of it is read
            share.bring(len(data))
        content: bytes = data
        return content

    async def _parsed(self, data: bytes, role: Role | None) -> Any:
        budget = self._budgets[role]
        if _LOOP_BYTES < len(data) <= budget.bytes_max:
            return await self._aside.run(len(data), lambda: self._looked_through(data, budget, role))
        return self._looked_through(data, budget, role)

    def _looked_through(self, data: bytes, budget: Budget, role: Role | None) -> Any:
        name = self._method.rpartition("/")[2]
        takes = f"is the most that {name} takes" + (f" of the role {role.name}" if role else "")
        if len(data) > budget.bytes_max:
            problem = f"{len(data):,} bytes; {budget.bytes_max:,} {takes}; send less in one call"
            raise InvalidArgumentError("request", problem)
        try:
            path, field = _excess(data, self._kind, budget)
            if path is not None:
                what = path.rpartition(".")[2]
                problem = (
                    f"more than {budget.entries_max[path]:,} {what}, which {takes}; divide them among several projects"
                )
                raise InvalidArgumentError(path, problem)
            if field is not None:
                problem = (
                    f"more than {budget.elements_max:,} fields and entries in all, which {takes}; send less in one call"
                )
                raise InvalidArgumentError(field, problem)
            return self._parse(data)
        except (MalformedError, DecodeError) as error:
            raise _unreadable(data, self._kind, error) from None


def _unreadable(data: bytes, kind: Descriptor, error: Exception) -> InvalidArgumentError:
    """Return the error for bytes that cannot be parsed; it names the first text that is no UTF-8, if there is any."""
    with suppress(MalformedError):
        if (found := bad_text(data, kind)) is not None:
            path, text = found
            return InvalidArgumentError(path, f"{text[:40]!r} is no UTF-8; send texts in UTF-8")
    return InvalidArgumentError("request", f"{error}; send the message that this method takes")


async def _read(context: Context, share: Share) -> Any:
    async with share.reading():
        return await context.read()


def _excess(data: bytes, kind: Descriptor, budget: Budget) -> tuple[str | None, str | None]:
    """Return the repeated field with too many entries, or the field in which a message gets too many elements."""
    path = crowded(data, kind, budget.entries_max, budget.elements_max) if budget.entries_max else None
    return path, excess(data, kind, budget.elements_max) if path is None else None


async def turn_away(authorizer: Authorizer, method: str, context: Context) -> None:
    """Refuse a call of a method that does not exist; it counts as a call of its caller.

    Raises:
        AccessDeniedError, CallerLimitError: as for every call.
        UnknownMethodError: otherwise, always.
    """
    await authorizer.enter(None, context)
    raise UnknownMethodError(f"there is no method {method[:200]!r}")


def _prove(identity: Identity, context: Context) -> None:
    identity_of_call.set(identity)
    caller_of_call.set(f"{identity.uri} ({context.peer()})")


def _self_named(context: Context) -> str:
    """Return the name that a caller in plain text gives itself, unless it is like a certificate's, and its address."""
    named = ""
    for key, value in context.invocation_metadata() or ():
        if key == "caller" and isinstance(value, str):
            named = value[:_CALLER_MAX]
    peer = context.peer()
    return f"{named} ({peer})" if named.isprintable() and named and not named.startswith(SCHEME) else peer
