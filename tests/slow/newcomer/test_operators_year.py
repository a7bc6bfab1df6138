"""A newcomer's year with what wheels install and nothing else: every task of docs/operations.md, in an empty folder."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cli.test_operations_doc import command_of, commands
from tests.slow.newcomer.pages import ROOT, play
from tests.support.limits import HANG_SECONDS

HERE = Path(__file__).parent
YEAR = HERE / "operators_year.sh"
LIMIT_SECONDS = 3 * HANG_SECONDS


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has our three wheels; of this checkout it sees nothing.

    The libraries of others are those that are installed here, as fetching them again would prove nothing of ours.
    """
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # building generates code beside the protos, in the form that wheels carry
    built_from = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in built_from.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheels")]
    subprocess.run([*pip, *build, str(source / "licensemaster"), str(source / "slave_client"), str(source)], check=True)
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    wheels = [str(wheel) for wheel in (folder / "wheels").iterdir()]
    python = str(environment / "bin" / "python")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", *wheels], check=True)
    [site] = environment.glob("lib/python3.*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = "import master, slave_client, licensemaster.v1.lease_pb2 as api; print(master, slave_client, api)"
    seen = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True, cwd=folder).stdout
    assert seen.count(str(environment)) == 3, seen
    return environment / "bin"


@pytest.mark.timeout(3600)
def test_the_year(installed: Path, tmp_path: Path) -> None:
    shell = shutil.which("dash") or pytest.skip("dash is not installed")
    examples = next(installed.parent.glob("lib/python3.*/site-packages/master/examples"))
    done = play(
        str(shell),
        YEAR.read_text(encoding="utf-8"),
        tmp_path,
        limit_seconds=LIMIT_SECONDS,
        PATH=f"{installed}:/usr/bin:/bin",
        HERE=str(HERE),
        EXAMPLES=str(examples),
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stdout + done.stderr


def test_the_year_has_every_task_and_every_command_of_the_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    year = YEAR.read_text(encoding="utf-8")
    assert _titles(page) == _titles(year)
    played = {command_of(shlex.split(line)) for line in re.findall(r"license-master ([^\n]+)", year)}
    shown = {command_of(shlex.split(line.replace("...", ""), comments=True)) for line in commands(page)}
    assert shown - played == set()


def _titles(text: str) -> set[str]:
    return set(re.findall(r"^## (.+)$", text, re.MULTILINE))
