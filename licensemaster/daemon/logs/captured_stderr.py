"""What reaches standard error beside the log becomes lines of the log: gRPC's own, warnings, uncaught exceptions.

Python's ways there are caught where they begin, so that a traceback is one line; what libraries in C write to the file
descriptor comes through a pipe. Its writers never wait: what does not fit is lost.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from licensemaster.daemon.logs.sparing_log import SparingLog

_STDERR = 2
_PIPE_BYTES = 1_048_576
_LINE_BYTES_MAX = 4_096
_TOLD_AS_INFO = re.compile(r"I\d{4} \d\d:")
"""How gRPC begins a line that is to be known, such as that of a failed handshake."""
_LINES_MAX, _LINES_SECONDS = 20, 10.0
"""The most lines of one kind from others, and the seconds in which that many may be logged."""
_DRAIN_SECONDS = 1.0


@contextmanager
def captured_stderr() -> Iterator[None]:
    """Log everything written to standard error until the context ends; the caller duplicates standard error before."""
    log = _sparing("stderr")

    def tell(text: str) -> None:
        if text := text.strip():
            log_line = log.info if _TOLD_AS_INFO.match(text) else log.warning
            log_line("written to standard error", text=text[:_LINE_BYTES_MAX])

    with _descriptor_captured(tell), _replaced(sys, "stderr", _Printed(tell)), python_captured():
        yield


@contextmanager
def python_captured() -> Iterator[None]:
    """Log records of `logging`, warnings, and uncaught exceptions until the context ends."""
    log = _sparing("python")

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            name = args.thread.name if args.thread else ""
            log.error("an exception ended a thread", thread=name, exc_info=args.exc_value)

    def unraisable(args: Any) -> None:
        log.error("an exception was ignored", where=f"{args.err_msg}: {args.object!r}", exc_info=args.exc_value)

    root, handler = logging.getLogger(), _ToLog(log)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        with (
            _replaced(threading, "excepthook", in_thread),
            _replaced(sys, "unraisablehook", unraisable),
            _replaced(logging, "raiseExceptions", False),
        ):
            yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)


def _sparing(name: str) -> SparingLog:
    return SparingLog(structlog.get_logger(name), clock=time.monotonic, lines_max=_LINES_MAX, seconds=_LINES_SECONDS)


class _ToLog(logging.Handler):
    """The handler that logs records of the standard library's logging: asyncio, aiohttp, gRPC in Python, warnings."""

    def __init__(self, log: SparingLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # its arguments do not fit its text
            text = f"{record.msg!r}: {error!r}"
        tell = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        failed = {"exc_info": record.exc_info} if record.exc_info else {}
        tell("a library says", text=text, logger=record.name, **failed)


class _Printed(io.TextIOBase):
    """The replacement of `sys.stderr`: each printed line is logged."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._begun = threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return the descriptor of standard error, for libraries that write to a file."""
        return _STDERR

    def write(self, text: str) -> int:
        """Log the complete lines; keep the rest for the next call."""
        *lines, self._begun.text = (getattr(self._begun, "text", "") + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)


@contextmanager
def _descriptor_captured(tell: Callable[[str], None]) -> Iterator[None]:
    before = os.dup(_STDERR)
    reading, writing = os.pipe()
    with suppress(AttributeError, OSError):  # Linux alone has larger ones
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(writing, False)  # who writes may hold the interpreter's lock, which the reader needs
    os.dup2(writing, _STDERR)
    os.close(writing)
    thread = threading.Thread(target=_read, args=(reading, tell), name="stderr", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(before, _STDERR)  # closes the last writing end
        os.close(before)
        thread.join(_DRAIN_SECONDS)


def _read(descriptor: int, tell: Callable[[str], None]) -> None:
    with os.fdopen(descriptor, "rb") as pipe:
        while line := pipe.readline(_LINE_BYTES_MAX):
            tell(line.decode(errors="backslashreplace"))


@contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
