"""A receiver of webhooks: a real HTTP server that keeps what it is sent and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.limits import HANG_SECONDS


@dataclass(slots=True)
class Received:
    path: str
    body: str
    signature: str

    @property
    def said(self) -> dict[str, Any]:
        collected: dict[str, Any] = json.loads(self.body)
        return collected


@dataclass(slots=True)
class Receiver:
    """What came, and what is answered."""

    port: int = 0
    scheme: str = "http"
    status: int = 200
    answers: asyncio.Event | None = None
    """Set where it does not answer before that."""
    got: list[Received] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """Where it listens; the path carries a token of its own."""
        return f"{self.scheme}://127.0.0.1:{self.port}/hook/t0ken"

    async def has(self, messages: int) -> None:
        """Wait until so many came."""
        async with self._came:
            await asyncio.wait_for(self._came.wait_for(lambda: len(self.got) >= messages), HANG_SECONDS)

    async def keep(self, given: Received) -> None:
        async with self._came:
            self.got.append(given)
            self._came.notify_all()

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Kind and state of all that came, in order."""
        return [(received.said["kind"], received.said["state"]) for received in self.got]


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, *, port: int = 0) -> AsyncIterator[Receiver]:
    """One that listens until the context ends, over TLS where a context for that is given."""
    receiver = Receiver(scheme="https" if tls else "http")

    async def take(request: web.Request) -> web.Response:
        signature = request.headers["License-Master-Signature"]
        await receiver.keep(Received(request.path, (await request.read()).decode(), signature))
        if receiver.answers is not None:
            await receiver.answers.wait()
        headers = {"Location": "/elsewhere"} if receiver.status == 302 else {}
        return web.Response(status=receiver.status, headers=headers)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
