"""Copies of a SQLite database: made while a master serves, and put back in its place.

A copy gets its name only when it is whole and on disk. The caller checks on the unfinished copy whether it is good
(schema, counters, audit); whether a master serves a database is found out here, by its locks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from licensemaster.files.writer import sync_folder
from master.store.backends.sqlite import lock_file, opened_file
from master.store.backends.sqlite_file import Use

_PAGES_AT_ONCE = 4096
_BESIDE = ("-wal", "-shm", "-journal")
"""The suffixes of the files that SQLite keeps beside a database in use."""

Progress = Callable[[int, int], None]
"""A function that is told how many pages are copied, and of how many."""


class BackupError(Exception):
    """An error of a copy that cannot be made or put in place; the text says why and what helps. Nothing was changed."""


@contextmanager
def copied(source: Path, target: Path, *, progress: Progress, aside: Path | None = None) -> Iterator[Path]:
    """Copy `source` as it is at one moment, and give the copy to the caller to check or change.

    The copy gets the name `target` when the context ends well, and is deleted when it does not. An existing `target`
    is kept as `aside`. Whoever writes to `source` meanwhile neither waits nor is waited for.
    Raises BackupError if `source` is missing or no database, or `target` cannot be made, or exists without an `aside`.
    """
    if not source.is_file():
        raise BackupError(f"{source}: there is no such file")
    if aside is None and target.exists():
        raise BackupError(f"{target} is there already; choose another name, nothing is overwritten")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # the master's signing key is in it
    except OSError as error:
        raise BackupError(f"{target} cannot be made in {target.absolute().parent}: {error.strerror}") from error
    try:
        try:
            _copy(source, unfinished, progress)
        except sqlite3.Error as error:
            raise BackupError(f"{source} cannot be copied to {target}: {error}") from error
        yield unfinished
        _flush(unfinished)
        if aside is not None:
            _set_aside(target, aside, successor=unfinished)
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError as error:
            raise BackupError(f"{target} was made by somebody else meanwhile; choose another name") from error
        os.replace(unfinished, target)
        sync_folder(target.parent)
    finally:
        for name in (unfinished.name, *(unfinished.name + beside for beside in _BESIDE)):
            with suppress(FileNotFoundError):
                unfinished.with_name(name).unlink()


def damage(file: Path) -> list[str]:
    """Return what SQLite finds wrong with a database file, in its words; empty where the file is sound."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    return [str(row[0]) for row in rows if row[0] != "ok"]


@contextmanager
def kept_from_masters(file: Path) -> Iterator[None]:
    """Keep every master out of a database file until the context ends; the log is written into the file first.
    Raises BackupError if another program has the file open, StorageError if a master serves the file."""
    if not file.exists():
        yield
        return
    opened = opened_file(file)
    with closing(opened), closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        lock_file(opened, Use.SERVE)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
            with suppress(FileNotFoundError):
                os.unlink(f"{file}-shm")  # the index of a killed master's log; without that log it would be damage
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            raise BackupError(f"{file} is in use ({error}); stop the master that serves it, then try again") from error
        except sqlite3.DatabaseError:
            pass  # not a database any more: nobody serves it, and it is kept as it is
        yield


def _set_aside(file: Path, aside: Path, *, successor: Path) -> None:
    """Rename a database file and what SQLite keeps beside it; give the new file the same owner, group and mode."""
    was, is_now = file.stat(), successor.stat()
    if (was.st_uid, was.st_gid) != (is_now.st_uid, is_now.st_gid):
        os.chown(successor, was.st_uid, was.st_gid)
    os.chmod(successor, was.st_mode)
    for beside in _BESIDE:  # of a master that was killed: to the file that takes its place they are damage
        with suppress(FileNotFoundError):
            os.rename(f"{file}{beside}", f"{aside}{beside}")
    os.rename(file, aside)
    sync_folder(file.parent)


def _copy(source: Path, unfinished: Path, progress: Progress) -> None:
    origin = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(origin, uri=True, isolation_level=None)) as old:
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM sqlite_master").fetchall()  # one moment for all pages, whoever writes
        with closing(sqlite3.connect(unfinished)) as new:
            old.backup(
                new, pages=_PAGES_AT_ONCE, progress=lambda _, left, total: progress(total - left, total), sleep=0
            )


def _flush(file: Path) -> None:
    """Write all of the write-ahead log into the file, and flush the file to disk."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    number = os.open(file, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
