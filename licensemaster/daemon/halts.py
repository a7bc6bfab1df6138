"""Whether this process itself was halted, or too busy to look, when a caller's time was over."""

from __future__ import annotations

from typing import Final

HALTED_SECONDS: Final = 0.5
"""Seconds of delay from which a timer shows that this process was busy or halted, and cannot judge others' delays."""


def was_halted(*, due: float, now: float) -> bool:
    """Tell whether a timer due at `due` fires so late that the awaited data may have arrived without being read."""
    return now - due > HALTED_SECONDS
