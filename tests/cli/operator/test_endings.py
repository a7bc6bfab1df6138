"""How a command ends when it cannot say what it was asked for, and how programs read what went wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from google.rpc import code_pb2, error_details_pb2

from licensemaster.v1 import project_pb2
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
