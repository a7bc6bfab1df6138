"""What the name of a webhook's receiver leads to: asked in threads, of which each project has few.

Who answers for a name may be the operator's own, and never answer. Asking cannot be given up: it takes as long as the
system likes, whether somebody waits for it or not. So the names of one project wait for each other, and no others.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future
from contextvars import ContextVar
from threading import Thread
from typing import Any, Final
from weakref import WeakValueDictionary

from aiohttp.abc import AbstractResolver, ResolveResult

_OF_PROJECT_MAX: Final = 4
"""How many names of one project are asked for at a time, those included that nobody waits for any more."""
_ALL_MAX: Final = 64
"""The same of all projects."""
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

project_of_message: ContextVar[int] = ContextVar("project_of_message")
"""The id of the project whose message is being sent."""


class ReceiverNames(AbstractResolver):
    """Resolves names as the system does; an asker that gives up while others are before it asks nothing."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(_ALL_MAX)
        self._of_projects: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()
        """The turns of the projects whose names are being asked for, by project id."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises OSError if it has none."""
        turns = self._of_projects.setdefault(project_of_message.get(), asyncio.Semaphore(_OF_PROJECT_MAX))
        await turns.acquire()
        try:
            await self._all.acquire()
        except asyncio.CancelledError:
            turns.release()
            raise
        found: Future[list[ResolveResult]] = Future()
        asked = asyncio.wrap_future(found)

        def answered(_: object) -> None:
            turns.release()
            self._all.release()

        asked.add_done_callback(answered)
        Thread(target=_ask, args=(found, host, port, family), name="receiver name", daemon=True).start()
        return await asyncio.shield(asked)

    async def close(self) -> None:
        """Do nothing: what is being asked for ends by itself."""


def _ask(found: Future[list[ResolveResult]], host: str, port: int, family: socket.AddressFamily) -> None:
    try:
        found.set_result(
            [
                _result(host, family, protocol, address)
                for family, _, protocol, _, address in socket.getaddrinfo(
                    host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            ]
        )
    except Exception as error:
        found.set_exception(error)


def _result(host: str, family: socket.AddressFamily, protocol: int, address: Any) -> ResolveResult:
    numeric, port = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)  # with its scope
    return ResolveResult(hostname=host, host=numeric, port=int(port), family=family, proto=protocol, flags=_NUMERIC)
