"""What a command shows a master, and whom it believes, as it was said for the command that runs."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What a command shows a master, and whom it believes: files in PEM, all three or none for plain text."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


tls_options: ContextVar[TlsOptions] = ContextVar("tls_options", default=TlsOptions())  # noqa: B039  # frozen
"""What counts for the command that runs; all that speak to a master ask for it."""
