"""What answers where Kamailio should, and is something else, or too much."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from license_agent.kamailio import locations as locations_module
from license_agent.kamailio.locations import Locations, LocationsError

_DEEP = b"[" * 100_000
_DUMP = b'{"result": {"Domains": [{"Domain": {"AoRs": %b}}]}}'


@asynccontextmanager
async def answering(answer: Handler) -> AsyncIterator[Locations]:
    """The locations of whoever listens where Kamailio should."""
    app = web.Application()
    app.router.add_post("/license-rpc", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    locations = Locations(f"http://127.0.0.1:{runner.addresses[0][1]}/license-rpc", "x" * 32)
    try:
        yield locations
    finally:
        await locations.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"error"',
        b'{"error": null}',
        b'{"error": {}}',
        b'{"error": {"message": {}}}',
        b'{"result": null}',
        b'{"result": {"Domains": null}}',
        b'{"result": {"Domains": [null]}}',
        b'{"result": {"Domains": [{"Domain": []}]}}',
        _DUMP % b"null",
        _DUMP % b"[7]",
        _DUMP % b"[[]]",
        _DUMP % b'[{"AoR": "p0"}, {}]',
        (_DUMP % b'[{"AoR": "p0"}]')[:-3],
        (_DUMP % b'[{"AoR": "p0"}]') * 2,
        _DEEP,
    ],
    ids=lambda said: said[:60].decode(),
)
async def test_what_is_no_answer_is_said(said: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=said)

    async with answering(answer) as locations:
        for asking in (locations.holders, locations.in_call, locations.unanswered):
            with pytest.raises(LocationsError):
                await asking()


@pytest.mark.parametrize(("aors", "holders"), [(b"[]", set()), (b'[{"AoR": "p0"}, {"AoR": "p0"}]', {"p0"})])
async def test_an_address_of_record_counts_once(aors: bytes, holders: set[str]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=_DUMP % aors)

    async with answering(answer) as locations:
        assert await locations.holders() == holders


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations_module, "_BYTES_MAX", 1_000_000)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 100_000)

    async with answering(answer) as locations:
        with pytest.raises(LocationsError, match="more than 1,000,000 bytes"):
            await locations.holders()
