"""One database, SQLite or PostgreSQL, behind three verbs: `transact` changes it, `read` looks, `ask` does so
for others.

What `transact` guarantees, on both, each with a test in tests/store/backends/test_database.py:

- The work MUST be applied whole or not at all.
- When `transact` returns, the work MUST survive the loss of the process.
- Two transactions that lock the same row MUST run one after the other.
- A failure MUST be raised as a `StorageError` that says whether trying again can help.

What is asked with `ask`, likewise:

- However many ask, and however long it takes, `transact` and `read` MUST NOT wait for them: those are for leases.
- What is asked and given up MUST end at its next statement, and its connection MUST serve the next who asks.

Work is a plain function over a `Tx`, written once. SQLite runs it on the one writer thread; PostgreSQL runs it over an
asynchronous connection, in the greenlet bridge that SQLAlchemy provides for that.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar

import msgspec

from master.store.backends.problems import StorageError, StorageProblem
from master.store.backends.sqlite_file import Use
from master.store.backends.stopping import Stop

__all__ = ["LOCKING", "Database", "Row", "StorageError", "StorageProblem", "Transactions", "Tx", "alike", "json_text"]
T = TypeVar("T")
Row = Sequence[Any]
_JSON: Final = msgspec.json.Encoder()
LOCKING = re.compile(r" FOR (?:SHARE|UPDATE|NO KEY UPDATE)(?: OF \w+)?$")
"""What closes a statement that locks the rows that it reads."""


class Tx(ABC):
    """One transaction.

    Statements are written once for both databases: `?1` is a parameter, `IN {?1:int}` looks in an array of that
    PostgreSQL type, `{pairs}` is a table with the columns a (int) and b (text), and a closing `FOR SHARE`,
    `FOR UPDATE` and the like locks the rows that are read, where the database does not lock as a whole and the
    transaction may change something.
    """

    dialect: ClassVar[Literal["sqlite", "postgresql"]]
    """For the few statements that only one of the two knows."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    @abstractmethod
    def rows(self, statement: str, *values: Any) -> list[Row]:
        """Run a statement and fetch what it returns."""

    @abstractmethod
    def rows_for_pairs(self, statement: str, pairs: Sequence[tuple[int, str]]) -> list[Row]:
        """Run a statement over `{pairs}` and fetch what it returns."""

    @abstractmethod
    def many(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a statement for each row."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        """Insert many rows that mostly differ in one column only; columns are (name, PostgreSQL type)."""

    @abstractmethod
    def delete(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        """Delete the rows with these values, many that mostly differ in one column only; as `insert` has them."""

    @abstractmethod
    def lock(self, statement: str, *values: Any) -> None:
        """Run a statement that only takes locks; nothing to do where the database has none, or nothing is changed."""


def json_text(value: object) -> str:
    """JSON without spaces: arrays for a statement, details of events, documents. In C, as each call needs some."""
    return _JSON.encode(value).decode()


def alike(rows: Sequence[Row], differ_in: int) -> Iterable[tuple[tuple[Any, ...], list[Any]]]:
    """Rows that differ in one column only, together: what they have in common, and what each has in that column."""
    runs: dict[tuple[Any, ...], list[Any]] = {}
    in_common = itemgetter(*(at for at in range(len(rows[0])) if at != differ_in))
    for same, run in groupby(rows, key=in_common):
        runs.setdefault(same, []).extend(map(itemgetter(differ_in), run))
    return runs.items()


class Transactions(Protocol):
    """Whatever runs work in a transaction: a database, or the turns of those who wait for it."""

    async def transact(self, work: Callable[[Tx], T]) -> T:
        """As `Database.transact`."""

    async def read(self, work: Callable[[Tx], T]) -> T:
        """As `Database.read`."""


class Database(ABC):
    """A database of one of the two kinds, opened and verified."""

    is_shared: bool
    """Whether several masters may serve it."""

    @abstractmethod
    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Run work in one transaction and commit it.

        Raises:
            StorageError: it could not be done.
        """

    @abstractmethod
    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run work that changes nothing, on one consistent state.

        Raises:
            StorageError: it could not be done.
        """

    @abstractmethod
    async def ask(self, work: Callable[[Tx], T]) -> T:
        """As `read`, for what may be much and long: they wait for each other, and delay nothing else.

        Raises:
            StorageError: it could not be done.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of all connections."""

    @abstractmethod
    async def verify(self) -> None:
        """Make sure that it is still the one that was opened, as far as `transact` and `read` do not see to it.

        Raises:
            StorageError: it is not, or does not answer.
        """

    @abstractmethod
    def occupy(self, use: Use) -> None:
        """Keep others out until it is closed, where it is for one master only.

        Raises:
            StorageError: somebody has it.
        """
