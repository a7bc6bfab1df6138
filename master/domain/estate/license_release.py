"""A release of a license under way, and what to do about the seats that use it."""

from __future__ import annotations

from enum import Enum

from master.values import Value


class InUse(Enum):
    """What to do about the seats that use a license which is to be released (L5)."""

    REFUSE = 1
    DRAIN = 2
    REVOKE = 3
    FORCE = 4

    @property
    def takes_seats(self) -> bool:
        """Whether seats are taken away for the release; else it waits until as many as it needs were returned."""
        return self in (InUse.REVOKE, InUse.FORCE)


BY_LEDGER = "master:agreements"
"""Names the agreement ledger as what asked for the release of a license whose use ended; no operator's name."""


class Release(Value, kw_only=True):
    """A license's release from its device, from the request until nobody uses it and the device vouches for that."""

    in_use: InUse
    to_device: str = ""
    """The device that the license goes to; empty for the balance."""
    requested_by: str
    requested_at: float
    """UNIX time in seconds."""
    reason: str
    nonce: bytes = b""
    certified: bool = False
    device_dead: bool = False
    approved_by: str = ""

    @property
    def awaits_certificate(self) -> bool:
        """Whether the device has not certified the release yet; a device that was said to be dead may still do so."""
        return not self.certified

    @property
    def ends_use(self) -> bool:
        """Whether the agreement ledger took the license away: nothing comes back that could be bound elsewhere."""
        return self.requested_by == BY_LEDGER
