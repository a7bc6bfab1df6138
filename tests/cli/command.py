"""The `license-master` command: `run` to its end, or started as it is installed, `COMMAND`, as an operator does."""

import asyncio
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.command_server import run_forked
from tests.support.limits import HANG_SECONDS

COMMAND = str(Path(sys.executable).with_name("license-master"))
LIMIT_SECONDS = HANG_SECONDS
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
"""How `--json` writes moments, whoever asks what: as protobuf writes a Timestamp."""
_WAITING = ThreadPoolExecutor(max_workers=32, thread_name_prefix="commands")
"""For those that wait for a command: not the threads in which a master of this process computes."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


def surroundings(**variables: str) -> dict[str, str]:
    """The environment without settings and profiles of its own, wide enough for whole lines."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LICENSE_MASTER_")}
    return {**kept, "COLUMNS": "200", "LICENSE_MASTER_PROFILES": "/dev/null/none.toml", **variables}


async def run(*arguments: str, stdin: int = asyncio.subprocess.DEVNULL, **variables: str) -> Done:
    """Runs a command to its end, beside a master in this process."""
    blocking = partial(run_blocking, *arguments, stdin=stdin, **variables)
    return await asyncio.get_running_loop().run_in_executor(_WAITING, blocking)


def run_blocking(*arguments: str, stdin: int = asyncio.subprocess.DEVNULL, **variables: str) -> Done:
    """The same beside a server that has threads of its own."""
    code, out, err = run_forked(arguments, surroundings(**variables), stdin=stdin, limit_seconds=LIMIT_SECONDS)
    return Done(code, out.decode(), err.decode())
