"""Whoever breaks a command off, or loses the answer on the way, learns whether anything was changed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from licensemaster.v1 import project_pb2
from tests.cli.command import COMMAND, LIMIT_SECONDS, surroundings
from tests.cli.command import run_blocking as run
from tests.cli.connection.test_failures import serving

SIGNALS = [signal.SIGINT, signal.SIGTERM]
APPLY = ["project", "apply", "estate.toml"]
LOAN = ["loan", "open", "ship", "port", "4", "--days", "3", "--reason", "voyage", "--project", "acme"]
MAY = "error: interrupted while it waited: the change may have been made\ntry: look at what it has done before"
PREVIEW = project_pb2.ApplyProjectRequest(dry_run=True, request_id=" " * 36).SerializeToString()[:4]


class Master:
    """A master that answers previews at once, and other calls when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answers = threading.Event()

    def handle(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if PREVIEW in request:  # an apply's; others' requests have other fields there
            made = project_pb2.ApplyProjectResponse(revision=1)
            made.changes.add(action=project_pb2.CHANGE_ACTION_ADD, kind="site", name="berlin")
            return made.SerializeToString()
        self.asked.set()
        self.answers.wait(LIMIT_SECONDS)
        return b""


@contextmanager
def silent_master() -> Iterator[tuple[Master, str]]:
    master = Master()
    with serving(master.handle) as address:
        try:
            yield master, address
        finally:
            master.answers.set()


def started(*arguments: str, folder: Path, stdin: int = subprocess.DEVNULL, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=surroundings(**variables),
    )


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("arguments", [APPLY, LOAN])
def test_a_change_that_is_broken_off_may_have_been_made(
    arguments: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "estate.toml").write_text(run("project", "example", "v10-v12-mix").out)
    with silent_master() as (master, address):
        command = started(*arguments, folder=tmp_path, LICENSE_MASTER_SERVER=address)
        assert master.asked.wait(LIMIT_SECONDS)
        command.send_signal(number)
        out, err = command.communicate(timeout=LIMIT_SECONDS)
    assert command.returncode == 130
    assert MAY in err
    assert "Traceback" not in out + err


def test_a_question_that_is_broken_off_changes_nothing(tmp_path: Path) -> None:
    with silent_master() as (master, address):
        command = started("status", "--project", "acme", "--json", folder=tmp_path, LICENSE_MASTER_SERVER=address)
        assert master.asked.wait(LIMIT_SECONDS)
        command.send_signal(signal.SIGTERM)
        _, err = command.communicate(timeout=LIMIT_SECONDS)
    assert command.returncode == 130
    assert err.startswith('{"error": {"message": "interrupted; nothing was changed"')


def test_who_breaks_off_instead_of_confirming_has_changed_nothing(tmp_path: Path) -> None:
    mine, its = pty.openpty()
    with silent_master() as (master, address):
        arguments = ["waiting", "drop", "berlin", "--project", "acme", "--reason", "gone"]
        command = started(*arguments, folder=tmp_path, stdin=its, LICENSE_MASTER_SERVER=address)
        assert command.stderr is not None
        while "[y/N]" not in (said := os.read(command.stderr.fileno(), 4096).decode()):
            assert said
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=LIMIT_SECONDS)
    os.close(mine)
    os.close(its)
    assert command.returncode == 1
    assert err.endswith("nothing was changed\n")
    assert not master.asked.is_set()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_a_change_whose_answer_is_lost_on_the_way_may_have_been_made(code: grpc.StatusCode) -> None:
    def lose(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, "Socket closed")
        raise AssertionError("abort raises")

    with serving(lose) as address:
        changed = run(*LOAN, LICENSE_MASTER_SERVER=address)
        asked = run("loan", "list", "--project", "acme", LICENSE_MASTER_SERVER=address)
    assert (changed.code, asked.code) == (1, 1)
    assert "; the change may have been made" in changed.err
    assert "may have been made" not in asked.err


def test_a_change_that_reached_no_master_was_not_made() -> None:
    done = run(*LOAN, LICENSE_MASTER_SERVER="127.0.0.1:9")
    assert done.code == 1
    assert "no master answers at" in done.err
    assert "may have been made" not in done.err
