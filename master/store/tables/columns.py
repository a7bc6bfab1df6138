"""Statements made of the names of columns; what a table has by the same name as a value is named only there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def insert_into(table: str, columns: Sequence[str]) -> str:
    """A statement that adds a row; its parameters are the columns, in their order."""
    marks = ", ".join(f"?{number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def assignments(columns: Iterable[str], *, first: int) -> str:
    """What an update sets: the columns, to parameters in their order, from number `first` on."""
    return ", ".join(f"{column} = ?{number}" for number, column in enumerate(columns, start=first))


def upsert_into(table: str, columns: Sequence[str], *, key: Collection[str]) -> str:
    """The same, where a row with that key may be there: all else of it is replaced."""
    sets = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return f"{insert_into(table, columns)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets}"
