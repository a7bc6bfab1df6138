"""Whatever a caller sends gets a clear answer, and costs its neighbours nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import time
import zlib
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs
from yarl import URL

from license_agent.daemon import running
from license_agent.http import server
from slave_client import State
from tests.license_agent.conftest import Pbx, agent_settings, port, running_agent
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS, LONG
from tests.support.waiting import until

MANY = 10_000 if LONG else 1_000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"user": "' + b"x" * 20_000 + b'"}', 422),
        (b"\xff\xfe\x00", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b'{"users": "x"}', 422),
        (b'{"user": 1}', 422),
        (b'{"user": "\\ud800"}', 422),
        (b"1" * 5_000, 400),
        (b"x" * 9_000_000, 413),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_body_that_is_none(pbx: Pbx, body: bytes, status: int) -> None:
    answer = await pbx.ask("PUT", port("4711"), data=body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.body["detail"]
    assert await pbx.register("4711") == [200]


@pytest.mark.parametrize(
    ("method", "target", "said"),
    [
        ("PUT", f"{port('4711')}?wait=true", "'wait' is not heeded here; a body may say more"),
        ("DELETE", f"{port('4711')}?force=1", "'force'"),
        ("GET", "/v1/seats?limit=10", "'limit'"),
        ("GET", "/v1/events?after=7", "'after'"),
        ("GET", "/v1/calls/allowed?hodler=4711", "'hodler' is none of kind, holder, license_type"),
        ("GET", "/v1/calls/allowed?kind=new&kind=running", "kind stands there twice"),
        ("GET", "/v1/lease?%ff=1", "not UTF-8"),
    ],
)
async def test_a_query_that_nobody_heeds_is_refused(pbx: Pbx, method: str, target: str, said: str) -> None:
    answer = await pbx.ask(method, target)
    assert (answer.status, said in answer.body["detail"]) == (422, True), answer.body
    assert (await pbx.ask("GET", "/healthz?t=1")).status == 200


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ("Content-Encoding: gzip\r\nContent-Length: 9", b"no gzip..", 415),
        ("Content-Encoding: deflate\r\nContent-Length: 9", b"no better", 415),
        ("Content-Length: 99999999999", b"{", 413),
        ("Content-Length: 9", None, None),
        ("Transfer-Encoding: chunked", None, None),
    ],
)
async def test_a_body_that_cannot_be_read_is_the_callers_affair(
    pbx: Pbx,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    headers: str,
    body: bytes | None,
    status: int | None,
) -> None:
    """Or never comes, as the caller has gone: the log has nothing of it."""
    with capture_logs() as logged:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(f"PUT {port('4711')} HTTP/1.1\r\nHost: agent\r\n{headers}\r\n\r\n".encode() + (body or b""))
        if body is not None:
            assert (await reader.readline()).startswith(f"HTTP/1.1 {status} ".encode())
        else:
            await writer.drain()
            assert await pbx.register("4711") == [200], "later than the request that is not whole"
        writer.close()
        await writer.wait_closed()
        await until(lambda: pbx.server.connections <= 1)
        assert await pbx.register("4711") == [200]
    assert [line for line in logged if line["log_level"] != "info"] == []
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_the_end_waits_for_no_body_that_nobody_reads(
    master: RestartableMaster,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    """Its request was answered long ago, and whoever sends it goes on."""
    for name in ("_DRAIN_SECONDS", "_REST_SECONDS"):
        monkeypatch.setattr(server, name, HANG_SECONDS)
    head = f"{method} {port('4711')} HTTP/1.1\r\nHost: agent\r\nContent-Length: 99999999999\r\n\r\n"
    async with asyncio.timeout(HANG_SECONDS):
        async with running(agent_settings(master.address, tmp_path)):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
            writer.write(head.encode())
            assert (await reader.readuntil(b"}\n")).startswith(b"HTTP/1.1 4")
            writer.write(b" " * 1_000_000)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("path", [port("M%FCller"), "/v1/calls/allowed?holder=M%FCller", port("%ed%a0%80")])
async def test_a_name_that_is_no_utf_8_is_refused(pbx: Pbx, path: str) -> None:
    answer = await pbx.ask("GET", path)
    assert (answer.status, "not UTF-8" in answer.body["detail"]) == (422, True)


@pytest.mark.parametrize(
    "seats",
    [
        "x",
        [1],
        [{}],
        [{"license_type": "port", "holder_kind": "nobody", "holder": "x"}],
        [{"license_type": "port", "holder_kind": "user", "holder": ""}],
        [{"license_type": "port", "holder_kind": "user", "holder": "x", "colour": "red"}],
        [{"license_type": "port", "holder_kind": "user", "holder": "x"}] * 2,
    ],
)
async def test_a_wanted_set_that_is_none(pbx: Pbx, master: RestartableMaster, seats: object) -> None:
    await pbx.register("4711")
    answer = await pbx.ask("PUT", "/v1/seats", json={"seats": seats})
    assert answer.status == 422, answer.body
    assert await master.holders("berlin") == {"4711"}


async def test_whole_sets_that_come_slowly_are_few(pbx: Pbx, tmp_path: Path) -> None:
    """The largest bodies there are: no more than a few at a time take memory, and all others go on."""
    senders = []
    for _ in range(4):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(b"PUT /v1/seats HTTP/1.1\r\nHost: agent\r\nContent-Length: 8000000\r\n\r\n" + b" " * 100_000)
        senders.append((reader, writer))
    async with asyncio.timeout(HANG_SECONDS):
        while (answer := await pbx.ask("PUT", "/v1/seats", json={"seats": []})).status == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert await pbx.register("4711") == [200]
    for _, writer in senders:
        writer.close()
    async with asyncio.timeout(HANG_SECONDS):
        while (await pbx.ask("PUT", "/v1/seats", json={"seats": []})).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("holder", "status"),
    [
        ("sip:alice@example.com;transport=tcp", 200),
        ("../../etc/passwd", 200),
        ("a/b", 200),
        ("100%", 200),
        ("{a}", 200),
        ("..", 200),
        ("%2F", 200),
        ("' OR 1=1 --", 200),
        ("😀", 200),
        ("a\r\nX-Evil: 1", 422),
        ("a\0b", 422),
        ("\u202eevil", 422),
        ("x" * 129, 422),
        (" ", 422),
    ],
)
async def test_names_of_holders(pbx: Pbx, master: RestartableMaster, holder: str, status: int) -> None:
    url = URL(f"http://agent/v1/seats/port/user/{quote(holder, safe='')}", encoded=True)
    async with pbx.session.put(url) as answer:
        assert answer.status == status, await answer.text()
        assert "X-Evil" not in answer.headers
    assert await master.holders("berlin") == ({holder} if status == 200 else set())


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_body_that_would_become_very_large_is_not_unpacked(pbx: Pbx, method: str) -> None:
    """300 MB in 300 KB, more than once: nobody waits for it, whoever reads it or does not."""
    packed = zlib.compress(bytes(300_000_000))
    async with asyncio.timeout(HANG_SECONDS):
        started = time.process_time()
        for _ in range(10):
            answer = await pbx.ask(method, "/v1/seats", data=packed, headers={"Content-Encoding": "deflate"})
            assert answer.status == {"PUT": 415, "GET": 200}[method]
        assert time.process_time() - started < 1, "of some 3 seconds"


async def test_what_is_not_there(pbx: Pbx) -> None:
    assert (await pbx.ask("GET", "/nothing")).status == 404
    post = await pbx.ask("POST", "/v1/seats")
    assert (post.status, set(post.headers["Allow"].split(","))) == (405, {"GET", "PUT"})
    unknown = await pbx.ask("PUT", "/v1/seats/no-such-type/user/x")
    assert (unknown.status, unknown.reason) == (403, "unknown_license_type")
    kind = await pbx.ask("PUT", "/v1/seats/port/nobody/x")
    assert (kind.status, "waiting_queue" in kind.body["detail"]) == (422, True)
    assert (await pbx.ask("GET", "/v1/calls/allowed?kind=maybe")).status == 422
    assert (await pbx.ask("GET", "/v1/calls/allowed?kind=emergency&x=1")).status == 422


async def test_more_connections_than_may_be(master: RestartableMaster, tmp_path: Path) -> None:
    """The PBX's own, which was there before, is answered all the same."""
    async with running_agent(agent_settings(master.address, tmp_path, connections_max=20)) as pbx:
        assert await pbx.register("4711") == [200]
        socket = str(tmp_path / "socket")
        kept = [await asyncio.open_unix_connection(socket) for _ in range(19)]
        for _ in range(MANY // 100):
            some = await asyncio.gather(*(asyncio.open_unix_connection(socket) for _ in range(100)))
            for reader, writer in some:
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 503 "), answer
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:license-agent:problem:full"
                writer.close()
            assert await pbx.register("4711") == [200]
        assert pbx.server.turned_away == MANY
        for _, writer in kept:
            writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \0\r\n\r\n",
        b"A" * 100_000 + b"\r\n",
    ],
    ids=["tls", "zero", "long"],
)
async def test_what_is_no_http(pbx: Pbx, tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
    writer.write(sent)
    assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    writer.close()
    assert caplog.records == []
    assert await pbx.register("4711") == [200]


async def test_very_many_connections_at_once(master: RestartableMaster, tmp_path: Path) -> None:
    """Where as many may be: each is answered, and stays."""
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    is_enough = files_max == resource.RLIM_INFINITY or files_max >= 2 * MANY + 500  # both ends are this process's
    many = MANY if is_enough else (files_max - 500) // 200 * 100
    async with running_agent(agent_settings(master.address, tmp_path, connections_max=many + 10)) as pbx:
        assert await pbx.register("4711") == [200]
        kept = []
        for _ in range(many // 100):
            some = await asyncio.gather(*(asyncio.open_unix_connection(str(tmp_path / "socket")) for _ in range(100)))
            for _, writer in some:
                writer.write(f"PUT {port('4711')} HTTP/1.1\r\nHost: agent\r\n\r\n".encode())
            for reader, _ in some:
                assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            kept += some
        assert pbx.server.connections == many + 1
        assert await pbx.register("4711", "4712") == [200, 200]
        for _, writer in kept:
            writer.close()


async def test_a_caller_that_says_nothing_is_left(master: RestartableMaster, tmp_path: Path) -> None:
    async with running_agent(agent_settings(master.address, tmp_path, request_timeout_seconds=0.2)):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(b"GET /v1/lease HTTP/1.1\r\nX-Slow: ")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_a_caller_whose_request_came_while_the_agent_was_halted_is_answered(
    master: RestartableMaster, tmp_path: Path
) -> None:
    """As on a machine that stalls: its time is over before the request is read."""
    seconds = 0.2
    async with running_agent(agent_settings(master.address, tmp_path, request_timeout_seconds=seconds)) as pbx:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        await until(lambda: pbx.server.connections)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: agent\r\n\r\n")
        time.sleep(seconds + 1)  # noqa: ASYNC251  # the whole process
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()


async def test_a_caller_that_reads_no_answer_is_left(master: RestartableMaster, tmp_path: Path) -> None:
    """Neither do its answers pile up, nor is its connection kept."""
    async with running_agent(agent_settings(master.address, tmp_path, request_timeout_seconds=3)) as pbx:

        async def connections(count: int) -> None:
            await until(lambda: pbx.server.connections == count)

        assert await pbx.register("4711") == [200]
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connections(2)
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: agent\r\n\r\n" * 2_000)
        await connections(1)
        assert await pbx.register("4711") == [200]
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        read = b""
        with suppress(ConnectionError):
            read = await reader.read()
        assert len(read) < 1_000_000, "of 27 MB"
        writer.close()


async def test_a_reader_hears_what_happens(pbx: Pbx) -> None:
    async with pbx.session.get("http://agent/v1/events") as stream:
        assert await stream.content.readline() == b"event: state\n"
        assert json.loads((await stream.content.readline()).removeprefix(b"data: "))["state"] == "connected"
        await pbx.register("4711")
        lines = [await stream.content.readline() for _ in range(3)]
        assert lines[1] == b"event: seat\n"
        told = json.loads(lines[2].removeprefix(b"data: "))
        assert (told["change"], told["seat"]["holder"]) == ("granted", "4711")


async def test_a_reader_that_never_reads_is_dropped(master: RestartableMaster, tmp_path: Path) -> None:
    settings = agent_settings(master.address, tmp_path, events_waiting_max=16, readers_max=1)
    async with running_agent(settings) as pbx:
        await pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n")
        await reader.readuntil(b"\n\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert (await pbx.ask("GET", "/v1/events")).status == 503
        for _ in range(5_000):
            if pbx.agent.events.dropped:
                break
            await pbx.register("4711")
            await pbx.ask("DELETE", port("4711"))
        assert (pbx.agent.events.dropped, pbx.agent.events.readers) == (1, 0)
        writer.close()
        assert "license_agent_readers_dropped_total 1.0" in (await pbx.ask("GET", "/metrics")).body
