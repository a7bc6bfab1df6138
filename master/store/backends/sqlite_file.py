"""The file of a SQLite database: who may use it, and whether it is still the one that was opened.

One program at a time writes to it: a master while it serves, or a command. The lock is on the file itself, so it holds
under whatever name, link or mount the file is reached, and it ends with its program, however that ends.

A file can be deleted, moved, replaced, or overwritten in place while a program has it open, and SQLite goes on writing
into what nobody will find again. `check` compares what has the name now with what was opened: the file and SQLite's
files beside it by device and number, the content by a count that each commit raises (`user_version`, in the file's
header). A count that is not between the last one seen there and the last one committed was not written by this
program. The log may get shorter, as another program may have all of it written into the file, but must not lose a
commit by that.

What SQLite once could not read counts as damaged until the program is started anew: other connections still have good
pages in memory, and would go on changing what nobody can read later.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Final

from msgspec import Struct

from master.store.backends.write_ahead_log import COUNT_AT, damage_of_log, logged_counts

_COUNTS: Final = 2**32
_LOCK_WAIT_SECONDS, _LOOK_SECONDS = 1.0, 0.05
"""How long to wait for a lock and how often to try, in seconds: a program that only looks holds it for a moment."""

_Identity = tuple[int, int]


class Use(Enum):
    """What a file is locked for."""

    SERVE = fcntl.LOCK_EX
    """Exclusive use by one master, or by a command that puts another file in its place."""
    CHANGE = fcntl.LOCK_SH
    """Shared use by commands, which SQLite keeps apart."""


class InUseError(Exception):
    """An error for a file that another program has locked; the text says which program."""


class ReplacedError(Exception):
    """An error for a file that is not the one that was opened; the text says what became of that."""


class DamagedError(Exception):
    """An error for a file that SQLite cannot read; the text says how."""


class _Held(Struct):
    """One file that this process has open, with one descriptor, kept until nobody uses the file.

    Closing any descriptor of a file ends all of SQLite's locks on that file in this process.
    """

    descriptor: int
    users: int = 0
    is_locked: bool = False


_held: dict[_Identity, _Held] = {}
_guard = Lock()


class SqliteFile:
    """An existing SQLite file, locked for one program and verified to be the one opened. Usable from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ReplacedError: what SQLite left beside it belongs to another content, and would spoil this one.
            DamagedError: what SQLite left beside it was spoilt, and SQLite would go on without what was committed last.
            OSError: the file cannot be opened.
        """
        self.path = path
        self._held, self._identity = _hold(path)
        self._lock = Lock()
        self._name = str(path)
        self._log_name = f"{path}-wal"
        self._names_beside = (self._log_name, f"{path}-shm")
        self._beside: dict[str, os.stat_result] = {}
        self._damage: str | None = None
        self._connections = 0
        self._is_mine = self._counts = False
        self._seen = self._attempted = 0
        self._committed: int | None = None
        """Counts: last seen in the file's header, of the last commit that was tried, and of the last that was done."""
        try:
            self._check_log()
        except BaseException:
            self.close()
            raise

    # --- Who uses it ------------------------------------------------------------------------------------------------

    def lock(self, use: Use) -> None:
        """Lock the file for a use, until `close`; with `Use.SERVE` its commits are counted from here on.
        Raises InUseError if another program has locked it, OSError if it cannot be locked where it is."""
        with _guard:
            if self._held.is_locked:
                raise InUseError(f"{self.path} is in use by this process")
            until = time.monotonic() + _LOCK_WAIT_SECONDS
            while not self._has_lock(use):
                if time.monotonic() > until:
                    raise InUseError(f"{self.path} is in use by {_who(self._identity)}")
                time.sleep(_LOOK_SECONDS)
            self._held.is_locked = self._is_mine = True
            self._counts = use is Use.SERVE

    def _has_lock(self, use: Use) -> bool:
        try:
            fcntl.flock(self._held.descriptor, use.value | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Unlock the file; call this after SQLite has closed it."""
        with _guard:
            if self._is_mine:
                fcntl.flock(self._held.descriptor, fcntl.LOCK_UN)
                self._held.is_locked = self._is_mine = False
            self._held.users -= 1
            if not self._held.users:
                del _held[self._identity]
                os.close(self._held.descriptor)

    def connected(self) -> None:
        with self._lock:
            self._connections += 1

    def disconnected(self) -> None:
        """Record that SQLite closed a connection, and with the last one the files beside the database."""
        with self._lock:
            self._connections -= 1
            if not self._connections:
                self._beside.clear()

    # --- Whether it is the same -------------------------------------------------------------------------------------

    def check(self) -> None:
        """Make sure that the file of this name is the one that was opened and, with `Use.SERVE`, was not overwritten.

        Raises:
            ReplacedError: it is another one; writing on would be in vain, or spoil what is there now.
            DamagedError: it was found damaged before.
        """
        if self._damage is not None:
            raise DamagedError(self._damage)
        _same_file(self._name, self._identity)
        with self._lock:
            if self._connections:
                for name in self._names_beside:
                    self._check_beside(name)
            if self._committed is not None:
                in_header = self._in_header()
                self._check_count(in_header, since=self._seen)
                self._seen = in_header

    def found_damaged(self, said: str) -> None:
        """Record that SQLite could not read the file, and SQLite's message; `check` refuses from here on."""
        self._damage = said

    @property
    def committed(self) -> int | None:
        """The count of the last commit; None where commits are not counted."""
        return self._committed

    def begun(self, count: int, *, since: int | None) -> None:
        """Check the count that a transaction began on; `since` was the last commit before.
        Raises ReplacedError if the content is not what was committed here."""
        with self._lock:
            if not self._counts:
                return
            if self._committed is None:
                self._seen, self._committed, self._attempted = self._in_header(), count % _COUNTS, count % _COUNTS
            self._check_count(count % _COUNTS, since=self._committed if since is None else since)

    def commits(self, begun_on: int) -> int | None:
        """Return the count to be committed with a change; None where commits are not counted."""
        with self._lock:
            if not self._counts:
                return None
            self._committed, self._attempted = begun_on % _COUNTS, (begun_on + 1) % _COUNTS
            return self._attempted - (_COUNTS if self._attempted >= _COUNTS // 2 else 0)  # SQLite's is signed

    def has_committed(self) -> None:
        """Record that a change was committed, and with it the count of changes."""
        with self._lock:
            self._committed = self._attempted

    def _check_beside(self, name: str) -> None:
        known = self._beside.get(name)
        status = _status_of(name) if known is None else _same_file(name, _identity(known))
        if known is not None and status is not None and status.st_size < known.st_size:
            self._check_shortened(name)
        if status is not None:
            self._beside[name] = status

    def _check_shortened(self, name: str) -> None:
        """Check that a shortened log lost no commit: another program may have written all of it into the file."""
        if name != self._log_name:
            raise ReplacedError(f"{name} was cut off")
        if self._committed is not None:
            last = [self._in_header(), *logged_counts(name)][-1]
            if not _is_between(last, self._committed, self._attempted):
                raise ReplacedError(f"{name} was cut off, and what was committed last is missing")

    def _check_count(self, count: int, *, since: int) -> None:
        if not _is_between(count, since, self._attempted):
            raise ReplacedError(f"the content of {self.path} was overwritten")

    def _check_log(self) -> None:
        """Check the log before SQLite goes on from it, unless another program has the file locked and so checks it."""
        left = damage = None
        with _guard, suppress(OSError):  # where nothing can be locked, nobody serves it either
            if self._held.is_locked or not self._has_lock(Use.CHANGE):
                return
            try:
                left, damage = self._foreign_log(), damage_of_log(*self._names_beside)
            finally:
                fcntl.flock(self._held.descriptor, fcntl.LOCK_UN)
        if left:
            raise ReplacedError(
                f"{left} holds changes to another content than that of {self.path}, which was put there by hand;"
                f" to go on with what is there now, remove {left} and its -shm, then `license-master db restored`"
            )
        if damage:
            raise DamagedError(
                f"{self._log_name} was spoilt: {damage}; put back what was there; without it what was granted last is"
                f" lost: move it and its -shm away, then restore a backup, or go on by `license-master db restored`"
            )

    def _foreign_log(self) -> str | None:
        """Return the write-ahead log where it does not belong to the file's content; None where it does.

        Each counted commit writes the first page. So the first such page in the log has a count at most one above that
        of the file it began with, and checkpoints only move the file's count on to the last one of the log.
        """
        counts = logged_counts(self._log_name)
        if not counts:
            return None
        return None if _is_between(self._in_header(), counts[0] - 1, counts[-1]) else self._log_name

    def _in_header(self) -> int:
        return int.from_bytes(os.pread(self._held.descriptor, 4, COUNT_AT), "big")


def _status_of(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except OSError:  # no such file; or a folder on the way to it, or its disk, is gone
        return None


def _same_file(name: str, known: _Identity) -> os.stat_result:
    """Return the status of a known file; raises ReplacedError where another file, or none, has its name now."""
    status = _status_of(name)
    if status is None or _identity(status) != known:
        raise ReplacedError(f"{name} was {'replaced by another file' if status else 'deleted or moved away'}")
    return status


def _is_between(count: int, first: int, last: int) -> bool:
    """Tell whether a count is one of those from the first to the last; counts begin anew after 2**32."""
    return (count - first) % _COUNTS <= (last - first) % _COUNTS


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _hold(path: Path) -> tuple[_Held, _Identity]:
    with _guard:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise OSError(errno.EINVAL, "it is a folder, a device or a pipe, and no database", str(path))
        identity = _identity(status)
        if identity not in _held:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            identity = _identity(os.fstat(descriptor))
            _held.setdefault(identity, _Held(descriptor))
        held = _held[identity]
        held.users += 1
        return held, identity


_LOCK = re.compile(r"^\d+: FLOCK +\w+ +\w+ +([1-9]\d*) +\w+:\w+:(\d+) ", re.MULTILINE)
"""A lock in /proc/locks: the process, where it is of this container, and the number of the file."""


def _who(identity: _Identity) -> str:
    """Return a name for the process that locks a file, as far as this machine knows."""
    with suppress(OSError):
        for process, number in _LOCK.findall(Path("/proc/locks").read_text(encoding="ascii")):
            if int(number) == identity[1]:
                return f"process {process}"
    return "another process"
