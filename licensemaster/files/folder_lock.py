"""A folder of state is used by one at a time: who opens it holds a lock, and the kernel frees it with the process.

Decides: whether somebody else uses the folder, be it another process or another object of this one, and who. The folder
itself is locked, so that nothing lies about after a crash and a folder that can only be read is locked all the same. A
copy of a folder is another folder: what both have in common, their identity, is locked by its name (`NameLock`), for
this host. Leaves to others: what it means for them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import sys
import time
import weakref
from pathlib import Path
from typing import Final, Self

_BUSY: Final = (errno.EWOULDBLOCK, errno.EACCES)
_CANNOT_LOCK: Final = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_LOOK_SECONDS: Final = 0.02
_PROC_LOCKS: Final = Path("/proc/locks")


class FolderInUseError(Exception):
    """Raised where a folder of state cannot be locked; the text says who uses it, or why not, and what to do."""

    def __init__(self, folder: Path, problem: str, remedy: str, *, process: int = 0) -> None:
        super().__init__(f"{folder}: {problem}; {remedy}")
        self.folder = folder
        self.process = process
        """The id of the process that uses the folder; 0 where that cannot be seen."""


class FolderLock:
    """The lock on a folder, which nobody else has until `release`, or the end of the process."""

    _flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

    def __init__(self, descriptor: int) -> None:
        self._closing = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def take(cls, folder: Path, *, wait_seconds: float = 0.0) -> Self:
        """Lock a folder that exists; waits up to `wait_seconds` for a process that has it now.
        Raises FolderInUseError if somebody else has the folder, or its file system cannot lock, OSError if the folder
        cannot be opened."""
        lock = cls(descriptor := os.open(folder, cls._flags, 0o600))
        until = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as failure:
                if failure.errno in _BUSY and time.monotonic() < until:
                    time.sleep(_LOOK_SECONDS)
                    continue
                process = _holder(descriptor)
                lock.release()
                if failure.errno in _BUSY:
                    raise in_use(folder, process) from failure
                if failure.errno in _CANNOT_LOCK:
                    problem = f"its file system does not lock folders ({failure.strerror}), as network file systems do"
                    raise FolderInUseError(folder, problem, "use a folder on a disk of this host") from failure
                raise
            return lock

    def release(self) -> None:
        self._closing()


class FileLock(FolderLock):
    """The same lock on a file, which is made where there is none, and stays: for a folder that several parties use."""

    _flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class NameLock:
    """A name that nobody else on this host has, until `release`, or the end of the process.

    Hosts are network namespaces: containers with a network of their own are hosts of their own. Where the system has no
    such names (other than Linux), everybody gets every name.
    """

    def __init__(self, listening: socket.socket | None) -> None:
        self._listening = listening

    @classmethod
    def take(cls, name: str, folder: Path) -> Self:
        """Take a name on behalf of a folder; raises FolderInUseError where another has it."""
        if sys.platform != "linux":
            return cls(None)
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.bind(f"\0{name}")
            listening.listen()
        except OSError as failure:
            listening.close()
            if failure.errno != errno.EADDRINUSE:
                return cls(None)  # sandboxes without such sockets: what cannot be looked at is let be
            raise copy_in_use(folder, _listener(name)) from failure
        return cls(listening)

    def release(self) -> None:
        if self._listening is not None:
            self._listening.close()


def in_use(folder: Path, process: int) -> FolderInUseError:
    """Return the error for a folder that somebody uses."""
    remedy = "stop that one first, or name another folder"
    return FolderInUseError(folder, f"in use by {_process_text(process)}", remedy, process=process)


def copy_in_use(folder: Path, process: int) -> FolderInUseError:
    """Return the error for a folder that is a copy of one in use."""
    remedy = "a copy is of no use: give each its own folder, and stop the other before its folder is moved"
    problem = f"is a copy of a folder in use by {_process_text(process)}"
    return FolderInUseError(folder, problem, remedy, process=process)


def _process_text(process: int) -> str:
    if not process:
        return "another process"
    return "this process" if process == os.getpid() else f"process {process}"


def _holder(descriptor: int) -> int:
    """Return the id of the process that has the lock; 0 where the kernel does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = os.fstat(descriptor)
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in _PROC_LOCKS.read_text().splitlines():
            words = line.split()
            if words[1:2] == ["FLOCK"] and words[5] == place:
                return max(int(words[4]), 0)
    return 0


def _listener(name: str) -> int:
    """Return the id of the process that has a `NameLock`'s name; 0 where that cannot be seen."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(1)
        asking.connect(f"\0{name}")
        process, _, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(process)
    return 0
