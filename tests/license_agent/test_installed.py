"""The agent as it is installed: unit, image, command; and that it is made of nothing of a master's."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from license_agent.commands import app, main, page
from license_agent.settings import AgentSettings
from licensemaster.daemon.settings import settings_of
from tests.license_agent.conftest import port
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT
from tests.test_systemd import EXPOSURE_MAX, FOLDER, systemd

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("license-agent"))
UNIT = (FOLDER / "license-agent.service").read_text()
PYPROJECT = tomllib.loads((ROOT / "license_agent" / "pyproject.toml").read_text())


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, flags=re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    path = tmp_path / "license-agent.service"
    path.write_text(UNIT.replace("/opt/license-agent/bin", str(Path(sys.executable).parent)))
    return path


def test_systemd_takes_the_unit_and_little_is_exposed(unit: Path) -> None:
    done = systemd("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")
    done = systemd("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}", unit)
    assert done.returncode == 0, done.stdout
    done = systemd("systemd-sysusers", "--dry-run", FOLDER / "license-agent.sysusers")
    assert done.returncode == 0, done.stderr
    [line] = values("ExecStart")
    assert CliRunner().invoke(app, [*shlex.split(line)[1:], "--help"]).exit_code == 0


def test_units_and_image_name_settings_that_exist() -> None:
    known = {f"LICENSE_AGENT_{name.upper()}" for name in settings_of(AgentSettings)}
    image = (ROOT / "license_agent" / "Containerfile").read_text()
    for text in (UNIT, image, (FOLDER / "license-agent.env").read_text()):
        named = set(re.findall(r"LICENSE_AGENT_[A-Z_]+", text))
        assert named
        assert named <= known | {"LICENSE_AGENT_"}
    assert re.findall(r"^ENTRYPOINT (.*)$", image, flags=re.MULTILINE) == [
        json.dumps(list(PYPROJECT["project"]["scripts"]))
    ]


def test_the_page_of_settings_is_what_the_command_prints() -> None:
    assert (ROOT / "docs/agent-settings.md").read_text() == page(), "license-agent settings list --markdown"


def test_the_command_loads_nothing_of_a_master() -> None:
    code = (
        "import license_agent.daemon, license_agent.commands, sys;"
        "sys.exit(bool({'master', 'simulator', 'sqlalchemy', 'alembic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "prints"),
    [
        (["--version"], {}, "license-agent "),
        (["--help"], {}, "serve"),
        (
            [],
            {"_LICENSE_AGENT_COMPLETE": "complete_bash", "COMP_WORDS": "license-agent se", "COMP_CWORD": "1"},
            "settings",
        ),
    ],
)
def test_what_is_asked_quickly_loads_little(arguments: list[str], variables: dict[str, str], prints: str) -> None:
    code = (
        "import sys\nfrom license_agent.commands import main\n"
        "try:\n main()\nexcept SystemExit:\n pass\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
    )
    assert prints in done.stdout
    assert set(done.stderr.split()) & {"aiohttp", "cryptography", "grpc", "slave_client", "uvloop"} == set()


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "pbx: not set"),
        ({"LICENSE_AGENT_PBXX": "x"}, "LICENSE_AGENT_PBXX: no such setting; did you mean 'LICENSE_AGENT_PBX'"),
        ({"LICENSE_AGENT_LISTEN": "0.0.0.0:7610"}, "is no loopback address"),
        ({"LICENSE_AGENT_SOCKET_MODE": "rw"}, "must be an octal mode"),
        ({"LICENSE_AGENT_SOCKET_GROUP": "no-such-group"}, "no such group"),
        ({"LICENSE_AGENT_PBX": "projects/acme/pbxs/berlin"}, "a PBX needs all three"),
        ({"LICENSE_AGENT_PBX": "berlin", "LICENSE_AGENT_PLAINTEXT": "1"}, "pbx must read projects/"),
        ({"LICENSE_AGENT_MASTERS": "master", "LICENSE_AGENT_PLAINTEXT": "1",
          "LICENSE_AGENT_PBX": "projects/acme/pbxs/berlin"}, "no port in 'master'"),
        ({"LICENSE_AGENT_PLAINTEXT": "1", "LICENSE_AGENT_PBX": "projects/acme/pbxs/berlin",
          "LICENSE_AGENT_LISTEN": "127.0.0.1:0"}, "token_file: not set"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_settings_is_said(
    variables: dict[str, str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [COMMAND, "serve"])
    for name, value in {"LICENSE_AGENT_SOFTWARE_VERSION": "12r1", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert says in capsys.readouterr().err


async def test_the_service_tells_systemd_and_ends_on_sigterm(master: RestartableMaster, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd_hears:
        systemd_hears.bind(str(tmp_path / "notify"))
        systemd_hears.settimeout(HANG_SECONDS)
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            "serve",
            "--plaintext",
            env={
                **os.environ,
                "LICENSE_AGENT_MASTERS": master.address,
                "LICENSE_AGENT_PBX": f"projects/{PROJECT}/pbxs/berlin",
                "LICENSE_AGENT_SOFTWARE_VERSION": "12r1",
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "1000000",
            },
            cwd=tmp_path,
            stderr=asyncio.subprocess.PIPE,
        )
        heard = [await asyncio.to_thread(systemd_hears.recv, 100) for _ in range(2)]
        assert set(heard) == {b"READY=1", b"WATCHDOG=1"}
        connector = aiohttp.UnixConnector(str(tmp_path / "license-agent.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.put(f"http://agent{port('4711')}") as answer,
        ):
            assert answer.status == 200, await answer.text()
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode == 0
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["event"] for event in events if event["event"] in ("serving", "stopped")] == ["serving", "stopped"]
    assert not (tmp_path / "license-agent.sock").exists()
    assert await master.holders("berlin") == {"4711"}
