"""The one way in which files are written: whole or not at all, on disk, and their owner's alone unless they are public.

A file appears under its name when it is whole. What the name stood for before is replaced or kept, never written into:
a symbolic link is not followed. Devices, pipes and sockets are no files, and stay what they are. The mode is that of
the first byte, and the user's umask can only narrow it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import BinaryIO

_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of file systems that cannot sync folders: those of networks, of virtual machines' hosts, of user space."""


class Written:
    """The number of files that this process has written, for commands that say whether they changed anything."""

    files = 0


class Readers(Enum):
    """Who may read a file; the value is its mode."""

    OWNER = 0o600
    """Secrets, and what is exported or handed in: it describes an estate."""
    ALL = 0o644
    """Certificates, public keys, lists of revoked ones, for programs of other users: no secret is in them."""


class Before(Enum):
    """What to do with an existing file of the same name."""

    REPLACED = "replaced"
    KEPT = "kept"


@contextmanager
def file_written(
    path: Path, *, readers: Readers = Readers.OWNER, before: Before = Before.REPLACED
) -> Iterator[BinaryIO]:
    """Open a temporary file to write into; it becomes the file where the context ends well, and is removed otherwise.
    Raises FileExistsError if something has that name already, and is to be kept, OSError if the file cannot be written;
    what was there is still there."""
    if not path.name:  # "", "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if _is_no_file(path):
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket, and not replaced by a file", str(path))
    if before is Before.KEPT and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    unfinished = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(unfinished, flags, readers.value)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        if before is Before.KEPT:  # claims the name: a rename would replace what somebody else made meanwhile
            os.close(os.open(path, flags, readers.value))
        os.replace(unfinished, path)
        Written.files += 1
    except BaseException as failure:
        if isinstance(failure, OSError) and failure.filename in (None, os.fspath(unfinished)):
            failure.filename = str(path)  # the name that people know; the other is a new one each time
        with suppress(OSError):
            os.unlink(unfinished)
        raise
    sync_folder(path.parent)


def write_file(
    path: Path, content: bytes, *, readers: Readers = Readers.OWNER, before: Before = Before.REPLACED
) -> None:
    """Write a whole file. Raises FileExistsError or OSError as `file_written`."""
    with file_written(path, readers=readers, before=before) as file:
        file.write(content)


def _is_no_file(path: Path) -> bool:
    """Tell whether a path names a device or the like, or one of this process's own streams, such as /dev/stdout."""
    with suppress(OSError):  # nothing has the name
        mode = os.stat(path).st_mode
        is_own_stream = os.path.islink(path) and os.readlink(path).startswith("/proc/")
        return is_own_stream or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def sync_folder(folder: Path) -> None:
    """Sync a folder's names to disk, as far as its file system can: some cannot, and answer EINVAL.
    Raises OSError if the disk failed."""
    with suppress(PermissionError):  # may be written into and not read: the file is there all the same
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as failure:
            if failure.errno not in _NO_SYNC:
                raise
        finally:
            os.close(descriptor)
