"""The log: no sink, value or library can make logging raise or wait, and every line of it is JSON."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from licensemaster.daemon.logs.lines import LineFormat, Rendering
from licensemaster.daemon.logs.writer import LineWriter
from tests.support.limits import HANG_SECONDS

RENDER = Rendering(LineFormat.JSON)


def _full_disk() -> tuple[int, int | None]:
    return os.open("/dev/full", os.O_WRONLY), None


def _reader_gone() -> tuple[int, int | None]:
    reading, writing = os.pipe()
    os.close(reading)
    return writing, None


def _peer_gone() -> tuple[int, int | None]:
    first, other = socket.socketpair()
    other.close()
    return first.detach(), None


def _closed() -> tuple[int, int | None]:
    reading, writing = os.pipe()
    os.close(writing)
    return writing, reading


def _read_only() -> tuple[int, int | None]:
    reading, writing = os.pipe()
    return reading, writing


def _hung_reader() -> tuple[int, int | None]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 65_536)
    os.set_blocking(writing, True)
    return writing, reading


def _hung_reader_that_does_not_block() -> tuple[int, int | None]:
    writing, reading = _hung_reader()
    os.set_blocking(writing, False)
    return writing, reading


@pytest.mark.parametrize(
    "sink",
    [_full_disk, _reader_gone, _peer_gone, _closed, _read_only, _hung_reader, _hung_reader_that_does_not_block],
)
def test_whatever_the_sink_does_nobody_waits_and_the_lost_lines_are_counted(sink: Any) -> None:
    descriptor, kept_open = sink()
    writer = LineWriter(descriptor, lost_line=RENDER.lost, lines_max=8)
    for number in range(50):
        writer.write(f"line {number}")
    writer.close(seconds=0.2)
    assert writer.lost >= (40 if "hung" in sink.__name__ else 50)
    if kept_open is not None:
        os.close(kept_open)


class _Disk:
    """A file that has room or has not, as /dev/full has not."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "log"
        self._good = os.open(self.file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.descriptor = os.dup(self._good)

    def fill(self) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, self.descriptor)
        os.close(full)

    def free(self) -> None:
        os.dup2(self._good, self.descriptor)

    def until(self, text: str) -> list[str]:
        while text not in self.file.read_text():
            threading.Event().wait(0.01)
        return self.file.read_text().splitlines()


@pytest.mark.parametrize("somebody_logs", [True, False])
def test_a_sink_that_works_again_is_told_once_what_it_missed(tmp_path: Path, somebody_logs: bool) -> None:
    disk = _Disk(tmp_path)
    writer = LineWriter(disk.descriptor, lost_line=RENDER.lost)
    writer.write("before")
    disk.until("before")
    disk.fill()
    for _ in range(3):
        writer.write("lost")
    while writer.lost < 3:
        threading.Event().wait(0.01)
    disk.free()
    if somebody_logs:
        writer.write("after")
    disk.until("log lines were lost")
    writer.write("last")
    before, missed, *after = disk.until("last")
    writer.close(seconds=10)
    assert (before, after) == ("before", ["after", "last"] if somebody_logs else ["last"])
    shown = json.loads(missed)
    assert (shown["event"], shown["lines"], shown["reason"]) == ("log lines were lost", 3, "No space left on device")


def test_half_a_line_does_not_spoil_the_next() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LineWriter(writing, lost_line=RENDER.lost)
    writer.write("x" * 1_000_000)  # more than a pipe takes
    read = b""
    while len(read) < 100_000:
        read += os.read(reading, 65_536)
    elsewhere = os.open("/dev/full", os.O_WRONLY)
    whole = os.dup(writing)
    os.dup2(elsewhere, writing)  # and the rest of it cannot be written
    while not writer.lost:
        with suppress(BlockingIOError):
            os.set_blocking(reading, False)
            read += os.read(reading, 65_536)
    os.dup2(whole, writing)
    writer.write("next")
    os.set_blocking(reading, True)
    while not read.endswith(b"next\n"):
        read += os.read(reading, 65_536)
    writer.close(seconds=1)
    torn, missed, last = read.decode().splitlines()
    assert (set(torn), json.loads(missed)["lines"], last) == ({"x"}, 1, "next")


class _Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("not even its name")


class _HostileError(Exception):
    __str__ = __repr__ = _Hostile.__repr__


def _circle() -> dict[str, object]:
    collected: dict[str, object] = {}
    collected["self"] = collected
    return collected


def _deep() -> object:
    collected: object = ()
    for _ in range(100_000):
        collected = (collected,)
    return collected


@pytest.mark.parametrize(
    "what",
    [
        {"value": _Hostile()},
        {"value": _circle()},
        {"value": {("a", "b"): 1}},
        {"value": _deep()},
        {"value": "\ud800 half a letter"},
        {"value": b"\xff\x00"},
        {"value": "x" * 10_000_000},
        {"value": ["\n\r\u2028"] * 3},
        {"exc_info": _HostileError()},
        {"exc_info": ValueError("y" * 10_000_000)},
        {"value": _Hostile(), "exc_info": ValueError("as well")},
    ],
    ids=lambda what: f"{'-'.join(what)}",
)
def test_what_cannot_be_shown_is_told_as_far_as_it_can(what: dict[str, object]) -> None:
    line = RENDER(None, "error", {"event": "it happened", **what})
    shown = json.loads(line)
    assert (shown["event"], shown["level"]) == ("it happened", "error")
    assert "timestamp" in shown
    assert "\n" not in line
    assert len(line.encode()) <= 70_000
    if isinstance(failure := what.get("exc_info"), ValueError):
        assert str(failure)[-20:] in shown["exception"]


_STRAY = """
import asyncio, logging, os, subprocess, sys, threading, warnings
import structlog
from licensemaster.daemon.logs.lines import logging_to_stderr

class Bad:
    def __del__(self):
        raise ValueError("in a finalizer")

async def forgotten():
    async def fails():
        raise ValueError("never retrieved")
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task

with logging_to_stderr():
    log = structlog.get_logger("x")
    log.info("first")
    os.write(2, b"E0000 00:00:1 server.cc:12] from C\\n\\xff\\xfe not text\\n")
    print("printed", file=sys.stderr)
    warnings.warn("warned of")
    logging.getLogger("lib").error("logged %d", "wrongly")
    logging.getLogger("lib").error("logged rightly")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start(); thread.join()
    Bad()
    asyncio.run(forgotten())
    subprocess.run(["sh", "-c", "echo from a child >&2"])
    log.info("last")
print("after", file=sys.stderr)
"""


def _run(code: str, **how: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], check=False, timeout=HANG_SECONDS, **how)


def test_whatever_reaches_standard_error_is_a_line_of_json() -> None:
    done = _run(_STRAY, stderr=subprocess.PIPE)
    *lines, after = done.stderr.decode().splitlines()
    assert (done.returncode, after) == (0, "after")
    collected = [json.loads(line) for line in lines]
    text = "\n".join(lines)
    for expected in (
        *("first", "from C", "xff", "printed", "warned of", "logged %d", "logged rightly"),
        *("ZeroDivisionError", "in a finalizer", "never retrieved", "from a child", "last"),
    ):
        assert expected in text, expected
    assert all({"event", "level", "timestamp"} <= each.keys() for each in collected)


@pytest.mark.parametrize("descriptors", ["2>&-", "2>/dev/full", "0<&- 1>&- 2>&-"])
def test_a_process_whose_standard_error_is_no_good_goes_on(descriptors: str, tmp_path: Path) -> None:
    script, done = tmp_path / "script.py", tmp_path / "done"
    script.write_text(f"{_STRAY.removesuffix(_STRAY.splitlines()[-1] + chr(10))}\nopen({str(done)!r}, 'w').close()\n")
    subprocess.run(
        ["sh", "-c", f'"$0" "$1" {descriptors}', sys.executable, str(script)], check=False, timeout=HANG_SECONDS
    )
    assert done.exists()


def test_a_flood_from_others_costs_a_few_lines() -> None:
    code = """
import os
from licensemaster.daemon.logs.lines import logging_to_stderr
with logging_to_stderr():
    for _ in range(20_000):
        os.write(2, b"again and again\\n")
"""
    lines = _run(code, stderr=subprocess.PIPE).stderr.decode().splitlines()
    assert 1 <= len([line for line in lines if "again and again" in line]) <= 20
