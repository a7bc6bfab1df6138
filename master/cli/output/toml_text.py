"""Texts as TOML has them."""

from __future__ import annotations

import json


def toml_text(text: str) -> str:
    """The text in quotes. JSON's own escapes of what is beyond U+FFFF, in two halves, are none in TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
