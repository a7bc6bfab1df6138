"""Who calls an agent over TCP shows its token, and takes no place of those at its socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from license_agent.agent import Agent
from license_agent.daemon import running
from license_agent.http.server import LocalServer
from tests.license_agent.conftest import agent_settings, running_agent
from tests.slave_client.conftest import RestartableMaster
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


def test_a_short_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    settings = agent_settings("127.0.0.1:1", tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    with pytest.raises(ValueError, match="fewer than 16 characters"):
        settings.secret()
