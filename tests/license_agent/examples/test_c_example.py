"""The C example is compiled and asks a real agent."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.license_agent.conftest import PORTS, Pbx
from tests.slave_client.conftest import RestartableMaster

SOURCE = Path(__file__).parents[3] / "examples" / "c" / "seat.c"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for needed in ("gcc", "curl-config"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    libraries = subprocess.run(["curl-config", "--libs"], capture_output=True, text=True, check=True).stdout.split()
    made = tmp_path_factory.mktemp("c") / "seat"
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", str(SOURCE), "-o", str(made), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


async def ran(program: Path, *arguments: object) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        program, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_a_phone_gets_a_seat_and_gives_it_back(
    program: Path, pbx: Pbx, master: RestartableMaster, tmp_path: Path
) -> None:
    socket = tmp_path / "socket"
    assert await ran(program, socket, "get", "Jürgen/4711") == (0, "granted\n")
    assert await master.holders("berlin") == {"Jürgen/4711"}
    await pbx.register(*(f"p{number}" for number in range(PORTS - 1)))
    code, said = await ran(program, socket, "get", "4712")
    assert (code, said.startswith("403 pool_exhausted: ")) == (1, True), said
    assert await ran(program, socket, "return", "Jürgen/4711") == (0, "returned\n")
    await master.stop()
    code, said = await ran(program, socket, "get", "p-new")
    assert (code, "ask again in 5 seconds" in said) == (2, True) or code == 0, said
    code, said = await ran(program, tmp_path / "nobody", "get", "4712")
    assert (code, "the agent does not answer" in said) == (2, True)
    await master.start()
