"""What a page of the documentation tells its reader to type, as a script that a shell runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from master.launch import reserved_port
from tests.cli.command import surroundings
from tests.support.limits import HANG_SECONDS

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = HANG_SECONDS


def blocks(page: str, *, below: str) -> str:
    """The blocks of a page's section, one after the other, in which nothing may fail but what says so.

    A line whose comment speaks of exit code 1 has to end with it.
    """
    section = re.split(r"^## ", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith(f"{below}\n")]
    lines = "".join(re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).splitlines()
    return "\n".join(["set -e", *(_refused(line) if "exit code 1" in line else line for line in lines), ""])


def _refused(line: str) -> str:
    command = line.partition("  #")[0]
    return f"if {command}; then echo 'this should have been refused'; exit 3; else [ $? = 1 ]; fi"


def play(
    shell: str, script: str, folder: Path, *, limit_seconds: float = LIMIT_SECONDS, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, its master on ports of its own; whatever it left running is ended."""
    server, metrics = f"127.0.0.1:{reserved_port()}", f"127.0.0.1:{reserved_port()}"
    process = subprocess.Popen(
        [shell, "-c", script],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=surroundings(
            LICENSE_MASTER_SERVER=server,
            LICENSE_MASTER_LISTEN=server,
            LICENSE_AGENT_MASTERS=server,
            LICENSE_MASTER_METRICS_LISTEN=metrics,
            **variables,
        ),
    )
    try:
        out, err = process.communicate(timeout=limit_seconds)
    finally:
        left_behind = _end_group(process.pid)
    assert not left_behind, "the script left processes behind"
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _end_group(group: int) -> bool:
    """Whether there was anything left of a group of processes, which has ended now."""
    try:
        os.killpg(group, 9)
    except ProcessLookupError:
        return False
    return True
