"""Who pastes the README into a shell gets what it says, in an empty folder, whichever shell it is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.slow.newcomer.pages import blocks, play


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_first_minutes(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    done = play(shell, blocks("README.md", below="Run it"), tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "applied: v10-v12-mix" in done.stdout
    assert "● refused  port for user user-17 at branch" in done.stdout
    assert done.stdout.count("v10-v12-mix   revision 1") == 2, "what was applied was kept over both masters"
    assert {path.name for path in tmp_path.iterdir()} == {".venv", "build"}
