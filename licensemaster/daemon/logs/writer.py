"""Writes the log's lines from a thread of its own: who logs never waits for the sink, and never hears of its failures.

A line that cannot be written, because the disk is full, the reader is gone or hangs, is lost and counted; once the sink
takes lines again it gets the number of those that were lost.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

LINES_MAX = 4_096
"""The most lines that may wait for the sink."""
_AGAIN_SECONDS = 1.0
"""Seconds between two attempts at a sink that failed, while nobody logs."""


class LineWriter:
    """Writes lines to a file descriptor; also structlog's logger. May be used from any thread, and from finalizers."""

    def __init__(self, descriptor: int, *, lost_line: Callable[[int, str], str], lines_max: int = LINES_MAX) -> None:
        """`lost_line` words how many lines were lost, and why."""
        self._descriptor = descriptor
        self._lost_line = lost_line
        self._lines_max = lines_max
        self._lines: SimpleQueue[str | None] = SimpleQueue()  # its put neither waits nor minds being called anew within
        self._lock = threading.RLock()
        self._why = ""
        self._told = 0
        self._is_torn = False
        self._ends_at: float | None = None
        self.lost = 0
        """How many lines were lost so far."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line, to be written soon by the thread."""
        if self._ends_at is not None:
            self._lose("the log was closed")
        elif self._lines.qsize() >= self._lines_max:
            self._lose("the log is not read, or its disk is slow")
        else:
            self._lines.put(line)

    msg = debug = info = warn = warning = error = critical = fatal = exception = log = failure = write

    def close(self, *, seconds: float) -> None:
        """Write the lines that wait, for `seconds` at most, and end the thread."""
        self._ends_at = time.monotonic() + seconds
        self._lines.put(None)
        self._thread.join(seconds)

    def _lose(self, why: str) -> None:
        with self._lock:
            self.lost += 1
            self._why = why

    def _run(self) -> None:
        while True:
            try:
                line = self._lines.get(timeout=None if self.lost == self._told else _AGAIN_SECONDS)
            except Empty:
                with suppress(OSError):
                    self._tell_lost()
                continue
            if line is None:
                return
            try:
                self._tell_lost()
                self._write(line)
            except OSError as error:
                self._lose(error.strerror or str(error))

    def _tell_lost(self) -> None:
        lost = self.lost
        if lost > self._told:
            self._write(self._lost_line(lost - self._told, self._why))
            self._told = lost

    def _write(self, line: str) -> None:
        data = f"{line}\n".encode(errors="backslashreplace")
        if self._is_torn:  # the sink took half a line before it failed
            data = b"\n" + data
        whole = len(data)
        try:
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    self._wait_for_room()
        finally:
            if len(data) < whole:
                self._is_torn = bool(data)

    def _wait_for_room(self) -> None:
        """Wait up to 0.1 s for room in the sink, a full pipe or terminal that does not block; raises TimeoutError."""
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            raise TimeoutError("the log is not read")
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        room.poll(100)
