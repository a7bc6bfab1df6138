"""The installed `license-master` command, run as an operator runs it."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("license-master"))
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


def surroundings(**variables: str) -> dict[str, str]:
    """The environment without settings of its own, wide enough for whole lines."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LICENSE_MASTER_")}
    return {**kept, "COLUMNS": "200", **variables}


async def run(*arguments: str, stdin: int = asyncio.subprocess.DEVNULL, **variables: str) -> Done:
    """Runs a command to its end, beside a master in this process."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=surroundings(**variables),
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())
