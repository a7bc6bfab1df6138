"""A machine whose wall clock is wrong, and can be set while programs run on it: libfaketime, for child processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class MachineClock:
    """The wall clock of the programs that are started while it is in force; their steady clocks stay right."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_by(0)

    def set_by(self, seconds: float) -> None:
        """Be so far off the right time from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+f}\n")
        fresh.replace(self._file)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """For programs started within."""
        variables = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _library() -> Path:
    actual = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not actual:
        pytest.skip("faketime (libfaketime.so.1) is needed for a machine whose clock is wrong")
    return actual[0]
