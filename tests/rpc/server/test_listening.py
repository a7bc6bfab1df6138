"""The metrics page listens in either family, as gRPC does, until its master ends."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from socketserver import BaseServer

import pytest

from licensemaster.daemon.settings import load
from master.app import serve
from master.metrics import Metrics
from master.rpc.server.metrics_page import MetricsPage
from master.settings import Settings
from tests.support.limits import HANG_SECONDS
from tests.support.masters import sqlite_url, upgraded


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        ("127.0.0.1:0", ["127.0.0.1"]),
        ("[::1]:0", ["[::1]"]),
        ("localhost:0", ["localhost"]),
        ("0.0.0.0:0", ["127.0.0.1", "[::1]"]),
        ("[::]:0", ["127.0.0.1", "[::1]"]),
    ],
)
async def test_the_metrics_page_is_in_either_family(
    listen: str, reached: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with its master at once: it does not wait until it would look by itself whether it is to end."""
    monkeypatch.setattr(BaseServer.serve_forever, "__defaults__", (2 * HANG_SECONDS,))
    page = MetricsPage(listen, Metrics(), certificates=None, clock=lambda: 0.0)
    try:
        await _served(page, reached, page.accept_no_more)
    finally:
        page.close()


async def test_a_page_that_is_started_again_listens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseServer.serve_forever, "__defaults__", (0.01,))
    page = MetricsPage("127.0.0.1:0", Metrics(), certificates=None, clock=lambda: 0.0)
    for _ in range(2):
        await _served(page, ["127.0.0.1"], lambda: None)
    page.close()


async def test_why_an_address_cannot_be_listened_on_is_said(tmp_path: Path) -> None:
    url = await upgraded(sqlite_url(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for addresses, words in (
            ({"listen": listen, "metrics_listen": ""}, "something listens there already: another master"),
            ({"listen": f"unix:{tmp_path}/absent/socket", "metrics_listen": ""}, "socket cannot be made there"),
        ):
            settings = load(Settings, None, database_url=url, plaintext=True, **addresses)
            with pytest.raises(OSError, match=f"^listen: '.*' cannot be listened on: .*{words}"):
                await serve(settings)


async def _served(page: MetricsPage, reached: list[str], end: Callable[[], None]) -> None:
    serving = asyncio.create_task(page.run())
    try:
        for host in reached:
            assert "license_master_queue_length" in await asyncio.to_thread(_scraped, f"{host}:{page.port}")
    finally:
        end()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=HANG_SECONDS) as answer:
        return str(answer.read().decode())
