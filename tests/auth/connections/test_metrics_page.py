"""The metrics page over TLS: for scrapers, and for operators and viewers who may see every project."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from licensemaster.daemon.settings import load
from master import parts
from master.auth.certificates.certificates import Certificates
from master.metrics import Metrics
from master.rpc.server import metrics_page
from master.rpc.server.metrics_page import MetricsPage
from master.rpc.server.open_connections import ConnectionBounds
from master.settings import Settings
from tests.auth.pki import CertifiedKey, Pki
from tests.support.asking import all_asked
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess
from tests.support.waiting import until


async def _scrape(master: InProcess, certified_key: CertifiedKey | None, pki: Pki, folder: Path) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(pki.folder / "ca.crt"))
    if certified_key is not None:
        (folder / "pair.pem").write_bytes(certified_key.key + certified_key.certificate)
        context.load_cert_chain(folder / "pair.pem")

    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"https://127.0.0.1:{master.running.metrics_port}/metrics", context=context, timeout=HANG_SECONDS
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(get)


@pytest.mark.parametrize("who", ["metrics/prometheus", "operators/anna", "viewers/wall"])
async def test_who_may_read_it(secured: InProcess, pki: Pki, tmp_path: Path, who: str) -> None:
    code, page = await _scrape(secured, pki.certified_key(who), pki, tmp_path)
    assert (code, "license_master_up 1.0" in page) == (200, True)


@pytest.mark.parametrize("who", ["projects/acme/pbxs/berlin", "projects/acme/operators/otto", "vendors/v"])
async def test_who_may_not(secured: InProcess, pki: Pki, tmp_path: Path, who: str) -> None:
    assert await _scrape(secured, pki.certified_key(who), pki, tmp_path) == (
        403,
        "this certificate may not read the metrics\n",
    )
    _, page = await _scrape(secured, pki.certified_key("metrics/p"), pki, tmp_path)
    assert 'license_master_calls_denied_total{reason="METRICS_PAGE"} 1.0' in page


async def test_who_may_not_is_named_in_the_log(secured: InProcess, pki: Pki, tmp_path: Path) -> None:
    with capture_logs() as logs:
        await _scrape(secured, pki.certified_key("vendors/v"), pki, tmp_path)
    [line] = [line for line in logs if line["event"] == "a caller was turned away"]
    assert (line["reason"], line["caller"], line["peer"]) == ("METRICS_PAGE", "license-master://vendors/v", "127.0.0.1")


async def test_a_revoked_certificate_reads_nothing(secured: InProcess, pki: Pki, tmp_path: Path) -> None:
    certified_key = pki.certified_key("metrics/prometheus")
    pki.authority.revoke([certified_key.issued], now=time.time())
    assert (await _scrape(secured, certified_key, pki, tmp_path))[0] == 403


def _closed(connection: socket.socket) -> None:
    """It was only looked whether anybody listens."""


def _torn(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _half_closed(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""


@pytest.mark.parametrize("look", [_closed, _torn, _half_closed])
async def test_who_connects_and_says_nothing_is_nobody_turned_away(
    secured: InProcess, pki: Pki, tmp_path: Path, look: Callable[[socket.socket], None]
) -> None:
    def check(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as connection:
            look(connection)

    with capture_logs() as logs:
        for port in (secured.running.metrics_port, secured.running.port):
            for _ in range(3):
                with suppress(TimeoutError):  # gRPC says something itself, or waits
                    await asyncio.to_thread(check, port)
        _, page = await _scrape(secured, pki.certified_key("metrics/p"), pki, tmp_path)
    denied = {line for line in page.splitlines() if line.startswith("license_master_calls_denied_total{")}
    assert {line.rpartition(" ")[2] for line in denied} == {"0.0"}
    assert not [line for line in logs if line["event"] == "a caller was turned away"]


async def test_without_a_certificate_there_is_no_page(secured: InProcess, pki: Pki, tmp_path: Path) -> None:
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        await _scrape(secured, None, pki, tmp_path)
    _, page = await _scrape(secured, pki.certified_key("metrics/p"), pki, tmp_path)
    assert 'license_master_calls_denied_total{reason="HANDSHAKE"} 1.0' in page


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
async def test_slow_readers_are_bounded_and_ended_and_keep_nobody_out(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    """Connections that say a little now and then: as many as may be have a thread, no longer than they may."""
    monkeypatch.setattr(metrics_page, "_HANDSHAKE_SECONDS", HANG_SECONDS)  # on a machine that stalls they say nothing
    metrics, clock = Metrics(), Clock(time.time())
    files = load(Settings, None, **pki.serve(pki.server_key())).certificate_files
    certificates = Certificates(files, clock) if secure and files else None
    bounds = ConnectionBounds(connections_max=5, address_connections_max=3, seconds_max=10)
    page = MetricsPage("127.0.0.1:0", metrics, certificates=certificates, clock=clock, bounds=bounds, steady=clock)
    served = asyncio.create_task(page.run())

    async def counted(reason: str, count: int) -> None:
        await until(lambda: _denied(metrics, reason) >= count)
        assert _denied(metrics, reason) == count

    def serving() -> int:
        """Threads that have a connection; others of this process come and go, also those that this test waits in."""
        threads = set(threading.enumerate()) - before
        return sum("process_request_thread" in thread.name for thread in threads)

    before, slow = set(threading.enumerate()), []
    try:
        for address in ("127.0.0.1", "127.0.0.2"):
            slow += await asyncio.to_thread(_connected, page.port, address, 20)
        await counted("METRICS_PAGE_BUSY", 40 - 3 - 2)
        assert 0 < serving() <= 5
        clock.advance(10)
        await counted("METRICS_PAGE_LATE", 5)
        await until(lambda: not serving())
        slow += await asyncio.to_thread(_connected, page.port, "127.0.0.1", 4)
        await counted("METRICS_PAGE_BUSY", 36)
    finally:
        for reader in slow:
            reader.close()
        served.cancel()
        await asyncio.wait([served])
        page.close()


def _connected(port: int, from_address: str, count: int) -> list[socket.socket]:
    collected = []
    for _ in range(count):
        connection = socket.create_connection(
            ("127.0.0.1", port), timeout=HANG_SECONDS, source_address=(from_address, 0)
        )
        with suppress(OSError):
            connection.send(b"G")
        collected.append(connection)
    return collected


def _denied(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("license_master_calls_denied_total", {"reason": reason}) or 0


async def test_scrapes_that_have_no_turn_in_time_say_that_the_database_is_there(
    secured: InProcess, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certified_key = pki.certified_key("metrics/prometheus")
    with monkeypatch.context() as patch:
        patch.setattr(parts, "_SCRAPE_TIMEOUT_SECONDS", 1.0)
        async with all_asked(secured.running.database):
            pages = await asyncio.gather(*(_scrape(secured, certified_key, pki, tmp_path) for _ in range(4)))
            assert all(code == 200 and "license_master_up 1.0" in page for code, page in pages)
            assert not any("license_master_pool_capacity{" in page for _, page in pages)
            asking = [task for task in asyncio.all_tasks() if "Status.overviews" in repr(task)]
            assert len(asking) == 1, "they wait for one answer"
    _, page = await _scrape(secured, certified_key, pki, tmp_path)
    assert "license_master_pool_capacity{" in page
