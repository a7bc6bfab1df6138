"""Who pastes "Five minutes" of docs/pbx.md into a shell has a licensed phone, and an agent with nothing of a master's.

Its packages are those of requirements/agent.txt, from the package index as `make setup` gets them; the environment is
empty before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from requirements import renew
from tests.slow.newcomer.pages import ROOT, blocks, play

OURS = {"license-master-shared", "license-master-slave-client", "license-master-agent"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of this checkout, with its environment: building writes code beside the protos."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("tests/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    return tmp_path


@pytest.mark.timeout(3600)
def test_the_first_phone(checkout: Path) -> None:
    for needed in ("bash", "curl"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    started = time.perf_counter()
    done = play("bash", blocks("docs/pbx.md", below="Five minutes"), checkout)
    print(f"from pip install to the first phone and back: {time.perf_counter() - started:.0f} s")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lease, granted, listed, refused, *_, returned = [
        json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")
    ]
    assert lease["pbx"] == "projects/v10-v12-mix/pbxs/branch"
    assert (granted["basis"], granted["source"]) == ("debited", "master")
    assert [held["seat"]["holder"] for held in listed["seats"]] == ["4711"]
    assert (refused["reason"], refused["remedy"]["text"] != "") == ("none_installed", True)
    assert returned["held"] is True
    python = checkout / "build" / "agent" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "check"], check=True)
    installed = json.loads(
        subprocess.run(
            [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
        ).stdout
    )
    names = {package["name"].lower().replace("_", "-").replace(".", "-") for package in installed}
    assert names - OURS <= renew.agent() | renew.build() | {"setuptools"}
    assert names >= OURS
    without = subprocess.run([python, "-I", "-c", "import master"], cwd="/", check=False, capture_output=True)
    assert b"No module named 'master'" in without.stderr
