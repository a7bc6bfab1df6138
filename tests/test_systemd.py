"""The systemd units: systemd takes them, they leave little exposed, and they name what exists."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from licensemaster.daemon.settings import load, settings_of
from master.auth.authority.authority import Authority
from master.cli.main import app
from master.settings import Settings
from tests.cli.command import run

FOLDER = Path(__file__).parent.parent / "packaging" / "systemd"
UNIT = FOLDER / "license-master.service"
VARIABLES = FOLDER / "license-master.env"
INSTALLED = "/opt/license-master/bin"
EXPOSURE_MAX = 15
"""In tenths of systemd's points, of which it calls up to 19 OK."""
TLS = {f"LICENSE_MASTER_TLS_{name}_FILE" for name in ("CERTIFICATE", "KEY", "CA")}


def systemd(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False)


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), flags=re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the command where these tests have it."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(INSTALLED, str(Path(sys.executable).parent)))
    return path


def test_systemd_takes_the_unit(unit: Path) -> None:
    done = systemd("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_little_is_exposed(unit: Path) -> None:
    done = systemd("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}", unit)
    assert done.returncode == 0, done.stdout


def test_systemd_makes_the_account_that_the_unit_runs_as() -> None:
    done = systemd("systemd-sysusers", "--dry-run", FOLDER / "license-master.sysusers")
    assert done.returncode == 0, done.stderr
    [name] = re.findall(r"^u (\S+)", (FOLDER / "license-master.sysusers").read_text(), flags=re.MULTILINE)
    assert values("User") == values("Group") == [name]


@pytest.mark.parametrize("line", values("ExecStartPre") + values("ExecStart"))
def test_commands_exist(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == f"{INSTALLED}/license-master"
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0


def test_the_schema_is_upgraded_first() -> None:
    assert [line.split()[1:] for line in values("ExecStartPre")] == [["db", "upgrade"]]


def test_the_default_database_is_where_the_unit_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    [variable] = values("Environment")
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    [state] = values("StateDirectory")
    assert Path(load(Settings, None).database_url.removeprefix("sqlite:///")).parent == Path("/var/lib") / state


def test_calls_under_way_have_time_to_end() -> None:
    [seconds] = values("TimeoutStopSec")
    assert int(seconds) > Settings().drain_seconds + 15


def test_the_example_names_settings_that_exist() -> None:
    named = set(re.findall(r"^#?(LICENSE_MASTER_\w+)=", VARIABLES.read_text(), flags=re.MULTILINE))
    assert named >= TLS
    assert named - TLS <= {f"LICENSE_MASTER_{name.upper()}" for name in settings_of(Settings)}


async def test_the_example_names_the_files_that_the_authority_writes(tmp_path: Path) -> None:
    Authority.create(tmp_path / "pki", name="test", days=1, now=time.time())
    issued = await run("pki", "issue", "server", "localhost", "--out", f"{tmp_path}/tls", "--folder", f"{tmp_path}/pki")
    assert issued.code == 0, issued.err
    named = dict(re.findall(r"^#LICENSE_MASTER_TLS_(\w+)_FILE=/etc/license-master/(\S+)$", VARIABLES.read_text(), re.M))
    assert named.pop("REVOCATIONS") == "revoked.crl"
    assert set(named.values()) == set(os.listdir(tmp_path / "tls"))
