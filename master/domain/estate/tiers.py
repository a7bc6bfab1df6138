"""How many licenses must be installed before one of a tier counts (rules E4, E5)."""

from __future__ import annotations

from master.domain.estate.estate import Estate
from master.domain.estate.installations import Device, License


def missing_below_tier(estate: Estate, license: License, device: Device) -> int:
    """E5: how many licenses of its type and of lower tiers are missing for a `%N` license on a device."""
    below = [
        other
        for other in estate.licenses
        if other.type.key == license.type.key and other.id != license.id and (other.tier or 0) < (license.tier or 0)
    ]
    on_device = sum(other.quantity for other in below if other.device is not None and other.device.id == device.id)
    in_project = sum(other.quantity for other in below if other.device is not None)
    return missing_below(license.tier or 0, on_device=on_device, in_project=in_project)


def missing_below(tier: int, *, on_device: int, in_project: int) -> int:
    """E4: what counts are the licenses below a tier installed on the device or in the project, whichever is more."""
    return max(tier - max(on_device, in_project), 0)
