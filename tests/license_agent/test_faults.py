"""What is wrong around the agent is said where somebody looks, and the PBX is answered all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from license_agent.daemon import running
from slave_client import FolderInUseError
from tests.license_agent.conftest import agent_settings, port, running_agent
from tests.slave_client.conftest import RestartableMaster
from tests.support.projects.certificates import Made


async def test_a_state_that_cannot_be_written_stops_nothing(master: RestartableMaster, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with running_agent(agent_settings(master.address, tmp_path, state_dir=tmp_path / "file" / "state")) as pbx:
        assert await pbx.register("4711") == [200]
        notices = (await pbx.ask("GET", "/v1/lease")).body["notices"]
        assert "state_not_saved" in [notice["kind"] for notice in notices]


async def test_certificates_that_the_master_does_not_take(master: RestartableMaster, tmp_path: Path) -> None:
    authority = Made.by(name="authority", is_authority=True)
    pbx_certificate = Made.by(authority, name="pbx")
    for name, content in (("ca", authority.pem), ("crt", pbx_certificate.pem), ("key", pbx_certificate.key)):
        (tmp_path / name).write_bytes(content)
    settings = agent_settings(
        master.address,
        tmp_path,
        plaintext=False,
        tls_certificate_file=tmp_path / "crt",
        tls_key_file=tmp_path / "key",
        tls_ca_file=tmp_path / "ca",
        give_up_after_seconds=0.5,
    )
    async with running_agent(settings) as pbx:
        refused = await pbx.ask("PUT", port("4711"))
        assert (refused.status, refused.reason, "Retry-After" in refused.headers) == (503, "no_lease", True)
        async with asyncio.timeout(60):
            while "no_tls" not in str((await pbx.ask("GET", "/v1/lease")).body["notices"]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_a_state_is_one_agents_at_a_time(master: RestartableMaster, tmp_path: Path) -> None:
    async with running_agent(agent_settings(master.address, tmp_path)) as pbx:
        second = agent_settings(master.address, tmp_path, socket=tmp_path / "another")
        with pytest.raises(FolderInUseError):
            async with running(second):
                pass
        assert await pbx.register("4711") == [200]
