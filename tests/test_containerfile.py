"""The image: what it is built from is there and enough, and it runs as the chart expects."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
TEXT_OF_AGENT = (ROOT / "license_agent" / "Containerfile").read_text(encoding="utf-8")
PATTERNS = [
    line
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", TEXT, flags=re.MULTILINE)


def _parts(text: str) -> list[str]:
    [parts] = re.findall(r"--wheel-dir /wheels (.+?) \\", text)
    return str(parts).split()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The wheels that the first stages make, from no more than .dockerignore lets through: their files by name."""
    assert PATTERNS[0] == "*"
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    ignored = shutil.ignore_patterns("__pycache__", "*_pb2*", ".generated")
    for pattern in PATTERNS[1:]:
        name = pattern.removeprefix("!")
        if pattern == name:
            continue
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    parts = {part for text in (TEXT, TEXT_OF_AGENT) for part in _parts(text)}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", target, *sorted(parts)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {path.name.partition("-")[0]: set(zipfile.ZipFile(path).namelist()) for path in target.iterdir()}


def test_the_wheels_hold_all_that_the_commands_need(wheels: dict[str, set[str]]) -> None:
    assert _parts(TEXT) == ["./licensemaster", "./slave_client", "."]
    assert _parts(TEXT_OF_AGENT) == ["./licensemaster", "./slave_client", "./license_agent"]
    assert set(wheels) == {
        "license_master",
        "license_master_shared",
        "license_master_slave_client",
        "license_master_agent",
    }
    assert {
        "license_agent/commands.py",
        "license_agent/http/server.py",
        "license_agent/kamailio/registrar.py",
    } <= wheels["license_master_agent"]
    assert not [name for name in wheels["license_master"] if name.startswith("license_agent")]
    assert {
        "master/cli/main.py",
        "master/migrations/env.py",
        "master/examples/demo.toml",
        "master/domain/catalog/vendors/innovaphone.toml",
        "simulator/sites.py",
        "vendor_tools/commands.py",
    } <= wheels["license_master"]
    assert {
        "slave_client/client.py",
        "slave_client/values/seats.py",
        "slave_client/py.typed",
    } <= wheels["license_master_slave_client"]
    assert {
        "licensemaster/v1/lease_pb2_grpc.py",
        "licensemaster/files/texts.py",
        "licensemaster/values/__init__.py",
    } <= wheels["license_master_shared"]


def test_tests_and_secrets_stay_out(wheels: dict[str, set[str]]) -> None:
    names = set.union(*wheels.values())
    assert not [name for name in names if name.startswith(("tests/", ".git", ".venv"))]
    assert not instructions("ARG")


def test_both_stages_run_the_python_that_was_tested() -> None:
    images = {line.split()[0] for line in instructions("FROM")}
    minimum = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert images == {f"docker.io/library/python:{minimum}-slim-bookworm"}


def test_it_runs_as_the_account_that_the_chart_expects() -> None:
    chart = yaml.safe_load((ROOT / "helm" / "license-master" / "values.yaml").read_text())["securityContext"]
    assert instructions("USER") == [f"{chart['runAsUser']}:{chart['runAsGroup']}"]
    assert f"--uid {chart['runAsUser']} " in TEXT


def test_it_starts_the_command() -> None:
    [script] = PYPROJECT["project"]["scripts"]
    assert instructions("ENTRYPOINT") == [f'["{script}"]']
    assert instructions("CMD") == ['["serve"]']
    assert instructions("EXPOSE") == ["7600 7601"]
