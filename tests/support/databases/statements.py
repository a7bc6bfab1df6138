"""Which statements a run puts to which kind of database: what only SQLite was given is not known to work on both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from master.store import statements
from master.store.backends.database import Tx
from master.store.backends.postgres import _PostgresTx
from master.store.backends.sqlite import SqliteTx

SEEN: dict[str, set[str]] = {"sqlite": set(), "postgresql": set()}
_WRITTEN_ONCE = str(Path(statements.__path__[0]))
"""Where the statements stand that are the same for both; what a backend or a test says itself is none of those."""


def note_statements() -> None:
    """Note each statement of this process from now on."""
    kinds: tuple[type[Tx], ...] = (SqliteTx, _PostgresTx)
    for kind in kinds:
        for name in ("rows", "rows_for_pairs", "many"):
            setattr(kind, name, _noting(getattr(kind, name), SEEN[kind.dialect]))


def add_seen(of_a_worker: dict[str, Iterable[str]]) -> None:
    for dialect, seen in of_a_worker.items():
        SEEN[dialect].update(seen)


def never_on_postgresql() -> list[str]:
    """What was put to SQLite only, each statement on one line."""
    return sorted(" ".join(statement.split()) for statement in SEEN["sqlite"] - SEEN["postgresql"])


def _noting(run: Callable[..., Any], seen: set[str]) -> Callable[..., Any]:
    def noted(tx: Tx, statement: str, *values: Any) -> Any:
        if sys._getframe(1).f_code.co_filename.startswith(_WRITTEN_ONCE):
            seen.add(statement)
        return run(tx, statement, *values)

    return noted
