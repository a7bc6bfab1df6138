"""Licenses as they are named to people."""

from __future__ import annotations

from master.values import Value


class LicenseRef(Value):
    """A license as a refusal names it."""

    id: str
    printed: str
    quantity: int
    device: str

    def __str__(self) -> str:
        """Return the license as text, such as `100 x PBX-Port10 (ports-2010)`."""
        return f"{self.quantity} x {self.printed} ({self.id})"
