"""A disk that is slow, full or broken and a clock that is wrong, for one process: `meddler.c`, preloaded.

Decides: how the library is built, and what stands in the file by which it is told what to do. Leaves to others: when.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

_SOURCE = Path(__file__).with_name("meddler.c")
_LAYOUT = struct.Struct("qqqqqq")
_SYNC_DELAY, _SYNC_ERRNO, _IS_FULL, _CLOCK_OFFSET, _DELAYED, _FAILED = range(0, _LAYOUT.size, 8)


class NoCompilerError(Exception):
    """There is no C compiler here."""


@cache
def library() -> Path:
    """The library, built once by each process that needs it.

    Raises:
        NoCompilerError: gcc is missing.
    """
    if shutil.which("gcc") is None:
        raise NoCompilerError("gcc is needed to build tests/slow/chaos/meddler.c")
    folder = Path(mkdtemp(prefix="lm-meddler-"))
    folder.chmod(0o755)  # a database server runs as a user of its own
    built = folder / "meddler.so"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(built), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return built


class Meddling:
    """What is wrong for the processes that were started with `environment`."""

    def __init__(self, file: Path, mapped: mmap.mmap) -> None:
        self._file = file
        self._mapped = mapped

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the process that is to be meddled with."""
        return {"LD_PRELOAD": str(library()), "CHAOS_CONTROL": str(self._file)}

    def slow_disk(self, seconds: float) -> None:
        """Let every sync take that much longer."""
        self._write(_SYNC_DELAY, round(seconds * 1e6))

    def full_disk(self, is_full: bool) -> None:
        """Let no file grow."""
        self._write(_IS_FULL, is_full)

    def failing_disk(self, is_failing: bool) -> None:
        """Let every sync fail with an input/output error."""
        self._write(_SYNC_ERRNO, errno.EIO if is_failing else 0)

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._write(_CLOCK_OFFSET, self._read(_CLOCK_OFFSET) + round(seconds * 1e9))

    def leave_alone(self) -> None:
        """Let all be well again, the clock too."""
        self._mapped[: _LAYOUT.size] = bytes(_LAYOUT.size)

    @property
    def felt(self) -> int:
        """How many syncs were delayed and how many calls failed until now."""
        return self._read(_DELAYED) + self._read(_FAILED)

    def _write(self, at: int, value: int) -> None:
        self._mapped[at : at + 8] = struct.pack("q", value)

    def _read(self, at: int) -> int:
        return int(struct.unpack_from("q", self._mapped, at)[0])


@contextmanager
def meddling(file: Path) -> Iterator[Meddling]:
    """A control file in which all is well."""
    file.write_bytes(bytes(_LAYOUT.size))
    file.chmod(0o666)  # a database server runs as a user of its own
    descriptor = os.open(file, os.O_RDWR)
    try:
        mapped = mmap.mmap(descriptor, _LAYOUT.size)
    finally:
        os.close(descriptor)
    try:
        yield Meddling(file, mapped)
    finally:
        mapped.close()
