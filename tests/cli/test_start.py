"""What a command loads before it does anything: as little as it needs, since people and scripts start many."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.command import surroundings
from tests.support.limits import HANG_SECONDS

_CODE = """
import sys
from master.cli.main import main
try:
    main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
_OF_MASTERS = {"alembic", "cryptography", "google", "grpc", "licensemaster.v1", "slave_client", "sqlalchemy"}
_OF_OURS = {"master.app", "master.auth", "master.service", "master.rpc", "master.settings", "master.store"}
_OF_COMMANDS = {
    "master.cli.connection.connection",
    "master.cli.output.rendering",
    "master.cli.server.serve",
    "master.cli.operator.monitoring.status",
}
NEVER = _OF_MASTERS | _OF_OURS | _OF_COMMANDS


def loaded(*arguments: str, **variables: str) -> tuple[str, set[str]]:
    """What a command prints, and all modules that it has loaded by its end."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
        env=surroundings(**variables),
    )
    return done.stdout, set(done.stderr.split())


def test_what_is_not_to_be_loaded_is_there() -> None:
    assert [name for name in sorted(NEVER) if find_spec(name) is None] == []


def test_the_version() -> None:
    out, modules = loaded("--version")
    assert out.startswith("license-master ")
    assert modules & (NEVER | {"asyncio", "pydantic", "rich"}) == set()


def test_the_list_of_commands() -> None:
    out, modules = loaded("--help")
    assert "serve" in out
    assert modules & NEVER == set()


def test_names_of_commands_behind_tab() -> None:
    out, modules = loaded(_LICENSE_MASTER_COMPLETE="complete_bash", COMP_WORDS="license-master sta", COMP_CWORD="1")
    assert out.split() == ["status", "standby"]
    assert modules & NEVER == set()


def test_a_command_loads_no_other() -> None:
    _, modules = loaded("profile", "--help")
    assert modules & {"email", "grpc", "master.cli.operator.monitoring.status", "pydantic", "sqlalchemy"} == set()


def test_a_master_on_a_file_loads_what_it_serves_with(tmp_path: Path) -> None:
    _, modules = loaded("serve", "--plaintext", f"--database-url=sqlite:///{tmp_path}/absent.db")
    assert "master.app" in modules
    assert modules & {"alembic", "asyncpg", "greenlet", "icalendar", "pydantic", "pygments", "sqlalchemy"} == set()


_STOPPED = """
import sys
from importlib.metadata import entry_points

class Stopping:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stopping())
[command] = entry_points(group="console_scripts", name=sys.argv[1])
command.load()()
"""


@pytest.mark.parametrize("command", ["license-master", "license-agent"])
def test_a_command_that_is_stopped_while_it_is_being_loaded_says_nothing(command: str) -> None:
    done = subprocess.run([sys.executable, "-c", _STOPPED, command], capture_output=True, timeout=HANG_SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
