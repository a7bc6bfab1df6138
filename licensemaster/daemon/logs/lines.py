"""Structured logs: one JSON object a line on standard error, or readable lines on a terminal.

Logging never raises and never waits (`writer`), and nothing else gets between the lines (`captured_stderr`).
"""

from __future__ import annotations

import faulthandler
import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from licensemaster.daemon.logs.captured_stderr import captured_stderr, python_captured
from licensemaster.daemon.logs.writer import LineWriter

_STDERR = 2
_FLUSH_SECONDS = 2.0
_LINE_MAX = 65_536
"""The most characters of a line; only the beginning of a longer line is written."""
_TEXT_MAX = 8_192
_writer: LineWriter | None = None


def lines_lost() -> int:
    """Return how many lines of this process's log could not be written so far."""
    return 0 if _writer is None else _writer.lost


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Log to standard error until the context ends; then what waits is written, for two seconds at most."""
    global _writer
    _open_standard_files()
    sink = os.dup(_STDERR)
    line_format = LineFormat.READABLE if os.isatty(sink) else LineFormat.JSON
    render = Rendering(line_format)
    _writer = writer = LineWriter(sink, lost_line=render.lost)
    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    faulthandler.enable(sink)  # what a crash says goes past everything that could be lost with it
    try:
        with python_captured() if line_format is LineFormat.READABLE else captured_stderr():
            yield
    finally:
        faulthandler.disable()
        writer.close(seconds=_FLUSH_SECONDS)


class LineFormat(Enum):
    """The format of the log's lines."""

    JSON = "json"
    READABLE = "readable"
    """For people, on a terminal."""


class Rendering:
    """Makes one line of an event, whatever is in it."""

    def __init__(self, line_format: LineFormat) -> None:
        self._chain: list[Processor] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
        ]
        if line_format is LineFormat.READABLE:
            self._chain.append(structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
        else:
            self._chain += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]

    def __call__(self, logger: Any, method: str, event: EventDict) -> str:
        """Return an event's line; where that cannot be rendered, or is too long, as much of it as can be written."""
        given = dict(event)
        try:
            line = self._rendered(logger, method, event)
        except Exception as error:  # a value that cannot be shown, a cycle, a key that is no text
            why = f"cannot be shown: {type(error).__name__}"
        else:
            if len(line) <= _LINE_MAX:
                return line
            why = "too long"
        short = {_shown(key): _shown(value) for key, value in given.items() if key != "exc_info"}
        if failure := given.get("exc_info"):
            short["exception"] = _traceback(failure)
        return self._rendered(logger, method, {**short, "shortened": why})

    def lost(self, lines: int, why: str) -> str:
        return self(None, "error", {"event": "log lines were lost", "lines": lines, "reason": why})

    def _rendered(self, logger: Any, method: str, event: EventDict) -> str:
        made: Any = event
        for step in self._chain:
            made = step(logger, method, made)
        return str(made)


def _shown(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
        return text.encode(errors="backslashreplace").decode()[:_TEXT_MAX]
    except Exception:
        return f"<{type(value).__name__}>"


def _traceback(error: object) -> str:
    """Return the end of an exception's traceback: what was raised, and where."""
    try:
        exception = error if isinstance(error, BaseException) else None if error is True else error[1]  # type: ignore[index]
        return _shown("".join(traceback.format_exception(exception))[-_TEXT_MAX:])
    except Exception:
        return _shown(error)


def _open_standard_files() -> None:
    """Open /dev/null in place of each closed standard file: else the next opened file would get what others print."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
