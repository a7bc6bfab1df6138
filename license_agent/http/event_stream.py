"""Server-sent events of seats, states and notices. A reader that does not read is dropped."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from aiohttp import web

from license_agent.agent import Agent
from license_agent.events import Event, Reader
from license_agent.http.problems import ProblemError

_PAUSE_SECONDS: Final = 15.0
"""Seconds without an event before a comment is sent: the reader sees that the agent is there, and the agent whether
the reader is."""


async def event_stream(request: web.Request, agent: Agent, *, readers_max: int) -> web.StreamResponse:
    """Send a reader all events from now on, the state first, until either side ends or the reader is behind.

    Raises:
        ProblemError: 503, there are as many readers as allowed.
    """
    if agent.events.readers >= readers_max:
        raise ProblemError(503, "full", f"{readers_max} read events already")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    with agent.events.reading() as reader:
        await response.prepare(request)
        report = agent.client.report()
        first = Event("state", {"old": None, "state": report.state.value, "why": report.why})
        writing = asyncio.create_task(_write(response, first, reader))
        over = asyncio.create_task(reader.over.wait())
        try:
            await asyncio.wait((writing, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            writing.cancel()
            over.cancel()
            await asyncio.gather(writing, over, return_exceptions=True)
            if reader.is_behind and request.transport is not None:
                request.transport.abort()
    return response


async def _write(response: web.StreamResponse, first: Event, reader: Reader) -> None:
    await response.write(_lines(first))
    async for event in reader.events(pause_seconds=_PAUSE_SECONDS):
        await response.write(_lines(event) if event is not None else b":\n\n")


def _lines(event: Event) -> bytes:
    return f"event: {event.name}\ndata: {json.dumps(event.data, separators=(',', ':'))}\n\n".encode()
