"""Four installable parts, and none drags in what it does not need."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_slave_client_depends_on_three_packages_only() -> None:
    project = tomllib.loads((ROOT / "slave_client" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {dependency.partition(">")[0] for dependency in project["dependencies"]}
    assert names == {"license-master-shared==0.1.0", "grpcio", "protobuf", "cryptography"}


@pytest.mark.parametrize(
    "forbidden", ["master", "sqlalchemy", "alembic", "prometheus_client", "typer", "rich", "pydantic"]
)
def test_importing_the_slave_client_loads_nothing_of_the_master(forbidden: str) -> None:
    code = f"import slave_client, sys; sys.exit({forbidden!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_constraints_name_no_place_to_download_from() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert lines
    assert all("==" in line and "://" not in line and "@" not in line for line in lines)
