"""The soft limit of open files is raised to the hard one, and too low a hard one is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.limits import HANG_SECONDS

_CODE = """
import resource, sys
from licensemaster.daemon.open_files import allow_open_files
soft, hard, streams = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allow_open_files("streams_max", streams)
print("limits", *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "streams_max", "told"),
    [
        (80, 900, 500, ["raised"]),
        (900, 900, 500, []),
        (80, 600, 500, ["raised", "cannot be reached"]),
        (600, 600, 500, ["cannot be reached"]),
    ],
)
def test_as_many_files_as_may_be(soft: int, hard: int, streams_max: int, told: list[str]) -> None:
    command = [sys.executable, "-c", _CODE, *map(str, (soft, hard, streams_max))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG_SECONDS)
    assert f"limits {hard} {hard}" in done.stdout
    lines = [line for line in done.stdout.splitlines() if "files" in line]
    assert len(lines) == len(told)
    assert all(expected in line for expected, line in zip(told, lines, strict=True))
