"""Serves the local API on its sockets: who may connect, how many connections, and an answer for every failure."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, cast
from weakref import WeakValueDictionary

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

from license_agent.agent import Agent, TooManyWaitingError
from license_agent.http.metrics import registry_of
from license_agent.http.problems import ProblemError
from license_agent.http.requests import BodyLimits, check_target
from license_agent.http.routes import AGENT, LIMITS, METRICS, SETTINGS, routes
from license_agent.http.unix_socket import unix_socket
from license_agent.settings import AgentSettings
from licensemaster.daemon.halts import was_halted
from licensemaster.values import listening_address

_log = structlog.get_logger(__name__)
_BACKLOG: Final = 1024
_KEEPALIVE_SECONDS: Final = 75.0
_DRAIN_SECONDS: Final = 5.0
_REST_SECONDS: Final = 10.0
"""Seconds for which the rest of an unread body is received: a caller that still sends might miss the answer."""
_SETS_AT_ONCE: Final = 4
"""The most whole wanted sets, the largest bodies, that are read at the same time."""


class LocalServer:
    """The local API of one agent. Raises ValueError where its token cannot be used."""

    def __init__(self, settings: AgentSettings, agent: Agent) -> None:
        self._settings = settings
        self._app = web.Application(middlewares=[self._answer])
        self._app[AGENT], self._app[SETTINGS] = agent, settings
        self._app[LIMITS] = BodyLimits(
            settings.body_bytes_max, settings.request_timeout_seconds, asyncio.Semaphore(_SETS_AT_ONCE)
        )
        self._app[METRICS] = registry_of(agent, self)
        self._agent = agent
        self._app.add_routes(routes)
        self._secret = settings.secret()
        if self._secret is not None and (file := settings.token_file) and file.stat().st_mode & stat.S_IROTH:
            _log.warning("everybody on this machine can read the token", token_file=str(file), remedy="chmod o-r")
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            auto_decompress=False,  # also what nobody reads would be, after an answer that it is too large
            logger=_failures(),
            keepalive_timeout=_KEEPALIVE_SECONDS,
            shutdown_timeout=_DRAIN_SECONDS,
            lingering_time=_REST_SECONDS,
        )
        self._app.on_response_prepare.append(self._answering)
        self._unread: WeakValueDictionary[web.RequestHandler, web.Request] = WeakValueDictionary()
        """The last request of each connection that was answered before its body had arrived."""
        self._silent: set[object] = set()
        self.turned_away = 0
        """Connections refused so far because there were too many."""
        self.port = 0
        """The TCP port of `listen`; 0 without `listen`."""

    @property
    def connections(self) -> int:
        return len(self._runner.server.connections) if self._runner.server is not None else 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the local API until the context ends; requests under way are finished first.
        Raises OSError if a socket cannot be listened on, and names it."""
        settings, loop = self._settings, asyncio.get_running_loop()
        listening: list[asyncio.Server] = []

        def connecting() -> asyncio.Protocol:
            return _Connecting(self._connected)

        with unix_socket(settings.socket, int(settings.socket_mode, 8), settings.socket_group) as bound:
            await self._runner.setup()
            try:
                listening.append(await loop.create_unix_server(connecting, sock=bound, backlog=_BACKLOG))
                if settings.listen is not None:
                    at = listening_address(settings.listen)
                    server = await loop.create_server(connecting, at.host, at.port, backlog=_BACKLOG)
                    self.port = server.sockets[0].getsockname()[1]
                    listening.append(server)
                yield
            finally:
                for server in listening:
                    server.close()
                self._agent.events.end()
                for request in list(self._unread.values()):
                    request.protocol.close()
                    request.content.feed_eof()  # the rest of its body is waited for no more
                await self._runner.cleanup()

    def _connected(self, transport: asyncio.Transport) -> None:
        """Accept a new connection, or refuse it where there are too many."""
        assert self._runner.server is not None
        if self._is_full(transport):
            self.turned_away += 1
            _turn_away(transport, self._settings.retry_after_seconds)
            return
        protocol: web.RequestHandler = self._runner.server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self._silent.add(protocol)
        self._look_later(transport, protocol, unread=0)

    def _is_full(self, transport: asyncio.Transport) -> bool:
        """Tell whether there is no place for one connection more: over `listen`, where strangers come who have shown no
        token, there is half of the places, so that these leave the others to the Unix socket."""
        most = self._settings.connections_max
        if self.connections >= most:
            return True
        if _is_unix(transport):
            return False
        assert self._runner.server is not None
        open_transports = (protocol.transport for protocol in self._runner.server.connections)
        return sum(each is not None and not _is_unix(each) for each in open_transports) >= most // 2

    def _look_later(self, transport: asyncio.Transport, protocol: web.RequestHandler, *, unread: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._settings.request_timeout_seconds
        loop.call_at(due, self._look, transport, protocol, unread, due)

    def _look(self, transport: asyncio.Transport, protocol: web.RequestHandler, unread_before: int, due: float) -> None:
        """Close the connection of a caller that sent no request in time, or read nothing of the answer meanwhile."""
        unread = transport.get_write_buffer_size()
        if transport.is_closing() and not unread:
            self._silent.discard(protocol)
        elif was_halted(due=due, now=asyncio.get_running_loop().time()):  # its request may be there, and is read next
            self._look_later(transport, protocol, unread=-1)
        elif protocol in self._silent or 0 < unread == unread_before:
            self._silent.discard(protocol)
            transport.abort()
        else:
            self._look_later(transport, protocol, unread=unread)

    async def _answering(self, request: web.Request, _: web.StreamResponse) -> None:
        if not request.content.is_eof():
            self._unread[request.protocol] = request

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        with suppress(ConnectionError):  # whoever does not read is answered no more: answers would pile up here
            await request.writer.drain()
        try:
            self._check_caller(request)
            check_target(request)
            return await handler(request)
        except ProblemError as problem:
            found = problem
        except TooManyWaitingError:
            found = ProblemError(503, "full", "too many requests wait for the license master already")
        except web.HTTPException as failed:  # no such path or method
            found = ProblemError(failed.status, "http", f"{request.method} {request.path[:200]!r}: {failed.reason}")
            if isinstance(failed, web.HTTPMethodNotAllowed):
                response = found.response(retry_after_seconds=0)
                response.headers["Allow"] = failed.headers["Allow"]
                return response
        except Exception:
            _log.exception("a request failed", method=request.method, path=request.path[:200])
            found = ProblemError(500, "failed", "the agent failed; its log says more")
        return found.response(retry_after_seconds=self._settings.retry_after_seconds)

    def _check_caller(self, request: web.Request) -> None:
        """Check the token of a caller that did not come over the Unix socket; raises ProblemError."""
        if self._secret is None:  # there is the Unix socket alone
            return
        if request.transport is not None and _is_unix(request.transport):
            return
        if not hmac.compare_digest(_token_shown(request.headers.get("Authorization", "")), self._secret):
            raise ProblemError(401, "token", "show the agent's token: Authorization: Bearer TOKEN")


class _Connecting(asyncio.Protocol):
    """The protocol of a connection until it is made, when the connections are counted."""

    def __init__(self, connected: Callable[[asyncio.Transport], None]) -> None:
        self._connected = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the new connection to `connected`."""
        self._connected(cast(asyncio.Transport, transport))


def _is_unix(transport: asyncio.BaseTransport) -> bool:
    found = transport.get_extra_info("socket")
    return found is not None and bool(found.family == socket.AF_UNIX)


def _token_shown(authorization: str) -> bytes:
    """Return the token of `Bearer TOKEN`, or the password of Basic, for PBXs limited to that; empty for neither."""
    scheme, _, shown = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return shown.strip().encode(errors="replace")
        case "basic":
            with suppress(ValueError):
                return base64.b64decode(shown, validate=True).partition(b":")[2]
    return b""


def _failures() -> logging.Logger:
    """Return the logger for aiohttp's failures, without those that callers cause by sending what is no HTTP."""
    logger = logging.getLogger(__name__)
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | web.RequestPayloadError))


def _turn_away(transport: asyncio.Transport, retry_after_seconds: int) -> None:
    """Answer a connection that there are too many, and close it."""
    body = json.dumps(ProblemError(503, "full", "too many connections").json_object())
    lines = (
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: application/problem+json",
        f"Retry-After: {retry_after_seconds}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    transport.write("\r\n".join((*lines, "", body)).encode())
    transport.close()
