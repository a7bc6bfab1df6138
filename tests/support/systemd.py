"""A real systemd that runs one unit of this project, in namespaces of its own: the machine's is left alone."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

_SYSTEMD: Final = Path("/lib/systemd/systemd")
_BEGIN: Final = """
set -e
mount -t tmpfs none /run
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd/system
cp -r "$0"/* /run/systemd/system/
export container=test
exec "$1" --system --unit="$2" --log-target=console
"""


@asynccontextmanager
async def unit_running(unit: Path, folder: Path, changes: str) -> AsyncIterator[None]:
    """Run a unit of `packaging/systemd` until the context ends; `changes` is a drop-in, for what is elsewhere here.

    Skips by name where there is no systemd, or nobody may make namespaces.
    """
    if os.geteuid() != 0 or shutil.which("unshare") is None or not _SYSTEMD.exists():
        pytest.skip("systemd in namespaces of its own needs root, unshare and systemd")
    units = folder / "units"
    (units / f"{unit.name}.d").mkdir(parents=True)
    shutil.copy(unit, units)
    (units / f"{unit.name}.d" / "here.conf").write_text(changes)
    with (folder / "systemd.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--fork", "--pid", "--mount", "--cgroup", "--mount-proc", "--propagation", "private"),
            *("--kill-child=SIGKILL", "sh", "-c", _BEGIN, str(units), str(_SYSTEMD), unit.name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.kill()
        await process.wait()
