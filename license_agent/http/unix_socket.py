"""The Unix socket of the local API: one agent has it, and its mode and group hold from the beginning.

Decides: who of several agents gets it, by a lock file beside it, and that what nobody listens on is replaced. Leaves to
others: what is answered over it.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from licensemaster.files.folder_lock import FileLock, FolderInUseError


@contextmanager
def unix_socket(path: Path, mode: int, group: str | None) -> Iterator[socket.socket]:
    """Bind a Unix socket; remove it when the context ends. The lock file beside it stays: to remove it would be a race.
    Raises OSError if the socket cannot be made, or another agent has it."""
    if not path.name:
        raise OSError(f"socket: {path} is no name of a socket; name a file in a folder")
    try:
        lock = FileLock.take(path.with_name(f"{path.name}.lock"))
    except FolderInUseError as error:
        by = f", process {error.process}," if error.process else ""
        raise OSError(f"socket: another agent{by} has {path}; stop that one first, or name another socket") from error
    except OSError as error:
        raise OSError(f"socket: {path}.lock: {error.strerror or error}") from error
    try:
        bound = _bind(path, mode, group)
        mine = os.lstat(path).st_ino
        try:
            yield bound
        finally:
            bound.close()
            with suppress(OSError):
                if os.lstat(path).st_ino == mine:  # not what somebody has put in its place
                    os.unlink(path)
    finally:
        lock.release()


def _bind(path: Path, mode: int, group: str | None) -> socket.socket:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(f"socket: {path} is there and is no socket; name another, or remove it")
        with socket.socket(socket.AF_UNIX) as trying, suppress(ConnectionRefusedError):
            trying.connect(str(path))
            raise OSError(f"socket: somebody listens on {path} already")
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    beside = path.with_name(f"{path.name}.new")
    try:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        before = os.umask(0o177)
        try:
            bound.bind(str(beside))
        finally:
            os.umask(before)
        if group is not None:
            shutil.chown(beside, group=group)
        os.chmod(beside, mode)
        os.rename(beside, path)
    except OSError as error:
        bound.close()
        raise OSError(f"socket: {path}: {error.strerror or error}") from error
    return bound
