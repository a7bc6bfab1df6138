"""The served document says what the running agent does: every route, and real answers to what schemathesis asks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from license_agent.http.openapi import DOCUMENT
from license_agent.http.routes import routes
from tests.license_agent.conftest import Pbx, agent_settings, running_agent
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import LONG

ROOT = Path(__file__).parents[3]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
HOOKS = "tests.slow.agent.formats"
TOKEN = "correct-horse-battery-staple"


def test_every_route_is_described_and_no_other() -> None:
    served = {(route.method.lower(), route.path.replace(":[^/]+", "")) for route in routes}  # type: ignore[attr-defined]
    described = {
        (method, path) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    assert described == served


async def test_answers_are_as_described(master: RestartableMaster, tmp_path: Path) -> None:
    """All of schemathesis' checks. /v1/events has no end, so readers are left soon, as when an agent stops."""
    (tmp_path / "token").write_text(TOKEN)
    settings = agent_settings(master.address, tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    async with running_agent(settings) as pbx:
        assert (await pbx.ask("GET", "/openapi.json")).body == json.loads(json.dumps(DOCUMENT))
        asking = await asyncio.create_subprocess_exec(
            SCHEMATHESIS,
            "run",
            f"http://127.0.0.1:{pbx.server.port}/openapi.json",
            f"--header=Authorization: Bearer {TOKEN}",
            "--checks=all",
            f"--max-examples={500 if LONG else 10}",
            *([] if LONG else ["--seed=1"]),
            "--generation-database=none",
            "--suppress-health-check=all",
            "--no-color",
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": HOOKS,
                "PYTHONPATH": str(ROOT),
                "NO_PROXY": "127.0.0.1",
                "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),  # tables of characters, made once
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        leaving = asyncio.create_task(_leave_readers(pbx))
        said, _ = await asking.communicate()
        leaving.cancel()
        assert asking.returncode == 0, said.decode()


async def _leave_readers(pbx: Pbx) -> None:
    while True:
        pbx.agent.events.end()
        await asyncio.sleep(0.02)
