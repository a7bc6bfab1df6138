"""A database, SQLite or PostgreSQL, behind three methods: `transact` changes, `read` reads, `ask` reads for others.

What `transact` guarantees, on both, each with a test in tests/store/backends/test_database.py:

- The work MUST be applied whole or not at all.
- When `transact` returns, the work MUST survive the loss of the process.
- Two transactions that lock the same row MUST run one after the other.
- A failure MUST be raised as a `StorageError` that says whether trying again can help.

What `ask` guarantees, likewise:

- However many ask, and however long it takes, `transact` and `read` MUST NOT wait for them: those are for leases.
- Work that is asked and given up MUST end at its next statement, and its connection MUST serve the next caller.

Work is a plain function over a `Tx`, written once. SQLite runs it on the one writer thread; PostgreSQL runs it over an
asynchronous connection, in the greenlet bridge that SQLAlchemy provides for that.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from master.store.backends.problems import StorageError, StorageProblem
from master.store.backends.sqlite_file import Use
from master.store.backends.stopping import Stop

__all__ = [
    "LOCKING",
    "Database",
    "Row",
    "StorageError",
    "StorageProblem",
    "Transactions",
    "Tx",
    "Written",
    "alike",
    "json_text",
]
T = TypeVar("T")
Row = Sequence[Any]
_JSON: Final = msgspec.json.Encoder()
LOCKING = re.compile(r" FOR (?:SHARE|UPDATE|NO KEY UPDATE)(?: OF \w+)?$")
"""The clause at the end of a statement that locks the rows that it reads."""


class Written(NamedTuple):
    """An event of the audit that was committed: a database that lacks it was set back to before it."""

    project_id: int
    seq: int
    time_us: int
    """When the event happened, UNIX microseconds."""
    hash: bytes


class Tx(ABC):
    """One transaction.

    Statements are written once for both databases: `?1` is a parameter, `IN {?1:int}` looks in an array of that
    PostgreSQL type, `{pairs}` is a table with the columns a (int) and b (text), and a closing `FOR SHARE`,
    `FOR UPDATE` and the like locks the rows that are read, where the database does not lock as a whole and the
    transaction may change something.
    """

    dialect: ClassVar[Literal["sqlite", "postgresql"]]
    """The kind of database, for the few statements that only one kind knows."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.written: Written | None = None
        """The last event that this transaction writes; None where it writes none."""

    @abstractmethod
    def rows(self, statement: str, *values: Any) -> list[Row]:
        """Run a statement and return its rows."""

    @abstractmethod
    def rows_for_pairs(self, statement: str, pairs: Sequence[tuple[int, str]]) -> list[Row]:
        """Run a statement over `{pairs}` and return its rows."""

    @abstractmethod
    def many(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a statement once for each row of values; not at all where there are none."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        """Insert many rows that mostly differ in one column only; columns are (name, PostgreSQL type)."""

    @abstractmethod
    def delete(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        """Delete the rows with these values, many that mostly differ in one column only; arguments as in `insert`."""

    @abstractmethod
    def lock(self, statement: str, *values: Any) -> None:
        """Run a statement that only takes locks; do nothing where there are none, or the transaction only reads."""


def json_text(value: object) -> str:
    """Encode a value as JSON without spaces: arrays for a statement, details of events, documents. In C, for speed."""
    return _JSON.encode(value).decode()


def alike(rows: Sequence[Row], differ_in: int) -> Iterable[tuple[tuple[Any, ...], list[Any]]]:
    """Group rows that differ in one column only: the values in common, and each row's value in that column."""
    runs: dict[tuple[Any, ...], list[Any]] = {}
    in_common = itemgetter(*(at for at in range(len(rows[0])) if at != differ_in))
    for same, run in groupby(rows, key=in_common):
        runs.setdefault(same, []).extend(map(itemgetter(differ_in), run))
    return runs.items()


class Transactions(Protocol):
    """What runs work in a transaction: a database, or the queue of those who wait for it."""

    async def transact(self, work: Callable[[Tx], T]) -> T:
        """As `Database.transact`."""

    async def read(self, work: Callable[[Tx], T]) -> T:
        """As `Database.read`."""


class Database(ABC):
    """A database of one of the two kinds, opened and verified."""

    is_shared: bool
    """Whether several masters may serve the database."""

    @abstractmethod
    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Run work in one transaction and commit it. Raises StorageError if the work could not be done."""

    @abstractmethod
    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run work that changes nothing, on one consistent state. Raises StorageError if the work could not be done."""

    @abstractmethod
    async def ask(self, work: Callable[[Tx], T]) -> T:
        """Run work as `read` does, for large and long reads: they wait for each other and delay nothing else.
        Raises StorageError if the work could not be done."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    async def verify(self) -> None:
        """Make sure that the database is still the one that was opened, where `transact` and `read` do not check it.
        Raises StorageError if it is another one, or does not answer."""

    @abstractmethod
    def occupy(self, use: Use) -> None:
        """Keep other programs out until the database is closed, where it is for one master only.
        Raises StorageError if another program uses it."""
