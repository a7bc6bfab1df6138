"""Where the files are that come with the code: inside the package when it is installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(folder: str) -> Path:
    """Return the path of a shipped folder: "docs", "examples", "migrations"."""
    installed = _PACKAGE / folder
    return installed if installed.exists() else _PACKAGE.parent / folder
