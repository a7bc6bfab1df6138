"""`license-master demo --kamailio` ends as it should, by itself."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.license_agent.kamailio.conftest import need_programs

COMMAND = Path(sys.executable).with_name("license-master")


async def _demo(**environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "demo",
        "--kamailio",
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_it_ends_as_it_should() -> None:
    need_programs()
    code, said = await _demo()
    assert code == 0, said
    assert "name the same phones" in said
    assert "what would help: " in said


async def test_it_names_what_is_missing() -> None:
    code, said = await _demo(PATH="/nonexistent")
    assert code == 1
    assert "sipp: Debian's sip-tester" in said
