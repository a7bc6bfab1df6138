"""The metrics page listens in either family, as gRPC does."""

from __future__ import annotations

import asyncio
import urllib.request
from socketserver import BaseServer

import pytest

from master.metrics import Metrics
from master.rpc.server.metrics_page import MetricsPage
from tests.support.limits import HANG_SECONDS


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
    """And ends at once: it does not wait until it would look by itself whether it is to end."""
    monkeypatch.setattr(BaseServer.serve_forever, "__defaults__", (2 * HANG_SECONDS,))
    page = MetricsPage(listen, Metrics(), certificates=None, clock=lambda: 0.0)
    serving = asyncio.create_task(page.run())
    try:
        for host in reached:
            assert "license_master_queue_length" in await asyncio.to_thread(_scraped, f"{host}:{page.port}")
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        page.close()


def _scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=HANG_SECONDS) as answer:
        return str(answer.read().decode())
