"""Statements made of column names, so that a name that a table and a value share is written once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def insert_into(table: str, columns: Sequence[str]) -> str:
    """Return a statement that adds a row; its parameters are the columns, in their order."""
    marks = ", ".join(f"?{number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def assignments(columns: Iterable[str], *, first: int) -> str:
    """Return the SET list of an update: each column to a parameter, numbered in their order from `first` on."""
    return ", ".join(f"{column} = ?{number}" for number, column in enumerate(columns, start=first))


def upsert_into(table: str, columns: Sequence[str], *, key: Collection[str]) -> str:
    """Return a statement that adds a row, or replaces all other columns of the row with the same key."""
    sets = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return f"{insert_into(table, columns)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets}"
