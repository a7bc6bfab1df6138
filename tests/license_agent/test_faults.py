"""What is wrong around the agent is said where somebody looks, and the PBX is answered all the same."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from license_agent.daemon import running, serve
from slave_client import FolderInUseError
from tests.license_agent.conftest import agent_settings, port, running_agent
from tests.slave_client.conftest import RestartableMaster
from tests.support.folders import fill, tiny_disk
from tests.support.limits import HANG_SECONDS
from tests.support.waiting import until


async def test_a_state_that_cannot_be_written_stops_nothing(master: RestartableMaster, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with running_agent(agent_settings(master.address, tmp_path, state_dir=tmp_path / "file" / "state")) as pbx:
        assert await pbx.register("4711") == [200]
        notices = (await pbx.ask("GET", "/v1/lease")).body["notices"]
        assert "state_not_saved" in [notice["kind"] for notice in notices]


async def test_a_full_disk_stops_nothing_and_loses_nothing(master: RestartableMaster, tmp_path: Path) -> None:
    """Real: phones come and go while it is full, and a restart afterwards has what there was."""
    (tmp_path / "disk").mkdir()
    with tiny_disk(tmp_path / "disk", megabytes=1) as disk:
        settings = agent_settings(master.address, tmp_path, state_dir=disk / "state")
        async with running_agent(settings) as pbx:

            async def noticed() -> bool:
                return "state_not_saved" in str((await pbx.ask("GET", "/v1/lease")).body["notices"])

            assert await pbx.register("4711", "4712") == [200, 200]
            fill(disk / "ballast")
            assert (await pbx.ask("DELETE", port("4712"))).status == 200
            assert await noticed()
            assert await pbx.register("4711", "4713") == [200, 200]
            (disk / "ballast").unlink()
            assert (await pbx.ask("DELETE", port("4713"))).status == 200
            assert not await noticed()
            assert await pbx.register("4714") == [200]
        await master.stop()
        async with running_agent(settings) as pbx:
            assert {held.want.holder for held in pbx.agent.client.held} == {"4711", "4714"}
        await master.start()
        assert await master.holders("berlin") == {"4711", "4714"}


async def test_a_state_is_one_agents_at_a_time(master: RestartableMaster, tmp_path: Path) -> None:
    async with running_agent(agent_settings(master.address, tmp_path)) as pbx:
        second = agent_settings(master.address, tmp_path, socket=tmp_path / "another")
        with pytest.raises(FolderInUseError):
            async with running(second):
                pass
        assert await pbx.register("4711") == [200]


def _tasks(name: str) -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


async def test_a_part_that_ends_ends_the_agent(master: RestartableMaster, tmp_path: Path) -> None:
    """Then systemd starts it again."""
    (tmp_path / "token").write_text("x" * 16)
    settings = agent_settings(master.address, tmp_path, kamailio="127.0.0.1:1", token_file=tmp_path / "token")
    serving = asyncio.create_task(serve(settings))
    async with asyncio.timeout(HANG_SECONDS):
        while not (parts := _tasks("registrar of Kamailio")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    parts[0].cancel()
    with pytest.raises(RuntimeError, match="the registrar of Kamailio has ended"):
        await serving
    assert not settings.socket.exists()


async def test_a_socket_that_another_took_stays(master: RestartableMaster, tmp_path: Path) -> None:
    """Somebody removed it, and started another program there; another agent would not start while this one runs."""
    settings = agent_settings(master.address, tmp_path)
    with socket.socket(socket.AF_UNIX) as another:
        async with running_agent(settings):
            settings.socket.unlink()
            with pytest.raises(OSError, match="another agent"):
                async with running(agent_settings(master.address, tmp_path, state_dir=tmp_path / "other")):
                    pass
            another.bind(str(settings.socket))
            another.listen()
        with socket.socket(socket.AF_UNIX) as calling:
            calling.connect(str(settings.socket))


async def test_who_waits_for_a_master_is_answered_when_the_agent_stops(tmp_path: Path) -> None:
    """Of a master that takes connections and says nothing; minutes before the agent would give up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = agent_settings(f"127.0.0.1:{silent.getsockname()[1]}", tmp_path, give_up_after_seconds=600)
        connector = aiohttp.UnixConnector(str(settings.socket))
        async with AsyncExitStack() as agent, aiohttp.ClientSession(connector=connector) as session:
            found = await agent.enter_async_context(running(settings))
            asking = asyncio.create_task(session.put(f"http://agent{port('4711')}"))
            await until(lambda: found.agent.waiting)
            await agent.aclose()
            answer = await asking
            assert (answer.status, (await answer.json(content_type=None))["reason"]) == (503, "closed")
