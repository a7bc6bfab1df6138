"""Enums of the API that both the master and the client go by. Numbers are those of the protocol, and of the database.

What the API has and a reader does not know has no member here: a client gives None for it.
"""

from __future__ import annotations

from enum import IntEnum


class HolderKind(IntEnum):
    """The kind of thing that holds a seat. PBX objects are USER to WAITING_QUEUE."""

    USER = 1
    EXECUTIVE = 2
    TRUNK = 3
    GATEWAY = 4
    GROUP = 5
    WAITING_QUEUE = 6
    LOGIN = 7
    CHANNEL = 8
    INTERFACE = 9
    PBX = 10

    @property
    def is_user(self) -> bool:
        """Whether a holder of this kind is itself the user by whom user licenses are counted (section H)."""
        return self in (HolderKind.USER, HolderKind.EXECUTIVE)


class Basis(IntEnum):
    """What a granted seat costs."""

    DEBITED = 1
    """One license is debited while the seat is held."""
    INCLUDED = 2
    """Another seat of the same user or PBX includes this one (rules H2, H3)."""
    NOT_NEEDED = 3
    """No license is needed, so no seat is kept (rules E2, G1)."""


class RemedyAction(IntEnum):
    """What kind of change would turn a refusal into a grant; each says which fields of a step it uses."""

    CORRECT_REQUEST = 1
    """Say in the request what `field` names, one of `accepted` where that is not empty."""
    ADD_LICENSES = 2
    """Bind `quantity` more licenses of `license_type`, of `version` or newer, to `device`."""
    REPLACE_LICENSES = 3
    """Have `licenses` on `device` replaced by as many of `version` or newer."""
    UPGRADE_SOFTWARE = 4
    """Run `version` or newer on `pbx`."""
    DOWNGRADE_SOFTWARE = 5
    """Run `version` on `pbx`; where that is empty, the application at that major version or an older one (B8)."""
    ACQUIRE_FIRST = 6
    """Acquire `seats` first, or in the same call."""
    RETURN_FIRST = 7
    """Return `seats` first; where a return was refused, in the same call."""
    WAIT = 8
    """Wait until the moment `until`."""
    RELEASE_LICENSES = 9
    """Take `licenses` off `device`."""
    FREE_SEATS = 10
    """Wait until `quantity` seats of `license_type` on `device` are given back, whoever holds them, or drain them."""
    RENEW_AGREEMENT = 11
    """Buy or renew what `subject` names, and bind `licenses` to `device` where they are free by then."""
    EXPLAIN = 12
    """What would help takes longer to find than a refusal may: `explain` finds it."""
    NONE = 13
    """The master knows of nothing that would help."""
    CHANGE_ALLOCATION = 14
    """Take the allocation rule that `subject` names back for `license_type`, or have it allow more."""


class StandbyProblemKind(IntEnum):
    """What prevents a takeover, or should be known before one; in the order in which problems are reported."""

    NOT_A_PAIR = 1
    LICENSES_SHORT = 2
    VERSION_LIMIT = 3
    NOT_CONNECTED = 4
    PRIMARY_NEVER_SEEN = 5
    PRIMARY_ACTIVE = 6
    CARRIED_BY_ANOTHER = 7
    NOTHING_TO_CARRY = 8
    NO_STANDBY_LEASE = 9
    STANDBY_LEASE_OLD = 10
    SOFTWARE_DIFFERS = 11
    TIER_NOT_REACHED = 12
    CARRYING = 13
    TWO_CLAIMS = 14

    @property
    def blocking(self) -> bool:
        """Whether the problem prevents a takeover, rather than only having to be known."""
        return self not in _WARNINGS


_WARNINGS = frozenset(
    {
        StandbyProblemKind.STANDBY_LEASE_OLD,
        StandbyProblemKind.SOFTWARE_DIFFERS,
        StandbyProblemKind.TIER_NOT_REACHED,
        StandbyProblemKind.CARRYING,
        StandbyProblemKind.TWO_CLAIMS,
    }
)
