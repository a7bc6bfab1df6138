"""Whether a process was halted itself, or too busy to look, when time was over for somebody else."""

from __future__ import annotations

from typing import Final

HALTED_SECONDS: Final = 0.5
"""Whoever is so late to see that time is over was busy or halted, and cannot judge others."""


def was_halted(*, due: float, now: float) -> bool:
    """Tell whether a timer that was due then fires so late that what is waited for may be there, and not read yet."""
    return now - due > HALTED_SECONDS
