"""The words of the rules as enums; numbers are those of the API and of the database."""

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
    """Never: needs other licenses and none of its own (rule H6)."""


class Feature(Enum):
    """What a switch may turn on that is more than a seat."""

    STANDBY = "standby"
    """That standby PBXs take over (rule F2)."""


class VersionBasis(Enum):
    """What a license's version is held against."""

    PBX = "pbx"
    APPLICATION = "application"
    NONE = "none"


class DrawnFrom(Enum):
    """Which device's licenses serve a PBX."""

    INSTALLATION = "installation"
    """The master's pool, or its own device where it is licensed locally (rules A1 to A3)."""
    OWN_DEVICE = "own_device"
    """Always its own box (rules A6, C1)."""
    OWN_DEVICE_FIRST = "own_device_first"
    """Its own virtual machine, then the pool (rule D5)."""


class PbxRole(IntEnum):
    """What part a PBX plays."""

    MASTER = 1
    SLAVE = 2
    STANDBY = 3


class LeaseState(IntEnum):
    """How a PBX's lease stands."""

    NONE = 1
    ACTIVE = 2
    OVERDUE = 3
    EXPIRED = 4
    CLOSED = 5

    @property
    def is_running(self) -> bool:
        """Whether the PBX may use what it holds."""
        return self in (LeaseState.ACTIVE, LeaseState.OVERDUE)
