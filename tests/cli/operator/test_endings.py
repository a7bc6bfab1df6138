"""How a command ends when it cannot say what it was asked for, and how programs read what went wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from google.rpc import code_pb2, error_details_pb2

from licensemaster.files.texts import write_text
from licensemaster.v1 import project_pb2
from master.auth.callers.identity import Role
from master.auth.callers.permissions import TABLE
from master.cli.output.changes import QUESTIONS
from tests.cli.command import COMMAND, LIMIT_SECONDS, surroundings
from tests.cli.command import run_blocking as run
from tests.cli.connection.test_failures import failing, serving

NAMES = project_pb2.ListProjectsResponse(names=["projects/acme"]).SerializeToString()


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["project", "list"], ["project", "list", "--json"], ["catalog", "show", "allworx"]],
)
def test_a_full_disk_behind_standard_output_is_an_error_in_words(arguments: list[str]) -> None:
    with serving(lambda request, context: NAMES) as address, Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
            env=surroundings(LICENSE_MASTER_SERVER=address),
        )
    assert done.returncode == 1
    assert "what was asked for cannot be written: No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def into(redirection: str, *arguments: str, **variables: str) -> tuple[int, str]:
    """How a command ends, and what it says on standard error, with its output redirected by a shell."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
        env=surroundings(**variables),
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("redirection", [">/dev/full", "| (exec <&-; sleep 0)"])
def test_who_cannot_read_the_output_of_a_change_learns_whether_it_was_made(redirection: str, tmp_path: Path) -> None:
    made = project_pb2.ApplyProjectResponse(revision=1)
    made.changes.add(action=project_pb2.CHANGE_ACTION_ADD, kind="site", name="berlin")
    estate = str(tmp_path / "estate.toml")
    write_text(Path(estate), run("project", "example", "v10-v12-mix").out)
    with serving(lambda request, context: made.SerializeToString()) as address:
        apply = (COMMAND, "project", "apply", estate, "--server", address)
        previewed, applied = into(redirection, *apply), into(redirection, *apply, "--json")
    issued = into(redirection, COMMAND, "vendor", "keygen", "--out", str(tmp_path / "keys"))
    upgraded = into(redirection, COMMAND, "db", "upgrade", "--create", "--database-url", f"sqlite:///{tmp_path}/a.db")
    assert previewed[0] == 1
    assert previewed[1].startswith("error: what was asked for cannot be written: ")
    assert previewed[1].endswith("; nothing was changed\n")
    assert '"message": "it is done, and what there is to say of it cannot be written: ' in applied[1]
    for code, said in (issued, upgraded):
        assert code == 1
        assert said.startswith("error: it is done, and what there is to say of it cannot be written: ")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["settings", "list"]])
def test_an_agents_command_says_alike_what_it_cannot_write(arguments: list[str]) -> None:
    agent = str(Path(COMMAND).with_name("license-agent"))
    said = "error: what was asked for cannot be written: No space left on device\n"
    assert into(">/dev/full", agent, *arguments) == (1, said)
    assert into(">&-", agent, *arguments) == (0, "")
    assert into("| true", agent, *arguments)[1] == ""


def test_what_a_command_calls_is_a_change_unless_those_may_call_it_who_may_only_read() -> None:
    for method, access in TABLE.items():
        name = method.rpartition("/")[2]
        if method.startswith("licensemaster.") and name != "WatchLease":  # of PBXs alone
            reads = Role.VIEWER in access.roles or name.startswith("List")
            assert name.startswith(QUESTIONS) == reads, name


@pytest.mark.parametrize("redirection", [">&-", "| head -0", "| true"])
def test_nobody_reads_the_output(redirection: str) -> None:
    with serving(lambda request, context: NAMES) as address:
        done = subprocess.run(
            ["sh", "-c", f"{COMMAND} project list {redirection}"],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
            env=surroundings(LICENSE_MASTER_SERVER=address),
        )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["seats", "--limit", "-1"], 2, "--limit"),
        (["nonsense"], 2, "nonsense"),
        (["project", "apply", "/nowhere/acme.toml"], 1, "/nowhere/acme.toml"),
    ],
)
def test_with_json_an_error_is_json(arguments: list[str], code: int, message: str) -> None:
    done = run(*arguments, "--json")
    assert done.code == code
    assert done.out == ""
    error = json.loads(done.err)["error"]
    assert message in error["message"]
    assert {"details", "remedy"} < set(error)


def test_an_error_of_the_api_is_said_once_and_in_words_but_to_programs_as_it_is() -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="changes[0].upgrade.site", description="no PBX stands at site 'x'")
    info = error_details_pb2.ErrorInfo(reason="PLAN_INVALID")
    message = "changes[0].upgrade.site: no PBX stands at site 'x'"
    with serving(failing(code_pb2.INVALID_ARGUMENT, message, bad, info)) as address:
        outcome = run("status", "--project", "acme", "--server", address)
        read = run("status", "--project", "acme", "--json", "--server", address)
    assert outcome.err.splitlines() == ["error: site: no PBX stands at site 'x'", "  reason: PLAN_INVALID"]
    error = json.loads(read.err)["error"]
    assert (error["message"], error["reason"], error["code"]) == (message, "PLAN_INVALID", "INVALID_ARGUMENT")
    assert error["fields"] == [{"field": "changes[0].upgrade.site", "description": "no PBX stands at site 'x'"}]


def test_names_of_the_api_are_said_as_people_say_them() -> None:
    message = "projects/acme/pbxs/brach is unknown in projects/acme, as projects/acme/devices/00-90 is"
    with serving(failing(code_pb2.NOT_FOUND, message)) as address:
        outcome = run("status", "--project", "acme", "--server", address)
    assert outcome.err.startswith("error: PBX brach is unknown in project acme, as device 00-90 is\n")
