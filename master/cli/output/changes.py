"""What this command has changed so far: whoever cannot read its output, or breaks it off, learns at least that."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

from google.protobuf.message import Message

from licensemaster.files.writer import Written

QUESTIONS: Final = ("Check", "Explain", "Export", "Get", "Health", "List", "Plan", "Preview", "Quote", "Verify")
"""How the names of calls begin that change nothing."""
LOOK: Final = "look at what it has done before it is repeated: `license-master events` shows it"
"""The remedy where a change was made, or may have been."""


class Changed(Enum):
    """How far a command has come."""

    ASKED = auto()
    """It has asked a question, if anything."""
    PREVIEWED = auto()
    """It has asked what a change would do."""
    UNKNOWN = auto()
    """It has asked for a change, and knows of no answer."""
    MADE = auto()


class _SoFar:
    changed = Changed.ASKED


def changed_so_far() -> Changed:
    """How far this command has come."""
    return Changed.MADE if Written.files else _SoFar.changed


def note_change() -> None:
    _SoFar.changed = Changed.MADE


def is_change(request: object) -> bool:
    """Tell whether a request asks for a change, and not only what one would do."""
    return (
        isinstance(request, Message)
        and not request.DESCRIPTOR.name.startswith(QUESTIONS)
        and not getattr(request, "dry_run", False)
    )


@contextmanager
def change_under_way() -> Iterator[None]:
    """Note a change that is made when the context ends well, and is not made where an Exception ends the context.

    Where an interruption ends it, nobody knows. What was changed before stays noted.
    """
    before = _SoFar.changed
    if before is not Changed.MADE:
        _SoFar.changed = Changed.UNKNOWN
    try:
        yield
    except Exception:
        _SoFar.changed = before
        raise
    note_change()


def note_question(request: object) -> None:
    """Note a call that a master has answered well: whether it asked what a change would do."""
    if getattr(request, "dry_run", False) and _SoFar.changed is Changed.ASKED:
        _SoFar.changed = Changed.PREVIEWED


def take_termination() -> None:
    """Have SIGTERM end this command as Ctrl-C does, which is told. Only a program's main thread is sent signals."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
