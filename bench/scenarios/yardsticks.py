"""What this machine does without us: figures of different machines are only comparable beside these."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.figures import Figure, Plan, Report

_COMMITS = 2_000


async def yardsticks(plan: Plan, report: Report) -> list[Figure]:
    """(0) A plain commit and a plain loop."""
    report("plain SQLite commits and a plain loop")
    commit = median([await asyncio.to_thread(plain_commit_seconds) for _ in range(plan.rounds)])
    loop = median(_plain_loop_seconds() for _ in range(plan.rounds))
    return [
        Figure("yardstick: one row committed by plain sqlite3, WAL, synchronous FULL", commit * 1e6, "us"),
        Figure("yardstick: ten million additions in Python", loop, "s"),
    ]


def plain_commit_seconds() -> float:
    """Seconds that one row takes, committed for good."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        connection = sqlite3.connect(Path(folder) / "plain.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)")
        started = time.perf_counter()
        for _ in range(_COMMITS):
            connection.execute("INSERT INTO row (text) VALUES ('x')")
        seconds = time.perf_counter() - started
        connection.close()
    return seconds / _COMMITS


def _plain_loop_seconds() -> float:
    started = time.perf_counter()
    total = 0
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - started
