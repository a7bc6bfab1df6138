"""`python -m tests.support.command_server ADDRESS RUN`: commands as processes that start at once, for all workers.

Loading what a command needs takes half a second of CPU, running it a few hundredths. This process loads everything once
and forks for every command: each is still a process of its own, with its own environment, standard streams and end.
What depends on how Python starts (its encoding, a closed standard output) needs the installed command instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

PLACE, RUN = "TESTS_PLACE", "TESTS_RUN"
"""Variables of a run of tests, which all its workers have: where its PostgreSQL lies, and its process."""
_ROOT = Path(__file__).parents[2]
_STREAMS = 3
_STARTED: list[subprocess.Popen[bytes]] = []


def run_forked(
    arguments: Sequence[str], variables: Mapping[str, str], *, stdin: int, limit_seconds: float
) -> tuple[int, bytes, bytes]:
    """A command's exit code, standard output and standard error."""
    umask = os.umask(0o077)
    os.umask(umask)
    asked = {"arguments": list(arguments), "variables": dict(variables), "folder": str(Path.cwd()), "umask": umask}
    with (
        socket.socket(socket.AF_UNIX) as line,
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        line.settimeout(limit_seconds)
        line.connect(_server())
        streams = nothing.fileno() if stdin == subprocess.DEVNULL else stdin, out.fileno(), err.fileno()
        socket.send_fds(line, [b"\n"], streams)
        line.sendall(json.dumps(asked).encode())
        line.shutdown(socket.SHUT_WR)
        code = int(line.recv(16))
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


@cache
def _server() -> str:
    """Where the server of this run listens, started when the first command is asked for; it ends with the run."""
    folder = Path(os.environ[PLACE]).parent
    address = folder / "commands"
    with (folder / "commands.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, address, os.environ[RUN]],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            _STARTED.append(process)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
    return str(address)


def _load() -> None:
    """Load every command, and what any may import as it runs; threads are started by none of it."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from master.cli.main import app

    CliRunner().invoke(app, ["--help"])
    _load_commands(get_command(app))
    import_module("._channel", "grpc")
    for module in (
        "licensemaster.files.folder_lock",
        "licensemaster.signing.device_key",
        "master.app",
        "master.cli.connection.connection",
        "master.cli.output.rendering",
        "master.store.backends.database",
        "master.store.upkeep.schema",
        "rich.live",
    ):
        import_module(module)


def _load_commands(command: Any) -> None:
    for below in getattr(command, "commands", {}).values():
        _load_commands(below)


def _serve(address: str, run: int) -> None:
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken.fileno())
    running: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(address)
        listener.listen(64)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(wakes, selectors.EVENT_READ)
        selector.register(os.pidfd_open(run), selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    line, _ = listener.accept()
                    running[_fork(line)] = line
                elif key.fileobj is wakes:
                    wakes.recv(4096)
                    _tell_ended(running)
                else:  # the run has ended, however it did
                    os.killpg(0, signal.SIGKILL)


def _fork(line: socket.socket) -> int:
    """Start what a line asks for; the new process."""
    _, streams, _, _ = socket.recv_fds(line, 1, _STREAMS)
    with line.makefile("rb") as lines:
        asked = json.load(lines)
    if not (pid := os.fork()):
        _run(asked, streams)
    for stream in streams:
        os.close(stream)
    return pid


def _tell_ended(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as line, contextlib.suppress(BrokenPipeError):  # who asked may have given up
            line.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _run(asked: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Become the command, to its end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor, stream in enumerate(streams):
            os.dup2(stream, descriptor)
        os.closerange(_STREAMS, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(asked["variables"])
        time.tzset()
        os.chdir(asked["folder"])
        os.umask(asked["umask"])
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # as long as the process
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        sys.argv = ["license-master", *asked["arguments"]]
        from master.cli.main import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _load()
    gc.freeze()
    _serve(sys.argv[1], int(sys.argv[2]))
