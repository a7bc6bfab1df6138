"""The words of the rules as enums; the numbers are those of the API and of the database."""

from __future__ import annotations

from enum import Enum, IntEnum


class Metering(Enum):
    """When a license type is debited."""

    FLOATING = "floating"
    """While something is in use: a registration, a login, a channel."""
    FIXED = "fixed"
    """While something is configured, whether used or not."""
    SWITCH = "switch"
    """Never by itself: a feature that is on while enough licenses are installed (rules F2, I5)."""
    COMPANION = "companion"
    """Only together with another type (rule D1)."""
    FREE = "free"
    """Never: the type needs other licenses and has none of its own (rule H6)."""


class Feature(Enum):
    """What a switch may turn on beside seats."""

    STANDBY = "standby"
    """The takeover by standby PBXs (rule F2)."""


class VersionBasis(Enum):
    """The software version that a license's version is compared with."""

    PBX = "pbx"
    APPLICATION = "application"
    NONE = "none"


class DrawnFrom(Enum):
    """The device whose licenses serve a PBX."""

    INSTALLATION = "installation"
    """The master's device, or the PBX's own where the PBX is licensed locally (rules A1 to A3)."""
    OWN_DEVICE = "own_device"
    """Always the PBX's own device (rules A6, C1)."""
    OWN_DEVICE_FIRST = "own_device_first"
    """The PBX's own virtual machine, then the pool (rule D5)."""


class PbxRole(IntEnum):
    MASTER = 1
    SLAVE = 2
    STANDBY = 3


class LeaseState(IntEnum):
    """The state of a PBX's lease."""

    NONE = 1
    ACTIVE = 2
    OVERDUE = 3
    EXPIRED = 4
    CLOSED = 5

    @property
    def is_running(self) -> bool:
        """Whether the PBX may use the seats that it holds."""
        return self in (LeaseState.ACTIVE, LeaseState.OVERDUE)
