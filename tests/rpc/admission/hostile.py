"""Texts that are none, and odd ones that are."""

from __future__ import annotations

HOSTILE = ["a\0b", "a\nb", "x" * 10_000, "\u202eabc", "\x1b[2J", "\u2028"]
HARMLESS = ["'; DROP TABLE seat; --", "😀" * 128, "مرحبا", "a/b/../c", "%s{0}$1?1", '"quoted" \\ `x`', "x" * 128]
