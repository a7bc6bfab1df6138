"""Texts that are none."""

from __future__ import annotations

HOSTILE = ["a\0b", "a\nb", "x" * 10_000, "\u202eabc", "\x1b[2J", "\u2028"]
