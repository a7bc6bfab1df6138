"""Seats used since the lease was written last: a line for each, added before the seat is used.

Writing the whole state takes milliseconds, adding a line takes microseconds; what was added outlives a process that is
killed. Each time the state is written a new journal begins, whose number stands in the state: it is read with that one
and any after it, and those before are removed. A line that was cut off belongs to a seat that nobody was granted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PREFIX: Final = "granted-"


class Journal:
    """The journals in one folder; lines are added to the last one. Every method raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_from = 0
        self._number: int | None = None
        self._handle: int | None = None

    def begin(self) -> int:
        """Begin a journal and return its number."""
        self.close()
        before = self._number if self._number is not None else max((self._read_from, *self._numbers()))
        self._number = before + 1
        return self._number

    def append(self, *lines: str) -> None:
        """Add lines to the journal; they can be read after this process was killed."""
        if self._number is None:
            self.begin()
        if self._handle is None:
            self._handle = os.open(self._file(self._number or 0), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        whole = "".join(f"{line}\n" for line in lines).encode()
        if os.write(self._handle, whole) != len(whole):
            self.begin()  # what comes next is to be no part of a line that was cut off
            raise OSError("the disk is full")

    def lines(self, first: int) -> list[str]:
        """Return the whole lines of the journals from `first` on, oldest first; new journals get higher numbers."""
        self._read_from = first
        lines: list[str] = []
        for number in sorted(number for number in self._numbers() if number >= first):
            *whole, _ = self._file(number).read_bytes().split(b"\n")
            lines += [line.decode("utf-8", "replace") for line in whole]
        return lines

    def forget_before(self, number: int) -> None:
        """Remove the journals with lower numbers."""
        for older in self._numbers():
            if older < number:
                self._file(older).unlink(missing_ok=True)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _file(self, number: int) -> Path:
        return self._folder / f"{PREFIX}{number}"

    def _numbers(self) -> list[int]:
        try:
            names = [path.name.removeprefix(PREFIX) for path in self._folder.glob(f"{PREFIX}*")]
        except FileNotFoundError:
            return []
        return [int(name) for name in names if name.isdecimal()]
