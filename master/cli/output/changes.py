"""What this command has changed so far: who cannot read what it says learns at least whether it did anything."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from google.protobuf.message import Message

from licensemaster.files.writer import Written

QUESTIONS: Final = ("Check", "Explain", "Export", "Get", "Health", "List", "Plan", "Preview", "Quote", "Verify")
"""How the names of calls begin that change nothing."""


class Changed(Enum):
    """How far a command has come."""

    ASKED = auto()
    """It has asked a question, if anything."""
    PREVIEWED = auto()
    """It has asked what a change would do."""
    MADE = auto()


class _SoFar:
    changed = Changed.ASKED


def changed_so_far() -> Changed:
    """How far this command has come."""
    return Changed.MADE if Written.files else _SoFar.changed


def note_change() -> None:
    """Note that a change is made."""
    _SoFar.changed = Changed.MADE


def note_call(request: object) -> None:
    """Note a call that a master has answered well."""
    if not isinstance(request, Message) or request.DESCRIPTOR.name.startswith(QUESTIONS):
        return
    if not getattr(request, "dry_run", False):
        note_change()
    elif _SoFar.changed is Changed.ASKED:
        _SoFar.changed = Changed.PREVIEWED
