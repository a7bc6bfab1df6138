"""Standard output of a command: whether everything that was said there could be written."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Descriptor(io.FileIO):
    """Standard output without a buffer, with the error of the last failed write."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write bytes; return how many were written. Raises OSError."""
        try:
            return super().write(data)
        except OSError as failure:
            self.failure = failure
            raise


class OwnOutput:
    """The replacement of `sys.stdout`: libraries would end a command silently where its reader is gone."""

    def __init__(self) -> None:
        if sys.stdout is None:  # closed by whoever started the command, who wants to read nothing
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # as long as the process
        self._descriptor: _Descriptor | None = None
        self._before = before = sys.stdout  # would close the descriptor if nobody kept it
        if isinstance(before, io.TextIOWrapper) and before is sys.__stdout__:
            before.flush()
            self._descriptor = _Descriptor(before.fileno(), "w", closefd=False)
            sys.stdout = io.TextIOWrapper(
                io.BufferedWriter(self._descriptor),
                encoding=before.encoding,
                errors=before.errors,
                line_buffering=before.line_buffering,
            )
        self._stream = sys.stdout

    def failure(self) -> OSError | None:
        """Write what is still to be written; return why something could not be written, or None.

        After a failure the interpreter does not try again when it ends.
        """
        try:
            self._stream.flush()
        except OSError as failure:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return failure
        return self._descriptor.failure if self._descriptor is not None else None
