"""What can be wrong with a database, and which failure of a driver means what.

A server that refuses is distinguished from a server that is silent: it refuses with a SQLSTATE
(https://www.postgresql.org/docs/current/errcodes-appendix.html), and waiting does not help. A server's failures are
told apart by that code alone, so that a master on a file does not load the driver of a server.
"""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Mapping
from enum import Enum
from typing import Final


class StorageProblem(Enum):
    """What is wrong with the database, as the API's ErrorInfo names it."""

    STORAGE_UNAVAILABLE = "the database does not answer"
    STORAGE_REFUSED = "the database refuses this master"
    STORAGE_BUSY = "all connections to the database are in use"
    STORAGE_LOCKED = "another program holds the database locked"
    STORAGE_FULL = "the disk of the database is full"
    STORAGE_SCHEMA = "the database has another schema than this version needs"
    STORAGE_IN_USE = "another program uses the database"
    STORAGE_REPLACED = "the database is not the one that it was"
    STORAGE_DAMAGED = "the database is damaged"
    STORAGE_ABSENT = "there is no database"
    STORAGE_FOREIGN = "the database is none of a license master"

    @property
    def ends_service(self) -> bool:
        """Whether a master serves nobody while the problem lasts; else one call may fail and the next succeed."""
        return self not in (StorageProblem.STORAGE_BUSY, StorageProblem.STORAGE_LOCKED, StorageProblem.STORAGE_FULL)


class StorageError(Exception):
    """An error of the database; nothing was changed, or the caller cannot know and may safely try again."""

    def __init__(self, problem: StorageProblem, detail: str = "") -> None:
        super().__init__(f"{problem.value}{': ' + detail if detail else ''}")
        self.problem = problem
        self.detail = detail


class UnstorableError(Exception):
    """An error for a value that cannot be stored; only the request that brought the value fails."""


class AllInUseError(Exception):
    """An error for a wait in which no connection became free in time."""


_DATA, _INTEGRITY = "22", "23"
_PROTOCOL, _READ_ONLY, _DISK_FULL = "08P01", "25006", "53100"
_LOCKED: Final[Mapping[str, str]] = {
    "40P01": "",
    "55P03": "try again once that is done; pg_stat_activity says who it is, such as a pg_dump",
}
"""What helps where others hold what is wanted, by SQLSTATE: two wait for each other, or a table is not free in time."""
_UNDEFINED: Final = frozenset({"42P01", "42703"})
_DEFINED_ALREADY: Final = frozenset({"42P07", "42701"})
_CORRUPTED: Final = frozenset({"XX001", "XX002"})
"""SQLSTATEs, or classes of SQLSTATEs, which are their first two characters."""
_PRIMARY_CODE: Final = 0xFF
"""The last byte of SQLite's codes, which has their kind (https://sqlite.org/rescode.html)."""
_OTHER_TABLES: Final = "the tables are not those of its revision: restore a backup, or begin a new database"
SHARED_SESSION: Final = (
    "a pooler hands one session to several clients; set pool_mode = session and server_reset_query = DISCARD ALL, or"
    " name the server itself in database_url"
)
_SHARED_SESSIONS: Final = frozenset({"26000", "42P05"})
"""SQLSTATEs of prepared statements that are not those of the session."""
_REFUSALS: Final[Mapping[str, str]] = {
    "28": "correct the user or the password in database_url, or pg_hba.conf on the server",
    "3D": "correct the name in database_url, or make it with createdb --encoding=UTF8 --template=template0 NAME",
    "3F": "correct the search_path of the user, or make the schema",
    "42501": "the user of database_url must own the tables, or be granted them",
    "42704": "name the server itself in database_url",
    "0A": "name the server itself in database_url",
}
"""What helps, by SQLSTATE or its class, which is its first two characters."""
_REFUSALS_OF_SQLITE: Final[Mapping[str, str]] = {
    "readonly database": "let this user write the file and its folder, on a disk that is not mounted read-only",
    "unable to open": "let this user write the file and its folder",
}
_CHECK: Final = "`license-master db check` says what is damaged; docs/backup.md puts a backup in its place"
_DAMAGE_OF_SQLITE: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_CORRUPT: _CHECK,
    sqlite3.SQLITE_NOTADB: "correct database_url, or put a backup in its place: docs/backup.md",
}
_REFUSALS_OF_POOLERS: Final[Mapping[str, str]] = {
    "unsupported startup parameter": "name the server itself in database_url",
    "bouncer config error": _REFUSALS["3D"],
    "no such database": _REFUSALS["3D"],
    "no such user": _REFUSALS["28"],
    "authentication failed": _REFUSALS["28"],
    "transaction blocks not allowed": SHARED_SESSION,
}
"""What helps, by the words in which poolers refuse; their SQLSTATE is always 08P01, a broken protocol."""


def storage_error(error: BaseException) -> Exception:
    """Return a driver's error as a `StorageError`, or a value's; a broken constraint is a defect of ours and stays."""
    original = getattr(error, "orig", None) or error
    cause = getattr(original, "__cause__", None) or original
    if isinstance(error, StorageError):
        return error
    if isinstance(cause, StorageError):  # and for the time being nobody tries again
        return StorageError(cause.problem, cause.detail)
    if isinstance(error, AllInUseError):
        return StorageError(StorageProblem.STORAGE_BUSY)
    text, state = str(original), _sqlstate(cause)
    if is_of_value(cause):
        return UnstorableError(text)
    if isinstance(cause, sqlite3.IntegrityError) or state.startswith(_INTEGRITY):
        return cause if isinstance(cause, Exception) else RuntimeError(text)
    if state == _DISK_FULL or _said_by_sqlite(cause, "disk is full") or "No space left" in text:
        return StorageError(StorageProblem.STORAGE_FULL)
    if state in _SHARED_SESSIONS:  # the driver's own hint would be no remedy
        return StorageError(StorageProblem.STORAGE_REFUSED, SHARED_SESSION)
    if state in _LOCKED or _said_by_sqlite(cause, "locked"):
        return StorageError(StorageProblem.STORAGE_LOCKED, _LOCKED.get(state, ""))
    if state in _UNDEFINED or _said_by_sqlite(cause, "no such table", "no such column"):
        return StorageError(StorageProblem.STORAGE_SCHEMA, f"{text}; `license-master db check` says what is wrong")
    if state in _DEFINED_ALREADY or _said_by_sqlite(cause, "already exists", "duplicate column"):
        return StorageError(StorageProblem.STORAGE_SCHEMA, f"{text}; {_OTHER_TABLES}")
    if remedy := _remedy_of_damage(cause):
        return StorageError(StorageProblem.STORAGE_DAMAGED, f"{text}; {remedy}")
    if remedy := _remedy(cause):
        return StorageError(StorageProblem.STORAGE_REFUSED, f"{text}; {remedy}")
    if state == _READ_ONLY:
        remedy = (
            "name the server that takes writes, or have this one do so: end its recovery, or set"
            " default_transaction_read_only to off"
        )
        return StorageError(StorageProblem.STORAGE_UNAVAILABLE, f"{text}; {remedy}")
    return StorageError(StorageProblem.STORAGE_UNAVAILABLE, f"{text}{_what_the_disk_refused(cause)}")


def is_of_value(cause: BaseException) -> bool:
    """Tell whether a driver or server refuses a value, not the work: asyncpg does so with an InterfaceError, too."""
    return (
        isinstance(cause, OverflowError | UnicodeEncodeError | sqlite3.DataError)
        or _sqlstate(cause).startswith(_DATA)
        or (isinstance(cause, ValueError) and type(cause).__module__.startswith("asyncpg."))
    )


def _remedy_of_damage(cause: BaseException) -> str | None:
    """Return what helps where the database found that what it reads is not what was written; None where it did not."""
    if _sqlstate(cause) in _CORRUPTED:
        return _CHECK
    return _DAMAGE_OF_SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE)


def _what_the_disk_refused(cause: BaseException) -> str:
    """Return SQLite's name for what could not be done, such as SQLITE_IOERR_WRITE; empty for other errors."""
    is_of_disk = getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_IOERR
    return f" ({getattr(cause, 'sqlite_errorname', '')})" if is_of_disk else ""


def _sqlstate(cause: BaseException) -> str:
    """Return the SQLSTATE of an error; empty where no server raised it."""
    return getattr(cause, "sqlstate", None) or ""


def _said_by_sqlite(cause: BaseException, *words: str) -> bool:
    """Tell whether SQLite raised an error with some words; a server's words hold names that people chose."""
    return isinstance(cause, sqlite3.Error) and any(word in str(cause) for word in words)


def _remedy(cause: BaseException) -> str | None:
    """Return what helps where the server, or the check of its certificate, refuses; None where it is silent."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "name the authority of the server's certificate in PGSSLROOTCERT"
    if "rejected SSL upgrade" in str(cause):
        return "switch TLS on in the server, or take another sslmode"
    if isinstance(cause, sqlite3.Error):
        return next((remedy for words, remedy in _REFUSALS_OF_SQLITE.items() if words in str(cause)), None)
    state = _sqlstate(cause)
    if state == _PROTOCOL:
        return next((remedy for words, remedy in _REFUSALS_OF_POOLERS.items() if words in str(cause)), None)
    return _REFUSALS.get(state) or _REFUSALS.get(state[:2])
