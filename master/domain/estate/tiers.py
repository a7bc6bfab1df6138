"""How many licenses must be installed before those of a tier count (rules E4, E5)."""

from __future__ import annotations

from master.domain.estate.estate import Estate
from master.domain.estate.installations import Device, License


def missing_below_tier(estate: Estate, license: License, device: Device) -> int:
    """Return how many licenses of its type and of lower tiers are missing for a `%N` license on a device (E5)."""
    below = [
        other
        for other in estate.licenses
        if other.type.key == license.type.key and other.id != license.id and (other.tier or 0) < (license.tier or 0)
    ]
    on_device = sum(other.quantity for other in below if other.device is not None and other.device.id == device.id)
    in_project = sum(other.quantity for other in below if other.device is not None)
    return missing_below(license.tier or 0, on_device=on_device, in_project=in_project)


def missing_below(tier: int, *, on_device: int, in_project: int) -> int:
    """Return how many licenses below a tier are missing, on the device or in the project, whichever has more (E4)."""
    return max(tier - max(on_device, in_project), 0)
