"""The stories under examples/, run as a user runs them: they tell the truth, end by themselves and leave nothing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import COMMAND, surroundings
from tests.support.limits import HANG_SECONDS

STORIES = Path(__file__).parents[3] / "examples" / "stories"
NAMES = sorted((path.name for path in STORIES.glob("[0-9]*.sh")), key=lambda name: int(name.partition("-")[0]))
LIMIT_SECONDS = HANG_SECONDS


def play(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, its temporary files under `folder`."""
    path = f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", str(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings(PATH=path, TMPDIR=str(folder)),
        start_new_session=True,
    )
    out, err = process.communicate(timeout=LIMIT_SECONDS)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.rule("A3", "A5", "B3", "B4", "B5", "B6", "B10", "L2", "L4", "L5", "L6")
@pytest.mark.parametrize("name", NAMES)
def test_a_story_keeps_its_promises(name: str, tmp_path: Path) -> None:
    done = play(STORIES / name, tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.findall(r"^\x1b\[1mThe end: .+\x1b\[0m$", done.stdout, re.MULTILINE)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_every_story_is_listed() -> None:
    listed = re.findall(r"^\| \[(.+?)\]\(\1\)", (STORIES / "README.md").read_text(), re.MULTILINE)
    assert listed == NAMES


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("run license-master project list\nexpect nonsense", "the last command should have said: nonsense"),
        ("run license-master project list\nexpect_not 'no project'", "should not have said: no project"),
        ("refused license-master project list", "this should have been refused, but ended with 0"),
        ("run license-master project show nowhere", "this should have succeeded"),
    ],
)
def test_a_broken_story_says_so_and_cleans_up(broken: str, said: str, tmp_path: Path) -> None:
    script = tmp_path / "story.sh"
    script.write_text(f"source {STORIES / 'stage.sh'}\nstart_master\n{broken}\nend_of_story nothing\n")
    folder = tmp_path / "temporary"
    folder.mkdir()
    done = play(script, folder)
    assert done.returncode == 1
    assert said in done.stderr
    assert list(folder.iterdir()) == []
