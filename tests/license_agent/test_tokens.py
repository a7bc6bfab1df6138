"""Who calls an agent over TCP shows its token, and takes no place of those at its socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.request import HTTPBasicAuthHandler, HTTPPasswordMgrWithDefaultRealm, build_opener

import aiohttp
import pytest
from structlog.testing import capture_logs

from license_agent.agent import Agent
from license_agent.daemon import running
from license_agent.http.server import LocalServer
from tests.license_agent.conftest import agent_settings, running_agent
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.waiting import until

TOKEN = "correct horse battery staple"


async def test_loopback_asks_for_the_token(master: RestartableMaster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN.replace(' ', '')}\n")
    settings = agent_settings(master.address, tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    async with running(settings) as found, aiohttp.ClientSession() as session:

        async def status(**headers: str) -> int:
            async with session.get(f"http://127.0.0.1:{found.server.port}/v1/lease", headers=headers) as answer:
                return answer.status

        assert await status() == 401
        assert await status(Authorization="Bearer wrong") == 401
        reader, writer = await asyncio.open_connection("127.0.0.1", found.server.port)
        writer.write(b"GET /v1/lease HTTP/1.1\r\nHost: agent\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 401 "), "and its connection is ended"
        writer.close()
        assert await status(Authorization=f"Basic {TOKEN.replace(' ', '')}") == 401
        assert await status(Authorization=f"Bearer {TOKEN.replace(' ', '')}") == 200
        assert await status(Authorization=aiohttp.encode_basic_auth("agent", TOKEN.replace(" ", ""))) == 200
        assert await status(Authorization=aiohttp.encode_basic_auth(TOKEN.replace(" ", ""), "")) == 401


async def test_a_program_that_shows_a_password_once_it_is_asked_is_asked(
    master: RestartableMaster, tmp_path: Path
) -> None:
    """As wget, urllib and `curl --anyauth` do."""
    (tmp_path / "token").write_text("x" * 20)
    settings = agent_settings(master.address, tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    async with running(settings) as found:
        at, passwords = f"http://127.0.0.1:{found.server.port}/healthz", HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, at, "agent", "x" * 20)
        opener = build_opener(HTTPBasicAuthHandler(passwords))
        with await asyncio.to_thread(opener.open, at, timeout=HANG_SECONDS) as answer:
            assert answer.status == 200


async def test_strangers_over_loopback_leave_places_to_the_socket(master: RestartableMaster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN.replace(" ", ""))
    changes = {"listen": "127.0.0.1:0", "token_file": tmp_path / "token", "connections_max": 20}
    async with running_agent(agent_settings(master.address, tmp_path, **changes)) as pbx:
        strangers = [await asyncio.open_connection("127.0.0.1", pbx.server.port) for _ in range(30)]
        await until(lambda: pbx.server.turned_away == 20)
        assert await pbx.register("4711") == [200]
        for _, writer in strangers:
            writer.close()


async def test_a_token_that_everybody_can_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 20)
    settings = agent_settings("127.0.0.1:1", tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    for mode, told in ((0o644, 1), (0o640, 0)):
        (tmp_path / "token").chmod(mode)
        with capture_logs() as logged:
            LocalServer(settings, Agent(settings))
        assert len(logged) == told, logged


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"short", "the token has fewer than 16 characters"),
        (b" \r\n", "the token is empty"),
        ("p\u00e4ssw\u00f6rter-sind-lang".encode(), "a character that no token has"),
        (b"0123456789abcdef\0", "NUL character"),
    ],
)
def test_a_file_that_has_no_token_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "token").write_bytes(content)
    settings = agent_settings("127.0.0.1:1", tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    with pytest.raises(ValueError, match=f"^token_file: {tmp_path}/token.*{said}"):
        settings.secret()


@pytest.mark.parametrize("content", [b"0123456789abcdef\r\n", b"\xef\xbb\xbf0123456789abcdef", b" 01234567\n89abcdef "])
def test_white_space_in_a_token_file_does_not_count(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    settings = agent_settings("127.0.0.1:1", tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    assert settings.secret() == b"0123456789abcdef"
